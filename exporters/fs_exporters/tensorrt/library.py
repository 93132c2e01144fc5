"""Which TensorRT builds: the package of that name, or TensorRT-RTX; Polygraphy drives both."""

import importlib
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, get_args

from fs_runtime.backends.tensorrt.library import MODULES, Builder, is_supported, shown, supported
from fs_runtime.errors import BackendError

Target = Builder
TARGETS: tuple[Target, ...] = get_args(Target)

_MOST_LINES = 2
_SWITCH = "POLYGRAPHY_USE_TENSORRT_RTX"
_INSTALL: dict[Target, str] = {
    "tensorrt": "pip install 'fs-export[tensorrt]' (its libraries come from NVIDIA's own index), or on a Jetson take "
    "JetPack's and pip install polygraphy",
    "tensorrt-rtx": "pip install 'fs-export[tensorrt-rtx]'",
}


@dataclass(frozen=True)
class BuilderLibrary:
    """An importable TensorRT.

    Attributes:
        target: which.
        version: its version.
        trt: its Python module.
        polygraphy: Polygraphy's loaders for it.
    """

    target: Target
    version: str
    trt: Any
    polygraphy: Any

    @property
    def name(self) -> str:
        """For messages."""
        return f"{'TensorRT-RTX' if self.target == 'tensorrt-rtx' else 'TensorRT'} {self.version}"


def open_library(target: Target) -> BuilderLibrary:
    """Import TensorRT and Polygraphy.

    Raises:
        BackendError: one of them is not installed, does not load, or has a version that was not made for.
    """
    # Polygraphy decides between both when it is imported.
    config = sys.modules.get("polygraphy.config")
    wanted = target == "tensorrt-rtx"
    if config is not None and bool(getattr(config, "USE_TENSORRT_RTX", False)) != wanted:
        raise BackendError(
            f"this process has built for the other TensorRT: run --target {target} in a process of its own"
        )
    os.environ[_SWITCH] = "1" if wanted else "0"
    try:
        trt = importlib.import_module(MODULES[target])
        # Else it would print to stdout that it has no colours.
        importlib.import_module("polygraphy.logger").G_LOGGER.colors = False
        polygraphy = importlib.import_module("polygraphy.backend.trt")
    except (ImportError, OSError) as error:
        raise BackendError(f"--target {target} cannot be built for here ({error}): {_INSTALL[target]}") from error
    version = str(trt.__version__)
    if not is_supported(target, version):
        raise BackendError(
            f"{MODULES[target]} {shown(version)} is installed, this fs-export needs {supported(target)}: "
            f"{_INSTALL[target]}"
        )
    return BuilderLibrary(target, version, trt, polygraphy)


class _Errors(logging.Handler):
    """Keeps what is said at the level of errors."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage().strip().removeprefix("[E]").removeprefix("[!]").strip())


@contextmanager
def errors_of() -> Iterator[list[str]]:
    """Keep TensorRT's and Polygraphy's messages off the terminal, and collect the errors among them."""
    from polygraphy.logger import G_LOGGER

    logger, handler = logging.getLogger("Polygraphy"), _Errors()
    before = (G_LOGGER.use_python_logging_system, logger.propagate)
    G_LOGGER.use_python_logging_system, logger.propagate = True, False
    logger.addHandler(handler)
    try:
        yield handler.lines
    finally:
        logger.removeHandler(handler)
        G_LOGGER.use_python_logging_system, logger.propagate = before


@contextmanager
def telling_errors(name: str) -> Iterator[None]:
    """Add what reached Polygraphy's logger to an error of a plan that is opened or run in the process that built it.

    TensorRT may speak to the first logger alone that a process gives it, which is Polygraphy's here, and then an error
    has no reason of its own.

    Args:
        name: of the TensorRT.

    Raises:
        BackendError: the one that was raised within, of its own kind.
    """
    with errors_of() as lines:
        try:
            yield
        except BackendError as error:
            if not lines:
                raise
            said = "; ".join(" ".join(line.split()) for line in lines[-_MOST_LINES:])
            raise type(error)(f"{error}. To the logger of the build, {name} said: {said}") from error
