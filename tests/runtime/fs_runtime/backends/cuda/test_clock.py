"""Times of events, on drivers of all ages. The driver is a thin fake in all of these tests."""

import os
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
from helpers.fake_cuda import FakeCuda, Status
from helpers.grid_noise_host import COMPILER, NO_COMPILER

from fs_runtime.backends.cuda import clock
from fs_runtime.backends.cuda.device import CudaDevice
from fs_runtime.cuda_calls import DeviceLostError

# A driver older than CUDA 12.8: it has the call, but not in the form that newer bindings ask for.
OLD_DRIVER = """
#include <cstdint>
#include <cstring>
#include <dlfcn.h>
extern "C" int cuInit(unsigned) { return 0; }
extern "C" int cuDriverGetVersion(int* version) { return *version = 12060, 0; }
extern "C" int cuEventElapsedTime(float* taken, void* first, void* last) {
  return *taken = float(intptr_t(last) - intptr_t(first)), 0;
}
extern "C" int cuGetProcAddress_v2(const char* name, void** function, int version, uint64_t, int* found) {
  const bool newer = std::strcmp(name, "cuEventElapsedTime") == 0 && version >= 12080;
  *function = newer ? nullptr : dlsym(RTLD_DEFAULT, name);
  if (found != nullptr) *found = newer ? 2 : *function == nullptr;
  return *function == nullptr ? 500 : 0;
}
"""


@pytest.fixture
def fake(fake_gpu: Callable[..., FakeCuda], monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    monkeypatch.setattr(clock, "elapsed_milliseconds", lambda first, last: None)
    return fake_gpu()


def _seconds(device: CudaDevice) -> float:
    first, last, stream = device.event(), device.event(), device.stream()
    with device.current():
        for event in (first, last):
            device.cuda.call("cuEventRecord", event, stream)
        device.cuda.call("cuStreamSynchronize", stream)
        return device.clock.seconds(first, last)


def test_seconds_are_the_bindings_when_the_driver_has_their_call(fake: FakeCuda) -> None:
    device = CudaDevice(0)
    assert _seconds(device) == 0.5e-3
    assert not device.clock.stopped


def test_seconds_are_the_older_calls_when_the_driver_lacks_the_newer(
    fake: FakeCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "elapsed_milliseconds", lambda first, last: 1.0 * (last - first))
    fake.lacks.add("cuEventElapsedTime")
    device = CudaDevice(0)
    assert [_seconds(device), _seconds(device)] == [1e-3, 1e-3]
    assert not device.clock.stopped
    assert fake.calls["cuEventElapsedTime"] == 1


@pytest.mark.parametrize("how", ["lacks", "fails"])
def test_clock_stops_and_raises_nothing_when_no_call_tells(fake: FakeCuda, how: str) -> None:
    if how == "lacks":
        fake.lacks.add("cuEventElapsedTime")
    else:
        fake.fails["cuEventElapsedTime"] = Status.CUDA_ERROR_NOT_READY
    device = CudaDevice(0)
    assert [_seconds(device), _seconds(device)] == [0.0, 0.0]
    assert device.clock.stopped


def test_seconds_raise_when_the_gpu_is_lost(fake: FakeCuda) -> None:
    device = CudaDevice(0)
    fake.fails["cuEventElapsedTime"] = Status.CUDA_ERROR_LAUNCH_FAILED
    with pytest.raises(DeviceLostError, match=r"was lost in mid-run .cuEventElapsedTime: CUDA_ERROR_LAUNCH_FAILED"):
        _seconds(device)
    assert not device.clock.stopped


@pytest.mark.parametrize("older", [False, True])
def test_seconds_raise_when_only_a_later_call_shows_that_the_gpu_is_lost(fake: FakeCuda, older: bool) -> None:
    """The older call tells no reason, and a driver may lack the newer one."""
    device = CudaDevice(0)
    if older:
        fake.lacks.add("cuEventElapsedTime")
    else:
        fake.fails["cuEventElapsedTime"] = Status.CUDA_ERROR_NOT_READY
    fake.fails["cuEventQuery"] = Status.CUDA_ERROR_LAUNCH_FAILED
    with pytest.raises(DeviceLostError, match=r"was lost in mid-run .cuEventQuery: CUDA_ERROR_LAUNCH_FAILED"):
        _seconds(device)
    assert not device.clock.stopped


@pytest.mark.skipif(find_spec("cuda") is None or find_spec("cuda.bindings") is None, reason="no cuda-bindings")
@pytest.mark.skipif(COMPILER is None, reason=NO_COMPILER)
def test_seconds_are_told_when_the_real_bindings_meet_an_older_driver(tmp_path: Path) -> None:
    (tmp_path / "driver.cpp").write_text(OLD_DRIVER)
    assert COMPILER is not None
    subprocess.run(
        [COMPILER, "-shared", "-fPIC", tmp_path / "driver.cpp", "-o", tmp_path / "libcuda.so.1", "-ldl"], check=True
    )
    script = (
        "from cuda.bindings import driver\n"
        "from fs_runtime.cuda_calls import Cuda\n"
        "from fs_runtime.backends.cuda.clock import EventClock\n"
        "clock = EventClock(Cuda('cuda:0'))\n"
        "print(clock.seconds(driver.CUevent(1000), driver.CUevent(3000)), clock.stopped)\n"
    )
    environment = os.environ | {"LD_LIBRARY_PATH": str(tmp_path)}
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=True)
    assert answer.stdout.split() == ["2.0", "False"]
