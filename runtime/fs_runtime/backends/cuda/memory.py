"""Does it fit into the GPU's memory? If not: how much is needed, how much is free, and which noise batch would fit."""

from fs_runtime.bundle import Manifest
from fs_runtime.cuda_calls import DeviceMemoryError


def check_memory(
    manifest: Manifest,
    *,
    fixed: int,
    growing: int,
    free: int,
    what: str,
    where: str,
    held: int = 0,
    rebuilt: bool = False,
) -> None:
    """Refuse what does not fit.

    Args:
        manifest: of the bundle.
        fixed: bytes that do not depend on the noise batch, as those of weights.
        growing: bytes that grow with the noise batch.
        free: bytes that are free.
        what: shall run.
        where: on which GPU.
        held: bytes of ``growing`` that are allocated already, and so no part of ``free``.
        rebuilt: whether another noise batch also needs a new plan.

    Raises:
        DeviceMemoryError: naming all of it.
    """
    need, batch = fixed + growing - held, manifest.noise_batch
    if need <= free:
        return
    fits = max(free + held - fixed, 0) * batch // growing
    remedy = "not even one draw fits: use a GPU with more"
    if fits >= manifest.images:
        build = " and build the plan again" if rebuilt else ""
        remedy = f"about --noise-batch {fits} fits: export with that{build}, or free memory"
    raise DeviceMemoryError(
        f"{what} needs {_mib(need)} of the memory of {where} at a noise batch of {batch}, but {_mib(free)} is free; "
        f"{remedy}"
    )


def _mib(size: int) -> str:
    return f"{size / 2**20:,.0f} MiB"
