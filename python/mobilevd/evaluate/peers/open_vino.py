"""MobileVD's UNet by OpenVINO, converted from ``torch.export``'s program.

That keeps attention and GroupNorm as one operation each, which a trace and ONNX take apart.
"""

from __future__ import annotations

from .task import Running, Task

MODEL = "unet.xml"


def convert(task: Task) -> None:
    import openvino
    import torch

    inputs = task.tensors()
    with torch.no_grad():
        program = torch.export.export(task.stage(), inputs, strict=False)
    model = openvino.convert_model(program)
    # What torch.export gives has dynamic sizes, for which other kernels are chosen.
    model.reshape({i: list(x.shape) for i, x in enumerate(inputs)})
    openvino.save_model(model, task.own / MODEL, compress_to_fp16=False)


def load(task: Task) -> Running:
    from ...kernels.bench.sessions import openvino_request

    request = openvino_request(str(task.own / MODEL), task.threads)
    inputs = list(task.inputs().values())

    def evaluate() -> object:
        request.infer(inputs)
        return request.get_output_tensor(0).data

    return Running(evaluate)
