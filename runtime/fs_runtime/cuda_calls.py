"""The CUDA driver's calls, with their failures as sentences."""

from typing import Any

from fs_runtime.errors import BackendError

_INSTALL = "pip install cuda-bindings (of the driver's CUDA version: 12.x or 13.x), or 'fs-runtime[gpu]'"

# What a code means here, and what to do; any other is shown as the driver words it.
_MEANINGS = {
    "CUDA_ERROR_OUT_OF_MEMORY": "has not enough free memory: stop what else runs on it, or export with a smaller "
    "--noise-batch",
    "CUDA_ERROR_DEVICE_UNAVAILABLE": "is in exclusive mode and another process has it: wait for that one, use another "
    "GPU, or set the compute mode to default (nvidia-smi -c 0)",
    "CUDA_ERROR_INVALID_DEVICE": "is not there: nvidia-smi lists the GPUs, CUDA_VISIBLE_DEVICES hides some",
    "CUDA_ERROR_NO_DEVICE": "is not there: nvidia-smi lists the GPUs, CUDA_VISIBLE_DEVICES hides some",
    "CUDA_ERROR_SYSTEM_NOT_READY": "is not ready: start NVIDIA's fabric manager (nvidia-fabricmanager), then try again",
    "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH": "has a driver whose parts differ in version: restart the machine",
    "CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE": "needs a newer driver than is installed: upgrade NVIDIA's driver",
}
# After these the context is gone, and with it everything on the device.
_LOST = {
    "CUDA_ERROR_ECC_UNCORRECTABLE",
    "CUDA_ERROR_HARDWARE_STACK_ERROR",
    "CUDA_ERROR_ILLEGAL_ADDRESS",
    "CUDA_ERROR_ILLEGAL_INSTRUCTION",
    "CUDA_ERROR_MISALIGNED_ADDRESS",
    "CUDA_ERROR_INVALID_PC",
    "CUDA_ERROR_ASSERT",
    "CUDA_ERROR_LAUNCH_FAILED",
    "CUDA_ERROR_LAUNCH_TIMEOUT",
    "CUDA_ERROR_CONTEXT_IS_DESTROYED",
    "CUDA_ERROR_DEINITIALIZED",
    "CUDA_ERROR_INVALID_ADDRESS_SPACE",
    "CUDA_ERROR_EXTERNAL_DEVICE",
    "CUDA_ERROR_CONTAINED",
    "CUDA_ERROR_NVLINK_UNCORRECTABLE",
    "CUDA_ERROR_UNKNOWN",
}


class DeviceLostError(BackendError):
    """The GPU stopped working in the middle of a run."""


class DeviceMemoryError(BackendError):
    """The GPU has not enough free memory."""


def load_driver() -> Any:
    """NVIDIA's bindings of the driver's calls.

    Raises:
        BackendError: they are not installed.
    """
    try:
        from cuda.bindings import driver
    except ImportError as error:
        raise BackendError(f"a GPU needs cuda-bindings, which is not installed ({error}): {_INSTALL}") from error
    return driver


class Cuda:
    """Calls by their names in CUDA's documentation: ``cuda.call("cuMemAlloc", size)``."""

    def __init__(self, where: str) -> None:
        """``where`` names the device in messages.

        Raises:
            BackendError: the bindings are not installed.
        """
        self.driver = load_driver()
        self._where = where

    def call(self, name: str, *arguments: Any) -> Any:
        """One call: None, its result, or a tuple of them.

        Raises:
            DeviceLostError: the GPU is gone, in this call or an earlier one.
            DeviceMemoryError: the GPU's memory is full.
            BackendError: another failure.
        """
        try:
            status, *results = getattr(self.driver, name)(*arguments)
        except RuntimeError as error:  # no driver, or one that lacks this call
            raise BackendError(f"{self._where} cannot be used ({name}: {error}): upgrade NVIDIA's driver") from error
        if int(status):
            raise self._error(name, status)
        return results[0] if len(results) == 1 else tuple(results) or None

    def _error(self, name: str, status: Any) -> BackendError:
        code = str(getattr(status, "name", status))
        if code in _LOST:
            return DeviceLostError(
                f"{self._where} was lost in mid-run ({name}: {code}): what was finished before is kept; look at "
                "nvidia-smi and the system's log, and start again, where a file of results is written with --resume"
            )
        kind = DeviceMemoryError if code == "CUDA_ERROR_OUT_OF_MEMORY" else BackendError
        meaning = _MEANINGS.get(code, "fails: fs-runtime doctor --device cuda says what is wrong, or use --device cpu")
        return kind(f"{self._where} {meaning} ({name}: {code})")
