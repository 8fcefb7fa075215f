"""Weights beside a program instead of in it: each distinct one once, on disk from the start."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

# What is smaller costs more as a file than as memory.
_SPOOLED_BYTES = 1 << 16


@contextmanager
def spooled_constants(folder: Path) -> Iterator[None]:
    """What backends serialise of weights goes to files in ``folder`` at once, named by content.

    Their copies in memory would be the whole model again. The files are needed until the weights
    are written.
    """
    from executorch.exir._serialize._cord import FileBackedData
    from executorch.exir._serialize._named_data_store import NamedDataStore

    add_to_memory = NamedDataStore.add_named_data

    def add(store: Any, key: str, data: Any, *arguments: Any, **options: Any) -> None:
        if isinstance(data, bytes) and len(data) >= _SPOOLED_BYTES:
            digest = hashlib.sha256(data)
            path = folder / digest.hexdigest()
            if not path.exists():
                path.write_bytes(data)
            data = FileBackedData(str(path), sha256=digest.digest())
        add_to_memory(store, key, data, *arguments, **options)

    with mock.patch.object(NamedDataStore, "add_named_data", add):
        yield


def put_outside(edge: Any, name: str) -> Any:
    """Takes the delegates' weights out of the program of an ``EdgeProgramManager``; returns the
    configuration of ``to_executorch`` that takes out the other ops' weights, too.

    ``delegate_external_constants_pass_unlifted`` is ExecuTorch's own way to the first; it needs the
    whole model exported a second time.
    """
    from executorch.exir import ExecutorchBackendConfig

    store = edge._named_data_store
    store.external_data, store.pte_data = {name: store.pte_data}, {}
    return ExecutorchBackendConfig(external_constants=lambda node: name)


def outside(program: Any) -> dict[str, Any]:
    """What an ``ExecutorchProgramManager`` holds outside its program: by name a ``Cord``, which has
    a length and writes itself to a file."""
    return dict(program._tensor_data or {})
