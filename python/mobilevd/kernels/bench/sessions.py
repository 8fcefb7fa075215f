"""ONNX Runtime and OpenVINO on the CPU in float32, as every benchmark here sets them up.

No torch: a process that measures one of them has nothing else in its memory.
"""

from __future__ import annotations

from typing import Any


def onnxruntime_session(model: bytes | str, threads: int, spinning: bool) -> Any:
    """An ``InferenceSession`` of a serialised model or of its file.

    ``spinning``: whether idle threads may wait busily, its default; not where others share the
    process.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    if not spinning:
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def openvino_request(model: bytes | str, threads: int) -> Any:
    """An ``InferRequest`` of a serialised ONNX model or of a model's file."""
    import openvino

    core = openvino.Core()
    compiled = core.compile_model(
        core.read_model(model),
        "CPU",
        {
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "INFERENCE_PRECISION_HINT": "f32",  # its own choice is bfloat16 where the CPU has it
            "ENABLE_CPU_PINNING": False,
        },
    )
    return compiled.create_infer_request()
