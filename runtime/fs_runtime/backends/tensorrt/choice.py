"""Which plan of a bundle runs on a GPU, decided from the manifest before a byte of any plan is opened."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from fs_runtime.backends.tensorrt.library import BrokenLibraryError, Builder, Library, open_library
from fs_runtime.bundle import Bundle, Engine
from fs_runtime.bundle.engines import EngineHost, incompatibility
from fs_runtime.cuda_driver import Gpu
from fs_runtime.errors import BackendError

_MOST_NAMED = 3


@dataclass(frozen=True)
class Fitting:
    """The plans of a bundle against a GPU.

    Attributes:
        found: those that run there, each with the library that opens it.
        faults: why the others do not.
        broken: of these, what is the matter with a TensorRT that is installed, which would run plans for this very GPU.
    """

    found: tuple[tuple[Engine, Library], ...]
    faults: tuple[str, ...]
    broken: tuple[str, ...] = ()


def fitting_plans(engines: Sequence[Engine], gpu: Gpu) -> Fitting:
    """Hold plans against a GPU and the TensorRTs installed here; nothing is opened."""
    found, faults, broken = [], [], []
    known = cache(_library)
    for engine in engines:
        library = known(engine.builder)
        if isinstance(library, BackendError):
            faults.append(f"{engine.file}: {library}")
            of_version = EngineHost(engine.builder, engine.version, gpu.compute_capability)
            if isinstance(library, BrokenLibraryError) and incompatibility(engine, of_version) is None:
                broken.append(faults[-1])
            continue
        fault = incompatibility(engine, EngineHost(library.builder, library.version, gpu.compute_capability))
        if fault is None:
            found.append((engine, library))
        else:
            faults.append(f"{engine.file}: {fault}")
    return Fitting(tuple(found), tuple(faults), tuple(broken))


def choose_plan(bundle: Bundle, gpu: Gpu) -> tuple[Engine, Library]:
    """The newest plan of the bundle for this GPU, which is the last one that the manifest lists.

    Raises:
        BackendError: there is none; each one's reason is named, both sides of it.
    """
    remedy = (
        f"build one with fs-export build {bundle.root} --target tensorrt-rtx --compute-capability "
        f"{gpu.compute_capability} (or --target tensorrt on this machine), or use --backend onnxruntime"
    )
    if not bundle.manifest.engines:
        raise BackendError(f"{bundle.root} has no plan: {remedy}")
    fitting = fitting_plans(bundle.manifest.engines, gpu)
    if not fitting.found:
        more = len(fitting.faults) - _MOST_NAMED
        named = "; ".join(fitting.faults[:_MOST_NAMED]) + (f"; and {more} more" if more > 0 else "")
        raise BackendError(f"no plan of {bundle.root} runs on {gpu.name} ({named}): {remedy}")
    return fitting.found[-1]


def _library(builder: Builder) -> Library | BackendError:
    """The library, or why there is none."""
    try:
        return open_library(builder)
    except BackendError as error:
        return error
