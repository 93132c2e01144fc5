"""TensorRT and TensorRT-RTX: which are here, and of what version."""

import importlib
from importlib.util import find_spec

from fs_runtime.doctor.check import Check, judged
from fs_runtime.doctor.packages import first_line

_MODULES = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt_rtx"}
_REMEDY = "install the TensorRT of the plan (pip install tensorrt-rtx, or TensorRT 10.16 to 11); or use --device cpu"


def tensorrt_versions() -> dict[str, str]:
    """Version by builder of those that import; why not, with a leading ``!``, of those that are broken."""
    found = {}
    for builder, module in _MODULES.items():
        if find_spec(module) is None:
            continue
        try:
            found[builder] = str(importlib.import_module(module).__version__)
        except Exception as error:  # a broken package can raise anything
            found[builder] = f"!{first_line(error)}"
    return found


def check_tensorrt(versions: dict[str, str], *, needed: bool) -> list[Check]:
    """Each TensorRT; where one is needed, either does."""
    some = any(not version.startswith("!") for version in versions.values())
    checks = []
    for builder in _MODULES:
        version = versions.get(builder, "!not installed")
        checks.append(
            judged(
                builder,
                not version.startswith("!"),
                needed=needed and not some,
                expected="installed",
                actual=version.removeprefix("!"),
                remedy=_REMEDY,
            )
        )
    return checks
