"""Asking the driver, here and where a test plays it."""

import ctypes
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fs_runtime import cuda_driver
from fs_runtime.cuda_driver import ask_driver


def _set(pointer: Any, value: Any) -> None:
    pointer._obj.value = value


class _FakeDriver:
    """One GPU of compute capability 8.9."""

    def __init__(self, status: int = 0, count: int = 1) -> None:
        self.status, self.count, self.contexts = status, count, 0

    def cuDriverGetVersion(self, version: Any) -> int:
        _set(version, 13020)
        return 0

    def cuInit(self, flags: int) -> int:
        return self.status

    def cuGetErrorString(self, status: int, text: Any) -> int:
        _set(text, b"no CUDA-capable device is detected")
        return 0

    def cuDeviceGetCount(self, count: Any) -> int:
        _set(count, self.count)
        return 0

    def cuDeviceGet(self, device: Any, index: int) -> int:
        return 0

    def cuDeviceGetName(self, name: Any, size: int, device: Any) -> int:
        name.value = b"NVIDIA Test 4000"
        return 0

    def cuDeviceGetAttribute(self, value: Any, attribute: int, device: Any) -> int:
        _set(value, {75: 8, 76: 9}[attribute])
        return 0

    def cuDeviceTotalMem_v2(self, memory: Any, device: Any) -> int:
        _set(memory, 8 << 30)
        return 0

    def cuDevicePrimaryCtxRetain(self, context: Any, device: Any) -> int:
        self.contexts += 1
        return 0

    def cuCtxPushCurrent_v2(self, context: Any) -> int:
        return 0

    def cuMemGetInfo_v2(self, free: Any, memory: Any) -> int:
        _set(free, 6 << 30)
        return 0

    def cuCtxPopCurrent_v2(self, context: Any) -> int:
        return 0

    def cuDevicePrimaryCtxRelease_v2(self, device: Any) -> int:
        self.contexts -= 1
        return 0


def _play(monkeypatch: pytest.MonkeyPatch, driver: _FakeDriver) -> None:
    fake = SimpleNamespace(**{name: getattr(ctypes, name) for name in dir(ctypes) if not name.startswith("__")})
    fake.CDLL = lambda _: driver
    monkeypatch.setattr(cuda_driver, "ctypes", fake)


def test_ask_driver_describes_the_gpu_when_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = _FakeDriver()
    _play(monkeypatch, driver)
    found = ask_driver()
    (gpu,) = found.gpus
    assert (found.cuda, found.problem) == ("13.2", "")
    assert (gpu.index, gpu.name, gpu.compute_capability) == (0, "NVIDIA Test 4000", "8.9")
    assert (gpu.memory, gpu.free) == (8 << 30, None)
    assert ask_driver(free_memory=True).gpus[0].free == 6 << 30
    assert driver.contexts == 0


@pytest.mark.parametrize(
    ("driver", "problem"),
    [
        (_FakeDriver(status=100), "does not start (cuInit: no CUDA-capable device is detected)"),
        (_FakeDriver(count=0), "shows no GPU"),
    ],
)
def test_ask_driver_says_why_when_there_is_no_gpu(
    driver: _FakeDriver, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _play(monkeypatch, driver)
    found = ask_driver(free_memory=True)
    assert found.gpus == ()
    assert problem in found.problem


def test_ask_driver_says_so_when_there_is_no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_driver, "_LIBRARY", "libno-such-driver.so.1")
    found = ask_driver()
    assert (found.gpus, found.cuda) == ((), None)
    assert "libno-such-driver.so.1 cannot be loaded" in found.problem


def test_release_is_read_from_the_kernel_module_when_it_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = tmp_path / "version"
    version.write_text(
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build\nGCC version: 12\n"
    )
    monkeypatch.setattr(cuda_driver, "_KERNEL_MODULE", version)
    monkeypatch.setattr(cuda_driver, "_LIBRARY", "libno-such-driver.so.1")
    assert ask_driver().version == "580.65.06"


@pytest.mark.gpu
def test_ask_driver_finds_this_machines_gpu() -> None:
    found = ask_driver(free_memory=True)
    if not found.gpus:
        pytest.skip(found.problem)
    gpu = found.gpus[0]
    assert gpu.name
    assert gpu.free is not None
    assert 0 < gpu.free <= gpu.memory
