"""What becomes of the driver's codes. The driver is a thin fake here."""

import sys

import pytest
from helpers.fake_cuda import FakeCuda, Status, install

from fs_runtime.backends.cuda.device import CudaDevice
from fs_runtime.cuda_calls import Cuda, DeviceLostError, DeviceMemoryError
from fs_runtime.errors import BackendError


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    made = FakeCuda(memory=1000)
    install(monkeypatch, made)
    return made


@pytest.mark.parametrize(
    ("code", "kind", "message"),
    [
        (Status.CUDA_ERROR_OUT_OF_MEMORY, DeviceMemoryError, "has not enough free memory: .*--noise-batch"),
        (Status.CUDA_ERROR_DEVICE_UNAVAILABLE, BackendError, "is in exclusive mode and another process has it"),
        (Status.CUDA_ERROR_LAUNCH_FAILED, DeviceLostError, "was lost in mid-run"),
        (Status.CUDA_ERROR_NOT_READY, BackendError, "fails: fs-runtime doctor --device cuda"),
    ],
)
def test_device_says_what_a_code_means_when_it_cannot_be_had(
    fake: FakeCuda, code: Status, kind: type[BackendError], message: str
) -> None:
    fake.fails["cuDevicePrimaryCtxRetain"] = code
    with pytest.raises(kind, match=rf"cuda:0 .Test GPU. {message}.*cuDevicePrimaryCtxRetain: {code.name}") as caught:
        CudaDevice(0)
    assert caught.value.exit_code == 4


def test_allocate_is_zeroed_and_freed(fake: FakeCuda) -> None:
    device = CudaDevice(0)
    assert device.free_memory() == 1000
    device.allocate(400)
    assert device.free_memory() == 600
    # As where another process took memory after it was counted.
    with pytest.raises(DeviceMemoryError, match=r"0.0 MiB more are needed, but 0.0 free: cuda:0 .Test GPU. has"):
        device.allocate(601)
    assert (device.pinned((3, 2), "int64") == 0).all()
    device.close()
    assert (fake.left, fake.taken, device.closed) == (0, 0, True)


def test_close_does_not_raise_when_the_device_is_lost(fake: FakeCuda) -> None:
    device = CudaDevice(0)
    device.stream()
    fake._lost = True
    device.close()
    assert device.closed


def test_bindings_are_named_when_they_are_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cuda.bindings", None)
    with pytest.raises(BackendError, match=r"needs cuda-bindings, which is not installed .*pip install cuda-bindings"):
        Cuda("cuda:0")


def test_every_call_exists_when_the_bindings_are_installed(fake: FakeCuda) -> None:
    driver = pytest.importorskip("cuda.bindings.driver", reason="cuda-bindings is not installed")
    names = {name.removeprefix("_") for name in vars(FakeCuda) if name.startswith("_cu")}
    assert len(names) > 20
    assert [name for name in sorted(names) if not hasattr(driver, name)] == []
    assert hasattr(driver.CUstreamCaptureMode, "CU_STREAM_CAPTURE_MODE_THREAD_LOCAL")
