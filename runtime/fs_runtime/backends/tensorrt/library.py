"""Which TensorRT is installed here, and is it one that this runtime knows?"""

from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Literal, get_args

from fs_runtime.errors import BackendError

Builder = Literal["tensorrt", "tensorrt-rtx"]

MODULES: dict[Builder, str] = {"tensorrt": "tensorrt", "tensorrt-rtx": "tensorrt_rtx"}
VERSIONS: dict[Builder, tuple[tuple[int, int], tuple[int, int]]] = {
    "tensorrt": ((10, 16), (12, 0)),
    "tensorrt-rtx": ((1, 5), (2, 0)),
}
"""The least version, and the one that is not made for any more."""

_INSTALL: dict[Builder, str] = {
    "tensorrt": "pip install 'fs-runtime[tensorrt]' (its libraries come from NVIDIA's own index), or on a Jetson make "
    "JetPack's TensorRT visible to this Python",
    "tensorrt-rtx": "pip install 'fs-runtime[tensorrt-rtx]'",
}


class BrokenLibraryError(BackendError):
    """A TensorRT is installed, but does not load."""


@dataclass(frozen=True)
class Library:
    """An importable TensorRT.

    Attributes:
        builder: which.
        version: its version, as ``10.16.0.29``.
        trt: its Python module.
    """

    builder: Builder
    version: str
    trt: Any = field(repr=False)

    @property
    def name(self) -> str:
        """For messages."""
        return f"{'TensorRT-RTX' if self.builder == 'tensorrt-rtx' else 'TensorRT'} {self.version}"


def supported(builder: Builder) -> str:
    """The versions that this was made for, as pip writes them."""
    least, below = VERSIONS[builder]
    return f">={least[0]}.{least[1]},<{below[0]}.{below[1]}"


def is_supported(builder: Builder, version: str) -> bool:
    """Whether this was made for a version, as a package states it; never for one that cannot be read."""
    least, below = VERSIONS[builder]
    found = _release(version)
    return found is not None and least <= found < below


def shown(version: str) -> str:
    """A package's version for messages, which say so where it is none that can be read."""
    return version if _release(version) else f"{version!r} (a version that cannot be read)"


def _release(version: str) -> tuple[int, ...] | None:
    """The first two numbers of a version; None where these are no plain numbers, as in ``11.0rc1``."""
    parts = version.split(".")[:2]
    if not all(part.isascii() and part.isdigit() for part in parts):
        return None
    return (*map(int, parts), 0)[:2]


def installed_versions() -> dict[str, str]:
    """Version by builder of those that import; why not, with a leading ``!``, of those that are broken."""
    found: dict[str, str] = {}
    for builder in get_args(Builder):
        module = MODULES[builder]
        if find_spec(module) is None:
            continue
        try:
            found[builder] = str(import_module(module).__version__)
        except Exception as error:  # a broken package can raise anything
            found[builder] = f"!{(str(error).strip().splitlines() or [type(error).__name__])[0]}"
    return found


def open_library(builder: Builder) -> Library:
    """Import a TensorRT.

    Raises:
        BrokenLibraryError: it is installed, but does not load.
        BackendError: it is not installed, or has a version that was not made for.
    """
    version = installed_versions().get(builder)
    if version is None:
        raise BackendError(f"{builder} cannot be used here (it is not installed): {_INSTALL[builder]}")
    if version.startswith("!"):
        raise BrokenLibraryError(
            f"{builder} is installed but does not load ({version[1:]}): uninstall it and install it again "
            f"({_INSTALL[builder]})"
        )
    if not is_supported(builder, version):
        raise BackendError(
            f"{builder} {shown(version)} is installed, this fs-runtime needs {supported(builder)}: {_INSTALL[builder]}"
        )
    return Library(builder, version, import_module(MODULES[builder]))
