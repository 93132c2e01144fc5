"""TensorRT and TensorRT-RTX: which are here, and of what version."""

from typing import get_args

from fs_runtime.backends.tensorrt.library import Builder, installed_versions
from fs_runtime.doctor.check import Check, judged

tensorrt_versions = installed_versions
_REMEDY = "install the TensorRT of the plan (pip install tensorrt-rtx, or TensorRT 10.16 to 11); or use --device cpu"


def check_tensorrt(versions: dict[str, str], *, needed: bool) -> list[Check]:
    """Each TensorRT; where one is needed, either does."""
    some = any(not version.startswith("!") for version in versions.values())
    checks = []
    for builder in get_args(Builder):
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
