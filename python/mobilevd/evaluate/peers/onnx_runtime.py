"""MobileVD's UNet by ONNX Runtime, from ``torch.onnx.export``.

The exporter is the one that traces (``dynamo=False``): the other needs onnxscript. It writes the
graph without weights; they stay in the safetensors file beside it, as ONNX's external data, for a
protobuf ends at 2 GB.
"""

from __future__ import annotations

import json
import shutil
import struct
import warnings
from pathlib import Path
from typing import Any

from .task import Running, Task

MODEL, WEIGHTS = "unet.onnx", "unet.safetensors"
_PREFIX = "unet."  # of the weights' names in the graph
_OPSET = 18


def convert(task: Task) -> None:
    import onnx
    import torch

    inputs = task.inputs()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # tracing warns of every Python int
        torch.onnx.export(
            task.stage(),
            task.tensors(),
            str(task.own / MODEL),
            dynamo=False,
            opset_version=_OPSET,
            export_params=False,
            do_constant_folding=False,  # that is ONNX Runtime's, when it loads
            input_names=list(inputs),
            output_names=["v_prediction"],
        )
    shutil.copyfile(task.weights_file(), task.own / WEIGHTS)
    model = onnx.load(str(task.own / MODEL))
    _take_weights(model, task.own / WEIGHTS, list(inputs))
    onnx.save(model, str(task.own / MODEL))


def load(task: Task) -> Running:
    from ...kernels.bench.sessions import onnxruntime_session

    session = onnxruntime_session(str(task.own / MODEL), task.threads, spinning=True)
    inputs = task.inputs()
    return Running(lambda: session.run(None, inputs)[0])


def _take_weights(model: Any, file: Path, inputs: list[str]) -> None:
    """Graph inputs that are weights become initializers that lie in a safetensors file."""
    from onnx import TensorProto

    with file.open("rb") as opened:
        (length,) = struct.unpack("<Q", opened.read(8))
        entries = json.loads(opened.read(length))
    graph = model.graph
    for value in [value for value in graph.input if value.name not in inputs]:
        entry = entries[value.name.removeprefix(_PREFIX)]
        begin, end = entry["data_offsets"]
        weight = TensorProto(name=value.name, data_type=TensorProto.FLOAT, dims=entry["shape"])
        weight.data_location = TensorProto.EXTERNAL
        place = {"location": file.name, "offset": 8 + length + begin, "length": end - begin}
        for key, number in place.items():
            weight.external_data.add(key=key, value=str(number))
        graph.initializer.append(weight)
        graph.input.remove(value)
