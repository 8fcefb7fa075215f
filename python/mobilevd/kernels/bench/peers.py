"""The peers as callables with preallocated outputs: torch, ONNX Runtime, OpenVINO, ExecuTorch.

A candidate's threads are fixed when it is made. Nobody's idle threads may spin on the cores of whom
is measured next: OMP_WAIT_POLICY=passive for torch (set by `python -m mobilevd.kernels.bench` and
`make bench`; the table says so when it is not), no spinning in ONNX Runtime.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch

from mobilevd import kernels

from .onnx_graph import Graph
from .problem import Array, Candidate, Problem
from .sessions import onnxruntime_session, openvino_request

# Library -> the modules it needs.
LIBRARIES = {
    "torch": ("torch",),
    "onnxruntime": ("onnx", "onnxruntime"),
    "openvino": ("onnx", "openvino"),
    "executorch": ("executorch",),
}


def missing_modules(library: str) -> list[str]:
    return [name for name in LIBRARIES[library] if importlib.util.find_spec(name) is None]


def set_threads(count: int, libraries: Sequence[str]) -> None:
    """Of ours, torch and, if it is among `libraries`, ExecuTorch: none of its programs may be alive
    in this process then."""
    torch.set_num_threads(count)
    kernels.set_num_threads(count)
    if "executorch" in libraries:
        with _quiet():
            _pybindings()._unsafe_reset_threadpool(count)


def candidates(
    problem: Problem, programs: dict[str, bytes], libraries: Sequence[str], threads: int
) -> dict[str, Candidate]:
    """Ours first, then `<library>` or `<library>_<variant>`; `programs` from `lower`."""
    ours = torch.empty(problem.out_shape).numpy()
    made = {"ours": Candidate(functools.partial(problem.ours, ours), lambda: ours)}
    if "torch" in libraries:
        for variant, call in problem.torch.items():
            made[_name("torch", variant)] = _torch(call, problem)
    if "onnxruntime" in libraries:
        for variant, graph in problem.onnxruntime.items():
            made[_name("onnxruntime", variant)] = _onnxruntime(graph, problem, threads)
    if "openvino" in libraries:
        for variant, graph in problem.openvino.items():
            made[_name("openvino", variant)] = _openvino(graph, problem, threads)
    for variant, program in programs.items():
        made[_name("executorch", variant)] = _executorch(program, problem)
    return made


def _name(library: str, variant: str) -> str:
    return f"{library}_{variant}" if variant else library


def _torch(call: Callable[[torch.Tensor], object], problem: Problem) -> Candidate:
    results = [torch.empty(problem.out_shape)]
    out = results[0]

    def run() -> None:
        returned = call(out)
        if isinstance(returned, torch.Tensor):
            results[0] = returned

    return Candidate(run, lambda: results[0].numpy())


def _onnxruntime(graph: Graph, problem: Problem, threads: int) -> Candidate:
    session = onnxruntime_session(graph.serialize(), threads, spinning=False)
    binding = session.io_binding()
    for name in graph.inputs:
        x = problem.inputs[name]
        binding.bind_input(name, "cpu", 0, np.float32, tuple(x.shape), x.data_ptr())
    out = torch.empty(problem.out_shape)
    bound = session.get_outputs()[0].name
    binding.bind_output(bound, "cpu", 0, np.float32, tuple(out.shape), out.data_ptr())
    return Candidate(functools.partial(session.run_with_iobinding, binding), out.numpy)


def _openvino(graph: Graph, problem: Problem, threads: int) -> Candidate:
    import openvino

    request = openvino_request(graph.serialize(), threads)
    for name in graph.inputs:
        tensor = openvino.Tensor(problem.inputs[name].numpy(), shared_memory=True)
        request.set_tensor(name, tensor)
    out = torch.empty(problem.out_shape)
    request.set_output_tensor(0, openvino.Tensor(out.numpy(), shared_memory=True))
    return Candidate(request.infer, out.numpy)


def lower(problem: Problem) -> dict[str, bytes]:
    """The ExecuTorch programs of a problem. Inputs are read in place (not copied into the arena);
    the output lies in the arena, which is allocated when the program is loaded."""
    _pybindings()  # first, for it silences the importers
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
        from executorch.exir import ExecutorchBackendConfig, to_edge_transform_and_lower
        from executorch.exir.passes import MemoryPlanningPass

        programs = {}
        for variant, module in problem.executorch.items():
            exported = torch.export.export(module, tuple(problem.inputs.values()))
            edge = to_edge_transform_and_lower(exported, partitioner=[XnnpackPartitioner()])
            planning = MemoryPlanningPass(alloc_graph_input=False)
            config = ExecutorchBackendConfig(memory_planning_pass=planning)
            programs[variant] = bytes(edge.to_executorch(config).buffer)
    return programs


def _executorch(program: bytes, problem: Problem) -> Candidate:
    module = _pybindings()._load_for_executorch_from_buffer(program)
    inputs = tuple(problem.inputs.values())
    results: list[torch.Tensor] = []

    def run() -> None:
        results[:] = module.forward(inputs, clone_outputs=False)

    def result() -> Array:
        return results[0].numpy()

    # The module reads the program where it lies.
    run.program = program  # type: ignore[attr-defined]
    return Candidate(run, result)


@functools.cache
def _pybindings() -> Any:
    for name in ("executorch", "torchao", "torch.utils._pytree"):  # warn of GPU kernels
        logging.getLogger(name).setLevel(logging.ERROR)
    from executorch.extension.pybindings import portable_lib

    return portable_lib


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """ExecuTorch logs each change of its pool, and what it did not find in /sys, to stderr."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
