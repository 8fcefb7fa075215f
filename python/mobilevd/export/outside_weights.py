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
    """What is serialised of weights, backends' and other ops', goes to files in ``folder`` at once,
    named by content.

    Their copies in memory would be the whole model again. The files are needed until the weights
    are written.
    """
    from executorch.exir._serialize._cord import FileBackedData
    from executorch.exir._serialize._named_data_store import NamedDataStore
    from executorch.exir.emit._emitter import _Emitter

    add_to_memory = NamedDataStore.add_named_data
    keep_in_memory = _Emitter._save_new_const_tensor

    def spooled(data: Any, digest: str | None = None) -> Any:
        if not isinstance(data, bytes) or len(data) < _SPOOLED_BYTES:
            return data
        digest = digest or hashlib.sha256(data).hexdigest()
        path = folder / digest
        if not path.exists():
            path.write_bytes(data)
        return FileBackedData(str(path), sha256=bytes.fromhex(digest))

    def add(store: Any, key: str, data: Any, *arguments: Any, **options: Any) -> None:
        add_to_memory(store, key, spooled(data), *arguments, **options)

    def keep(emitter: Any, spec: Any, data: Any, digest: str, *arguments: Any) -> int:
        index: int = keep_in_memory(emitter, spec, data, digest, *arguments)
        outside = emitter.program_state.external_constant_buffer
        if outside and outside[-1] is data:
            outside[-1] = spooled(data, digest)
        return index

    with (
        mock.patch.object(NamedDataStore, "add_named_data", add),
        mock.patch.object(_Emitter, "_save_new_const_tensor", keep),
    ):
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
