"""Why a partitioner left a node on the CPU: asked of the partitioner itself, while it decides."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.fx import Node

from .graph import op_name, torch_op

# Travels in the node's meta through to_executorch's passes.
KEY = "mobilevd_refusal"

# (partitioner, exported program before partitioning) -> node -> reason
Explainer = Callable[[Any, torch.export.ExportedProgram], Callable[[Node], str]]


@contextmanager
def explaining() -> Iterator[None]:
    """Inside, every ExecuTorch partitioner also writes into the nodes that it leaves why it does.

    By the call that all of them inherit, since some backends make their partitioner themselves.
    """
    from executorch.exir.backend.partitioner import Partitioner

    decide = Partitioner.__call__

    def call(self: Any, program: torch.export.ExportedProgram) -> Any:
        result = decide(self, program)
        spec = getattr(self, "delegation_spec", None)
        explainer = EXPLAINERS.get(getattr(spec, "backend_id", ""))
        if explainer is not None:
            reason = explainer(self, program)
            for node in program.graph.nodes:
                if node.op == "call_function" and "delegation_tag" not in node.meta:
                    node.meta[KEY] = reason(node)
        return result

    Partitioner.__call__ = call
    try:
        yield
    finally:
        Partitioner.__call__ = decide


def _xnnpack(partitioner: Any, program: torch.export.ExportedProgram) -> Callable[[Node], str]:
    """XNNPACK's partitioner has a config per op it knows, which says what it minds."""
    from executorch.exir.backend.canonical_partitioners.config_partitioner import (
        format_target_name,
    )

    def reason(node: Node) -> str:
        config = partitioner.target_partitioner_configs.get(format_target_name(op_name(node)))
        if config is None:
            return f"XNNPACK has no {plain_name(node)}"
        with _said("executorch.backends.xnnpack.partition") as said:
            takes = config.check_constraints(node, program)
        if takes:
            return "XNNPACK takes it, but not together with its neighbours"
        return f"XNNPACK refuses it: {said[-1] if said else 'a constraint of its partitioner'}"

    return reason


@contextmanager
def _said(logger: str) -> Iterator[list[str]]:
    """What ``WhyNoPartition`` tells the logs below this name."""
    said: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(getattr(record.msg, "reason", str(record.msg)))

    handler = Handler()
    loggers = [
        log
        for name, log in logging.root.manager.loggerDict.items()
        if name.startswith(logger) and isinstance(log, logging.Logger)
    ]
    before = [(log, log.level, log.propagate) for log in loggers]
    for log in loggers:
        log.addHandler(handler)
        log.setLevel(logging.DEBUG)
        log.propagate = False
    try:
        yield said
    finally:
        for log, level, propagate in before:
            log.removeHandler(handler)
            log.setLevel(level)
            log.propagate = propagate


def _vulkan(partitioner: Any, program: torch.export.ExportedProgram) -> Callable[[Node], str]:
    """Vulkan's partitioner logs a reason for each node: the same check with another log."""
    from executorch.backends.vulkan import utils
    from executorch.backends.vulkan.partitioner.vulkan_partitioner import (
        VulkanSupportedOperators,
    )

    options = partitioner.options
    small = options.get("small_texture_limits", False)
    limits = utils.SMALL_TEXTURE_LIMITS if small else utils.DEFAULT_TEXTURE_LIMITS
    check = VulkanSupportedOperators(
        options.get("texture_limits", limits),
        options.get("buffer_limit", utils.DEFAULT_BUFFER_LIMIT),
        require_dynamic_shape=options.get("require_dynamic_shapes", False),
        skip_bool_tensors=options.get("skip_bool_tensors", False),
        operator_blocklist=partitioner.operator_blocklist,
        operator_allowlist=partitioner.operator_allowlist,
        nn_module_blocklist=partitioner.nn_module_blocklist,
        nn_module_allowlist=partitioner.nn_module_allowlist,
    )
    said: list[str] = []
    check.log_skip = lambda node, why: said.append(why)

    def reason(node: Node) -> str:
        said.clear()
        if check._is_node_supported(node):
            return "Vulkan takes it, but not together with its neighbours"
        why = said[-1] if said else "a constraint of its partitioner"
        if why == "no operator implementation":
            return f"Vulkan has no {plain_name(node)}"
        return f"Vulkan refuses it: {' '.join(why.split())}"

    return reason


def _qnn(partitioner: Any, program: torch.export.ExportedProgram) -> Callable[[Node], str]:
    """QNN's partitioner has a builder per op; HTP itself may then refuse the op as built."""
    from executorch.backends.qualcomm.builders import node_visitor_manager
    from executorch.backends.qualcomm.partition import common_defs

    known = node_visitor_manager.get_node_visitors(program)

    def reason(node: Node) -> str:
        if node.target in common_defs.not_supported_operator:
            return f"QNN has no {plain_name(node)}"
        if node.target in common_defs.to_be_implemented_operator:
            return f"QNN has {plain_name(node)}, ExecuTorch's partitioner does not use it yet"
        if op_name(node) not in known:
            return f"ExecuTorch's QNN backend has no {plain_name(node)}"
        return "QNN's own check of the op refuses it, or the export asked to leave it"

    return reason


EXPLAINERS: dict[str, Explainer] = {
    "XnnpackBackend": _xnnpack,
    "VulkanBackend": _vulkan,
    "QnnBackend": _qnn,
}


def plain_name(node: Node) -> str:
    """The op without its dialect and overload: native_group_norm."""
    op = torch_op(node)
    return op_name(node) if op is None else op.overloadpacket.__name__
