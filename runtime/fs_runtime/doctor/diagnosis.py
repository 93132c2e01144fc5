"""All checks together, for what somebody means to do here."""

from pathlib import Path
from typing import Literal, get_args

from fs_runtime.cuda_driver import Driver, ask_driver
from fs_runtime.doctor.bundle import check_engines, check_memory, open_bundle
from fs_runtime.doctor.check import Check
from fs_runtime.doctor.noise import check_noise
from fs_runtime.doctor.nvidia import check_driver, check_libraries, needed_cuda
from fs_runtime.doctor.onnx_runtime import check_onnx_runtime
from fs_runtime.doctor.packages import RUNTIME_PACKAGES, check_packages, check_python
from fs_runtime.doctor.tensorrt import check_tensorrt, tensorrt_cuda, tensorrt_versions

Device = Literal["cpu", "cuda", "tensorrt"]
DEVICES: tuple[Device, ...] = get_args(Device)


def diagnose(bundle: Path | None = None, *, device: Device = "cpu") -> tuple[Check, ...]:
    """Look at this machine, and at a bundle against it.

    Args:
        bundle: a bundle's folder, if one shall be served here.
        device: what it shall be served on; only what this needs can fail.
    """
    on_gpu = device != "cpu"
    driver = ask_driver(free_memory=True)
    versions, cuda = tensorrt_versions(), needed_cuda()
    checks = [
        check_python(),
        *check_packages(RUNTIME_PACKAGES),
        *check_onnx_runtime(needs_cpu=device == "cpu", needs_cuda=device == "cuda"),
        *_check_driver(driver, device, cuda),
        *check_libraries(needed=device == "cuda", cuda=cuda),
        *check_noise(driver, needed=on_gpu),
        *check_tensorrt(versions, needed=device == "tensorrt"),
    ]
    if bundle is not None:
        opened, found = open_bundle(bundle)
        checks.append(found)
        if opened is not None:
            checks += check_engines(opened, driver, versions, needed=device == "tensorrt")
            checks.append(check_memory(opened.manifest, driver, on_gpu=False))
            if on_gpu:
                checks.append(check_memory(opened.manifest, driver, on_gpu=True, plans=device == "tensorrt"))
    return tuple(checks)


def _check_driver(driver: Driver, device: Device, onnx_runtimes: str) -> list[Check]:
    """The driver, against the CUDA of what runs on ``device``."""
    if device == "tensorrt":
        return check_driver(driver, needed=True, cuda=tensorrt_cuda(), wanted_by="TensorRT")
    return check_driver(driver, needed=device == "cuda", cuda=onnx_runtimes if device == "cuda" else None)
