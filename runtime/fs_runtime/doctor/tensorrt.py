"""TensorRT and TensorRT-RTX: which are here, and of what version."""

import re
from importlib.metadata import distributions
from typing import get_args

from fs_runtime.backends.tensorrt.library import Builder, installed_versions, is_supported, shown, supported
from fs_runtime.doctor.check import Check, judged

tensorrt_versions = installed_versions
_REMEDY = (
    "install the TensorRT of the plan (pip install tensorrt-rtx, or TensorRT 10.16 to 11), or use --device cuda or "
    "cpu, for ONNX Runtime"
)


_OF_CUDA = re.compile(r"tensorrt(?:[-_]rtx)?[-_]cu(\d+)", re.IGNORECASE)


def tensorrt_cuda() -> str | None:
    """The major version of CUDA that an installed TensorRT is for, the least of several; None: no package says it.

    NVIDIA's Python packages have it in their names (``tensorrt-cu13``); JetPack's TensorRT goes with its own driver.
    """
    names = [str(each.metadata["Name"]) for each in distributions()]
    found = [int(match[1]) for name in names if (match := _OF_CUDA.fullmatch(name))]
    return str(min(found)) if found else None


def check_tensorrt(versions: dict[str, str], *, needed: bool) -> list[Check]:
    """Each TensorRT; where one is needed, either does."""
    builders: tuple[Builder, ...] = get_args(Builder)
    found = {builder: versions.get(builder, "!not installed") for builder in builders}
    # What starts with "!" is why there is none, and so no version that could be read.
    usable = {builder for builder in builders if is_supported(builder, found[builder])}
    return [
        judged(
            builder,
            builder in usable,
            needed=needed and not usable,
            expected=f"installed, {supported(builder)}",
            actual=found[builder][1:] if found[builder].startswith("!") else shown(found[builder]),
            remedy=_REMEDY,
        )
        for builder in builders
    ]
