"""Runs mini's Vulkan programs and holds them against the unrewritten networks, eagerly computed.

    python tests/python/export/vulkan_parity.py BUNDLE LIBRARY [--json FILE]

LIBRARY is a Vulkan runtime of ExecuTorch built for this machine as a shared library that registers
``VulkanBackend``; the wheel has none. Each stage is compared with GELU as it is and in its tanh
form, the only one this backend has.
"""

from __future__ import annotations

import argparse
import ctypes
import json
from pathlib import Path

import torch
from executorch.runtime import Runtime
from mobilevd.export.manifest import read_bundle
from mobilevd.export.stages import STAGES, make_stage
from mobilevd.export.tanh_gelu import TanhGelu
from mobilevd.models.store import load_model


@torch.no_grad()
def parity(bundle: Path) -> list[dict]:
    manifest = read_bundle(bundle)
    model = load_model(manifest["preset"])
    networks = {
        "image_encoder": model.image_encoder,
        "vae_encoder": model.vae.encoder,
        "unet": model.unet.forward_sinusoids,
        "vae_decoder": model.vae.decoder,
    }
    rows = []
    for name in STAGES:
        inputs = make_stage(model, name, manifest["backend"]).example(seed=3)
        exact = networks[name](*inputs)
        with TanhGelu():
            tanh = networks[name](*inputs)
        program = Runtime.get().load_program(bundle / manifest["stages"][name]["program"])
        got = program.load_method("forward").execute(list(inputs))[0].reshape(exact.shape)
        rows.append(
            {
                "name": f"{name} {manifest['precision']}",
                "relative_l2": float((got - exact).norm() / exact.norm()),
                "relative_l2_tanh_gelu": float((got - tanh).norm() / exact.norm()),
                "max_abs_tanh_gelu": float((got - tanh).abs().max()),
                "cost_of_tanh_gelu": float((tanh - exact).norm() / exact.norm()),
            }
        )
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("library", type=Path)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    ctypes.CDLL(str(given.library.resolve()))
    text = json.dumps(parity(given.bundle), indent=1)
    print(text)
    if given.json:
        given.json.write_text(text + "\n")
