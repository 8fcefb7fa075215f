"""The peers, in the order in which they are measured."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

_HERE = __package__


@dataclass(frozen=True)
class Peer:
    """Somebody who can evaluate the UNet.

    ``module`` has ``load(task) -> Running`` and, where ``converts``, ``convert(task)``, which fills
    ``task.folder``; it is imported in processes of its own only. ``svd``: it runs the uncompressed
    network. ``needs``: modules, which the package's ``extra`` installs. ``sources``: files of the
    package, beside its module, that its conversion follows from.
    """

    name: str
    module: str
    needs: tuple[str, ...] = ()
    extra: str = ""
    svd: bool = False
    converts: bool = True
    cuda: bool = False
    sources: tuple[str, ...] = ()

    def missing(self) -> str:
        """One line that says what to install; "" if nothing is missing."""
        gone = [name for name in self.needs if importlib.util.find_spec(name) is None]
        if not gone:
            return ""
        return f"needs {', '.join(gone)}: pip install 'mobilevd[{self.extra}]'"


PEERS = {
    peer.name: peer
    for peer in (
        Peer(
            "diffusers-svd",
            f"{_HERE}.diffusers_svd",
            ("diffusers",),
            "import",
            svd=True,
            cuda=True,
            sources=("models/diffusers_keys.py",),
        ),
        Peer("torch-eager", f"{_HERE}.torch_eager", converts=False, cuda=True),
        Peer(
            "torch-compile",
            f"{_HERE}.torch_compile",
            cuda=True,
            sources=("evaluate/peers/torch_eager.py",),
        ),
        Peer("onnxruntime", f"{_HERE}.onnx_runtime", ("onnx", "onnxruntime"), "bench"),
        Peer("openvino", f"{_HERE}.open_vino", ("openvino",), "bench"),
        Peer(
            "executorch-xnnpack",
            f"{_HERE}.executorch_xnnpack",
            sources=("export/xnnpack.py", "export/light_lowering.py", "export/outside_weights.py"),
        ),
    )
}
# Not a peer: held against them all. Its conversion is the export of a bundle; the evaluation in
# Python is for its answer, the times are the runner's (reference.py).
OURS = Peer("ours", f"{_HERE}.ours", sources=("compress", "export", "kernels/torch_ops"))
# Nor is this: the weights, the inputs and eager PyTorch's answer, which all of them share.
SHARED = Peer("shared", f"{_HERE}.shared")
