"""The noise kernel: is there code for the GPUs here, and what launches it?"""

from importlib import import_module

from fs_runtime.cuda_driver import Driver, Gpu
from fs_runtime.doctor.check import Check, judged
from fs_runtime.doctor.packages import first_line
from fs_runtime.errors import BackendError
from fs_runtime.noise.device import OLDEST_CUDA, compiled_kernels, is_too_old, kernel_for

_REMEDY = "use a GPU of compute capability 7.5 or newer, or --device cpu"


def check_noise(driver: Driver, *, needed: bool) -> list[Check]:
    """Each GPU's code for the noise; without a GPU what code there is, as the driver's own check says that none is."""
    try:
        kernels = compiled_kernels().kernels
    except BackendError as error:
        fault, _, remedy = str(error).rpartition(": ")
        return [judged("noise", False, needed=needed, expected="compiled kernels", actual=fault, remedy=remedy)]
    if not driver.gpus:
        there = ", ".join(kernel.compute_capability for kernel in kernels if kernel.kind == "cubin")
        return [Check("noise", "absent", "code for the GPU here", f"code for {there}, PTX; no GPU to run it")]
    return [_check(driver, gpu, needed=needed) for gpu in driver.gpus]


def _check(driver: Driver, gpu: Gpu, *, needed: bool) -> Check:
    code = kernel_for(gpu.compute_capability)
    actual, remedy = (f"no code for {gpu.compute_capability}", _REMEDY) if code is None else _lacking(driver)
    return judged(
        f"noise.gpu.{gpu.index}",
        not actual,
        needed=needed,
        expected=f"code for compute capability {gpu.compute_capability}",
        actual=actual or str(code),
        remedy=remedy,
    )


def _lacking(driver: Driver) -> tuple[str, str]:
    """What keeps code from being launched, and the remedy; empty if nothing does."""
    if is_too_old(driver):
        return f"the driver is for CUDA {driver.cuda}", f"install a driver for CUDA {OLDEST_CUDA} or newer"
    try:
        import_module("cuda.bindings.driver")
    except Exception as error:  # a broken package can raise anything
        return f"cuda-bindings cannot be imported: {first_line(error)}", "pip install 'fs-runtime[gpu]'"
    return "", ""
