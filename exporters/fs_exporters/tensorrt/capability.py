"""Which GPUs a build is for."""

import re
from collections.abc import Sequence

from fs_exporters.tensorrt.library import BuilderLibrary
from fs_runtime.cuda_driver import Driver
from fs_runtime.errors import BackendError, InputError

_FORM = re.compile(r"[1-9][0-9]?\.[0-9]")
_FLAG = "--compute-capability"


def target_capabilities(library: BuilderLibrary, asked: Sequence[str], driver: Driver) -> tuple[str, ...]:
    """The compute capabilities to build for: what was asked for, or the GPU's here.

    Raises:
        InputError: one of them cannot be built for, or none was named and there is no GPU.
        BackendError: full TensorRT builds on the GPU that will run the plan, and there is none.
    """
    for capability in asked:
        if not _FORM.fullmatch(capability):
            raise InputError(f"{_FLAG} must be two numbers like 8.9, not {capability!r}")
    here = driver.gpus[0].compute_capability if driver.gpus else None
    if library.target == "tensorrt":
        return _of_this_gpu(library, asked, here, driver.problem)
    return _of_rtx(library, asked, here)


def _of_this_gpu(library: BuilderLibrary, asked: Sequence[str], here: str | None, problem: str) -> tuple[str, ...]:
    if here is None:
        raise BackendError(
            f"{library.name} builds on the GPU that will run the plan, and here is none ({problem}): build "
            "there, or use --target tensorrt-rtx, which builds without one"
        )
    foreign = [capability for capability in asked if capability != here]
    if foreign:
        raise InputError(
            f"{_FLAG} {foreign[0]} is not that of the GPU here, {here}, the only one that {library.name} builds "
            "for: leave the flag out, or build there"
        )
    return (here,)


def _of_rtx(library: BuilderLibrary, asked: Sequence[str], here: str | None) -> tuple[str, ...]:
    known = _known(library)
    if not asked and here is None:
        raise InputError(f"there is no GPU here to build for: say which with {_FLAG}, of {', '.join(known)}")
    wanted = tuple(dict.fromkeys(asked)) or (str(here),)
    for capability in wanted:
        if capability not in known:
            raise InputError(f"{library.name} cannot build for {_FLAG} {capability}: choose of {', '.join(known)}")
    return wanted


def _known(library: BuilderLibrary) -> tuple[str, ...]:
    """As ``8.9``, from members called SM89, SM120."""
    names = [name.removeprefix("SM") for name in library.trt.ComputeCapability.__members__ if name.startswith("SM")]
    return tuple(f"{number[:-1]}.{number[-1]}" for number in sorted(names, key=int))
