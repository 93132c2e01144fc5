"""What tests of plans share: where they can run, and drivers that say what a test wants."""

from importlib.util import find_spec

import pytest

from fs_runtime.cuda_driver import Driver, Gpu, ask_driver

needs_rtx = pytest.mark.skipif(
    find_spec("tensorrt_rtx") is None or find_spec("polygraphy") is None,
    reason="TensorRT-RTX or Polygraphy is not installed: pip install 'fs-export[tensorrt-rtx]'",
)

NO_GPU = Driver(None, None, (), "no NVIDIA driver")


def driver_of(compute_capability: str) -> Driver:
    """A driver with one GPU."""
    return Driver("580.65", "13.0", (Gpu(0, "Test GPU", compute_capability, 8 << 30, 6 << 30),), "")


def gpu_here() -> Driver:
    """The driver's answer, or a skip with the reason."""
    driver = ask_driver()
    if not driver.gpus:
        pytest.skip(driver.problem)
    return driver
