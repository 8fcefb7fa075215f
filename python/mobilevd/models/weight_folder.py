"""A folder of safetensors weights, whole or in shards, read into a module one tensor at a time.

The layout is the one diffusers and transformers write: one ``*.safetensors`` file, or shards and a
``*.safetensors.index.json``; a half-precision copy beside it carries ``fp16`` in its names. Only
safetensors are read: a ``.bin`` is a pickle, and unpickling runs whatever the file says.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

# A file's key -> the module's, or None for one that is not wanted.
Rename = Callable[[str], str | None]
# Called with the number of tensors read and their total.
Progress = Callable[[int, int], object]

# safe_open maps the file, and pages once read count as ours until it is closed: opening it anew
# after this many bytes keeps the peak at the model's own size and a little.
_REOPEN_BYTES = 32 << 20
_FLOATING = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}


def _is_fp16(path: Path) -> bool:
    return ".fp16." in path.name or ".fp16-" in path.name


def find_weights(folder: Path, variant: str | None = None) -> list[Path]:
    """The safetensors files of a folder; the fp16 copy if asked for or if there is no other.

    Raises
    ------
    FileNotFoundError
        There are none, or a shard that the index names is missing.
    ValueError
        The index cannot be read, there are only pickles, or it is unclear which file is meant.
    """
    if variant not in (None, "fp16"):
        raise ValueError(f"unknown variant '{variant}'; known: fp16")
    indices = [*folder.glob("*.safetensors.index.json"), *folder.glob("*.safetensors.index.*.json")]
    found = [*sorted(set(indices)), *sorted(folder.glob("*.safetensors"))]
    files = [p for p in found if _is_fp16(p) == (variant == "fp16")]
    if not files and variant is None:
        files = [p for p in found if _is_fp16(p)]
    if not files:
        wanted = f"{variant} .safetensors weights" if variant else ".safetensors weights"
        if any(folder.glob("*.bin")):
            raise ValueError(
                f"{folder} has no {wanted}, only a .bin: that is a pickle, which can run code and "
                "is never read; save the model as safetensors"
            )
        raise FileNotFoundError(f"{folder} has no {wanted}")
    if files[0].suffix == ".json":
        return _shards(files[0])
    if len(files) > 1:
        usual = [p for p in files if p.name.split(".")[0] in ("diffusion_pytorch_model", "model")]
        if len(usual) != 1:
            names = ", ".join(p.name for p in files)
            raise ValueError(f"{folder} has several weight files and no index: {names}")
        files = usual
    return files


def _shards(index: Path) -> list[Path]:
    try:
        names = sorted(set(json.loads(index.read_text())["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError(f"{index} is not an index of safetensors shards") from None
    for name in names:
        if not isinstance(name, str) or Path(name).name != name:
            raise ValueError(f"{index} names a file outside its folder: {name}")
        if not (index.parent / name).is_file():
            raise FileNotFoundError(f"{index.parent} lacks the weight file {name}")
    return [index.parent / name for name in names]


def _without_third_kernel_axis(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Temporal convolutions of a UNet are [O, I, 3, 1, 1] there and [O, I, 3, 1] here."""
    return shape[:-1] if len(shape) == 5 and shape[-1] == 1 else shape


def load_weights(
    module: nn.Module,
    folder: Path,
    rename: Rename,
    *,
    dtype: torch.dtype | None = None,
    variant: str | None = None,
) -> None:
    """:func:`load_files` of :func:`find_weights`, whose errors it has too."""
    load_files(module, find_weights(folder, variant), rename, dtype=dtype)


def check_files(module: nn.Module, files: Sequence[Path], rename: Rename) -> None:
    """Whether keys, shapes and types of all files fit ``module``; reads headers only.

    Raises
    ------
    ValueError
        One line: broken files, missing or extra keys, wrong shapes and types, named as the files
        name them (missing ones as we do).
    """
    want = {k: tuple(v.shape) for k, v in module.state_dict().items()}
    missing, problems = set(want), []
    for path in files:
        for key, shape, stored in _headers(path):
            name = rename(key)
            if name is None:
                continue
            if name not in want:
                problems.append(f"unexpected {key}")
                continue
            missing.discard(name)
            if want[name] not in (shape, _without_third_kernel_axis(shape)):
                problems.append(f"{key} has shape {list(shape)}, expected {list(want[name])}")
            elif stored not in _FLOATING:
                problems.append(
                    f"{key} is stored as {stored}, not as one of {', '.join(_FLOATING)}"
                )
    problems = [f"missing {name}" for name in sorted(missing)] + problems
    if problems:
        where = files[0] if len(files) == 1 else files[0].parent
        more = f" (and {len(problems) - 4} more)" if len(problems) > 4 else ""
        raise ValueError(
            f"{where}: weights do not fit the model: " + "; ".join(problems[:4]) + more
        )


def load_files(
    module: nn.Module,
    files: Sequence[Path],
    rename: Rename = lambda key: key,
    *,
    dtype: torch.dtype | None = None,
    progress: Progress = lambda done, total: None,
) -> None:
    """Fills ``module``, best made under ``torch.device("meta")``, as ``dtype`` or as stored.

    Its parameters are replaced. Nothing is read before :func:`check_files`, whose errors it has.
    """
    check_files(module, files, rename)
    shapes = {k: tuple(v.shape) for k, v in module.state_dict().items()}
    state: dict[str, torch.Tensor] = {}
    for path in files:
        for key, tensor in _tensors(path):
            name = rename(key)
            if name is not None:
                state[name] = tensor.reshape(shapes[name]).to(dtype or tensor.dtype, copy=True)
                progress(len(state), len(shapes))
            del tensor  # a view of the mapped file
    module.load_state_dict(state, assign=True)


def _headers(path: Path) -> Iterator[tuple[str, tuple[int, ...], str]]:
    """Key, shape and stored type of every tensor of a file."""
    try:
        with safe_open(path, framework="pt") as file:
            for key in file.keys():  # noqa: SIM118 (not a dict)
                entry = file.get_slice(key)
                yield key, tuple(entry.get_shape()), entry.get_dtype()
    except SafetensorError as error:
        raise ValueError(f"{path} is not a whole safetensors file: {error}") from None


def _tensors(path: Path) -> Iterator[tuple[str, torch.Tensor]]:
    """Every tensor, valid until the next one is asked for."""
    keys = [key for key, _, _ in _headers(path)]
    at = 0
    while at < len(keys):
        with safe_open(path, framework="pt") as file:
            read = 0
            while at < len(keys) and read < _REOPEN_BYTES:
                tensor = file.get_tensor(keys[at])
                read += tensor.nbytes
                yield keys[at], tensor
                at += 1
            del tensor  # the last view would keep the mapping
