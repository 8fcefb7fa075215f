"""What Vulkan is known to refuse, looked for in the exported graph before the long lowering.

Lowering is not running: some of these leave an op on the CPU, some abort when the program is
loaded, some ask for memory that no device must offer. Each rule names the rewrite that cures it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from .flavour import Flavour
from .report.graph import module_path, nbytes, tensors
from .vulkan_limits import ARENA_BYTES, BUFFER_BYTES, TEXTURE_LAYERS, texture_layers

_CONVOLUTIONS = ("conv1d", "conv2d", "conv3d", "convolution")
# Taken as textures of four channels to a texel, never as buffers.
_TEXTURES_ONLY = (
    *_CONVOLUTIONS,
    "group_norm",
    "native_group_norm",
    "upsample_nearest2d",
    "avg_pool2d",
    "max_pool2d",
)
_ATTENTION = ("bmm", "matmul", "softmax", "_softmax", "scaled_dot_product_attention")
_FEED_FORWARD = ("linear", "gelu", "mul", "addmm")
# Copies and plain arithmetic are taken with any number of dimensions; these are not.
_FOUR_DIMENSIONS = (
    *_TEXTURES_ONLY,
    *("sigmoid", "silu", "silu_", "gelu", "relu", "tanh", "exp", "softmax", "_softmax"),
    *("layer_norm", "native_layer_norm", "linear", "bmm"),
)
_FEWER_DIMENSIONS = "H and W merged, as models.resblock.TemporalResBlock has them"
_NONE = "no rewrite: fp16, or a smaller preset"


@dataclass(frozen=True)
class Finding:
    """One op that cannot stay as it is."""

    rule: str
    op: str
    module: str
    what: str
    cure: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.op} in {self.module or 'the top'}: {self.what}; {self.cure}"


@dataclass
class LintReport:
    """``largest_bytes`` and ``arena_bytes`` (most that lives at one time) are of one call's
    features, weights aside."""

    findings: list[Finding] = field(default_factory=list)
    largest_bytes: int = 0
    arena_bytes: int = 0

    def check(self, most: int = 20) -> None:
        """ValueError if there is any finding, with a line for each of the first ``most``."""
        if not self.findings:
            return
        lines = [f"Vulkan would not run this ({len(self.findings)} findings):"]
        lines += [f"  {finding}" for finding in self.findings[:most]]
        if len(self.findings) > most:
            lines.append(f"  and {len(self.findings) - most} more")
        raise ValueError("\n".join(lines))


def lint_vulkan(
    program: ExportedProgram, flavour: Flavour, arena_limit: int = ARENA_BYTES
) -> LintReport:
    """The rules over an exported program (``torch.export.export``, not yet lowered)."""
    scale = 2 if flavour.precision == "fp16" else 1  # float32 becomes half
    report = LintReport()
    for name, weight in program.state_dict.items():
        if weight.dim() > 4:
            module = name.rpartition(".")[0]
            what = f"weight of shape {_sizes(weight)}"
            report.findings.append(
                Finding("5-D weight", "parameter", module, what, _FEWER_DIMENSIONS)
            )
    for node in program.graph.nodes:
        if node.op == "call_function":
            for rule in (_batched, _guard, _high_dimensions):
                report.findings += rule(node)
            report.findings += _texture(node, flavour.texture_limit or TEXTURE_LAYERS)
            size = _bytes(node) // scale
            report.largest_bytes = max(report.largest_bytes, size)
            report.findings += _buffer(node, size)
    report.arena_bytes = arena_bytes(program.graph) // scale
    if report.arena_bytes > arena_limit:
        what = f"{report.arena_bytes >> 20} MiB live at one time, over {arena_limit >> 20}"
        report.findings.append(Finding("arena", "graph", "", what, _NONE))
    return report


def arena_bytes(graph: torch.fx.Graph) -> int:
    """Most bytes live at one time when every tensor goes after its last reader."""
    last = {arg: node for node in graph.nodes for arg in node.all_input_nodes}
    live = most = 0
    for node in graph.nodes:
        if node.op != "call_function":
            continue
        live += _bytes(node)
        most = max(most, live)
        live -= sum(_bytes(a) for a in node.all_input_nodes if last[a] is node and a.op == node.op)
        if node not in last:  # nobody reads it
            live -= _bytes(node)
    return most


def _batched(node: Node) -> Iterator[Finding]:
    if _op(node) in _CONVOLUTIONS:
        shape = _input(node).shape
        if len(shape) == 4 and shape[0] != 1:
            what = f"batch of {shape[0]}, Vulkan's convolution takes one"
            yield _finding("batched conv2d", node, what, "rewrites.frames.stack_frames")


def _guard(node: Node) -> Iterator[Finding]:
    if _op(node) in ("logical_not", "scaled_dot_product_attention"):
        what = "logical_not (SDPA's guard against rows without a key) aborts at load"
        cure = "rewrites.attention.chunk_spatial_attention or write_out_temporal_attention"
        yield _finding("logical_not", node, what, cure)


def _high_dimensions(node: Node) -> Iterator[Finding]:
    if _op(node) in _FOUR_DIMENSIONS and (x := _input(node)).dim() > 4:
        yield _finding("5-D op", node, f"input of shape {_sizes(x)}", _FEWER_DIMENSIONS)


def _texture(node: Node, limit: int) -> Iterator[Finding]:
    if _op(node) not in _TEXTURES_ONLY:
        return
    norm = "group_norm" in _op(node)
    # A GroupNorm's weight is counted as wide as it has channels.
    wide = max((_outputs(arg)[0].shape[-1] for arg in node.all_input_nodes[1:]), default=0)
    if norm and wide > limit:
        what = f"weight of {wide} as a texture is {wide} wide, over {limit}"
        yield _finding("texture limit", node, what, "rewrites.frames.part_group_norms")
        return
    for x in (_input(node), *_outputs(node)[:1]):
        if x.dim() != 4:
            continue
        batch, channels, height, width = x.shape
        layers = texture_layers(channels, batch)
        if max(height, width) > limit:
            what = f"{_sizes(x)} as a texture is {width} x {height}, over {limit}"
            yield _finding("texture limit", node, what, "a larger --texture-limit, if devices do")
        elif layers > TEXTURE_LAYERS:
            what = f"{_sizes(x)} as a texture has {layers} layers, over {TEXTURE_LAYERS}"
            cure = "part_group_norms" if norm else "stack_frames"
            yield _finding("texture limit", node, what, f"rewrites.frames.{cure}")
        else:
            continue
        return


def _buffer(node: Node, size: int) -> Iterator[Finding]:
    if size > BUFFER_BYTES and _op(node) not in ("view", "reshape", "flatten", "unflatten"):
        what = f"{_sizes(_outputs(node)[0])} is {size / 2**20:.0f} MiB, over 128"
        cure = _NONE
        if _op(node) in _ATTENTION:
            cure = "rewrites.attention.chunk_spatial_attention"
        elif _op(node) in _FEED_FORWARD:
            cure = "rewrites.feed_forward.part_feed_forwards"
        yield _finding("buffer over 128 MiB", node, what, cure)


def _finding(rule: str, node: Node, what: str, cure: str) -> Finding:
    return Finding(rule, _op(node), module_path(node), what, cure)


def _op(node: Node) -> str:
    """``aten.conv2d.default`` -> ``conv2d``."""
    parts = str(node.target).split(".")
    return parts[1] if len(parts) > 1 else parts[0]


def _outputs(node: Node) -> list[torch.Tensor]:
    return tensors(node.meta.get("val"))


def _input(node: Node) -> torch.Tensor:
    return _outputs(node.all_input_nodes[0])[0]


def _bytes(node: Node) -> int:
    return nbytes(node.meta.get("val"))


def _sizes(x: torch.Tensor) -> str:
    return "x".join(str(size) for size in x.shape)
