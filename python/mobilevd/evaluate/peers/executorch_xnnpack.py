"""MobileVD's UNet by plain ExecuTorch: XnnpackPartitioner takes what it will of the exported graph;
the rest is ExecuTorch's own operators. None of our rewrites, none of our operators.

Exported as a bundle's programs are, by disk instead of memory, which changes no program.
"""

from __future__ import annotations

from pathlib import Path

from .task import Running, Task

PROGRAM, WEIGHTS = "unet.pte", "unet.ptd"


def convert(task: Task) -> None:
    from ...export.files import spool_folder, write_hashed
    from ...export.lowering import quiet_exporter
    from ...export.outside_weights import outside
    from ...export.stages import Stage, unet_inputs, unet_outputs
    from ...export.xnnpack import partitioned
    from ...presets import Preset

    preset = Preset.from_dict(task.preset)
    inputs, outputs = unet_inputs(preset, "xnnpack"), unet_outputs(preset)
    stage = Stage("unet", task.stage(), inputs, outputs)
    with spool_folder(task.own) as spool, quiet_exporter():
        _, program = partitioned(stage, spool)
        write_hashed(task.own / PROGRAM, program.buffer)
        for name, weights in outside(program).items():
            write_hashed(task.own / f"{name}.ptd", weights)


def load(task: Task) -> Running:
    return running(task, task.own / PROGRAM, task.own / WEIGHTS)


def running(task: Task, program: Path, weights: Path) -> Running:
    """A program of a UNet stage by ExecuTorch's Python runtime."""
    from executorch.runtime import Runtime

    from ...export.lowering import quiet_exporter
    from ...kernels.bench.peers import set_threads

    with quiet_exporter():
        runtime = Runtime.get()
    set_threads(task.threads, ["executorch"])
    method = runtime.load_program(program, data_path=weights).load_method("forward")
    inputs = task.tensors()
    return Running(lambda: method.execute(inputs)[0], lambda result: result.numpy())
