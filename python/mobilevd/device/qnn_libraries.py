"""Qualcomm's HTP on a device: its architecture, and whether the libraries there fit together."""

from __future__ import annotations

import re
from collections.abc import Mapping

from .findings import Finding, fail, ok, warn
from .folder import DeviceFolder

# QNN's own name of a build, in most of its libraries; the one of the SDK it is from.
_BUILD = r"v[0-9]+\.[0-9]+\.[0-9]+\.[0-9]{12}"
_NO_QNN = "QNN bundles will not run: export with --backend xnnpack or vulkan"


def htp_arch(soc: str) -> int | None:
    """73 of V73 and so on, by ExecuTorch's table of Qualcomm's chips; None for others."""
    from executorch.backends.qualcomm.serialization import qc_schema

    for chip, about in qc_schema._soc_info_table.items():
        if chip.name == soc.upper():
            return int(about.htp_info.htp_arch)
    return None


def builds(folder: DeviceFolder) -> dict[str, str]:
    """File name of each QNN library in our folder -> its build; empty where it does not tell.

    A library that is there twice, in another build, counts twice.
    """
    device = folder.device
    found = device.shell(
        ["find", folder.path, "-name", "libQnn*.so", "-type", "f", "-print0"], check=False
    )
    told = {}
    for path in filter(None, found.text.split("\0")):
        search = ["grep", "-a", "-o", "-E", "-m", "1", _BUILD, path]
        line = device.shell(search, timeout=120, check=False).text.strip()
        match = re.match(_BUILD, line)
        told[path.removeprefix(folder.path + "/")] = match[0] if match else ""
    return told


def htp_finding(properties: Mapping[str, str]) -> Finding:
    soc = properties.get("ro.soc.model", "")
    arch = htp_arch(soc)
    if arch is None:
        seen = f"none known for {soc or 'this SoC'}"
        return warn("htp", seen, _NO_QNN, htp_arch=None)
    return ok("htp", f"V{arch}", htp_arch=f"V{arch}")


def libraries_finding(told: Mapping[str, str], arch: int | None) -> Finding:
    """Of :func:`builds`: one SDK, and the two halves that the HTP of this device needs."""
    name = "qnn libraries"
    if not told:
        return ok(name, "none in our folder (only QNN bundles need them)", builds={})
    kinds = sorted({build for build in told.values() if build})
    if len(kinds) > 1:
        seen = ", ".join(f"{path} {build}" for path, build in sorted(told.items()) if build)
        advice = "push all QNN libraries from one SDK, the one the bundle was exported with"
        return fail(name, seen, advice, builds=dict(told))
    silent = sum(not build for build in told.values())
    seen = f"{len(told)} of {kinds[0] if kinds else 'an unknown build'}"
    if silent and kinds:
        seen += f" ({silent} do not tell)"
    files = {path.rpartition("/")[2] for path in told}
    if arch is not None and "libQnnHtp.so" in files:
        wanted = {f"libQnnHtpV{arch}Stub.so", f"libQnnHtpV{arch}Skel.so", "libQnnSystem.so"}
        if wanted - files:
            missing = ", ".join(sorted(wanted - files))
            advice = f"push {missing} of the same SDK ({kinds[0] if kinds else 'see its version'})"
            return fail(name, f"{seen}, without {missing}", advice, builds=dict(told))
    if not kinds:
        return warn(name, seen, "make sure that they are of one SDK", builds=dict(told))
    return ok(name, seen, builds=dict(told))
