"""Modules of a network for others of ours, by their kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

# By the kind of what is replaced.
Replacements = Mapping[type, Callable[[Any], nn.Module]]


def replace_modules(network: nn.Module, ours: Replacements) -> None:
    """What is of the kinds in ``ours``, and is not within another such, becomes what it makes."""
    for name, child in list(network.named_children()):
        make = next((make for kind, make in ours.items() if isinstance(child, kind)), None)
        if make is None:
            replace_modules(child, ours)
        else:
            setattr(network, name, make(child))
