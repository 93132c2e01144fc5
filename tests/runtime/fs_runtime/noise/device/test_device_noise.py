"""Launching the kernel: against a fake driver (each such test says so), and on a GPU where there is one."""

import ctypes
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from helpers import grid_noise_host
from helpers.device_draws import DeviceDraws, device_context
from helpers.engines import NO_GPU, driver_of
from helpers.fake_cuda import Status
from helpers.grid_noise_host import COMPILER, NO_COMPILER, HostNoise, compile_host
from helpers.noise_statistics import RARE, NoiseStatistics

from fs_runtime import cuda_calls
from fs_runtime.cuda_calls import Cuda, DeviceLostError
from fs_runtime.cuda_driver import ask_driver
from fs_runtime.errors import BackendError
from fs_runtime.grid import GRID_STEP
from fs_runtime.noise import DrawKey, GridNoise, Stream
from fs_runtime.noise.device import DeviceNoise, device_noise
from fs_runtime.noise.device.device_noise import KEYS, grid_scale

LAST = (1 << 64) - 1
KEYS_OF_ALL_KINDS = [
    DrawKey(0, Stream.PILOT, 0),
    DrawKey((1 << 128) - 1, Stream.SMOOTH, LAST),
    DrawKey(7 << 64, Stream.CERTIFY, 1),
    DrawKey(7, Stream.CERTIFY, 1 << 63),
]
"""Different seeds, streams and draws beside one another."""

has_bindings = pytest.mark.skipif(
    find_spec("cuda") is None or find_spec("cuda.bindings") is None, reason="cuda-bindings is not installed"
)
has_compiler = pytest.mark.skipif(COMPILER is None, reason=NO_COMPILER)


def cpu_rows(sigma: float, size: int, keys: list[DrawKey], noise: type = GridNoise) -> npt.NDArray[np.float32]:
    rows = np.empty((len(keys), size), np.float32)
    maker = noise(sigma, size)
    for row, key in zip(rows, keys, strict=True):
        maker.fill(row, *key)
    return rows


# ---- fakes: no GPU is here, so these tests show how the driver is called, and not what it does


class FakeDriver:
    """Stands in for ``cuda.bindings.driver``; it keeps what each launch was given, as the real one does."""

    CUdevice_attribute = SimpleNamespace(
        CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR=75, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR=76
    )
    CUfunction = int

    def __init__(self) -> None:
        self.context = 1
        self.capability = (8, 9)
        self.failing = ""
        self.status = Status.CUDA_ERROR_NOT_READY
        self.loaded = 0
        self.code = b""
        self.launches: list[SimpleNamespace] = []

    def _status(self, name: str) -> int:
        return self.status if name == self.failing else 0

    def cuCtxGetCurrent(self) -> tuple[Any, ...]:
        return 0, self.context

    def cuCtxGetDevice(self) -> tuple[Any, ...]:
        return 0, 0

    def cuDeviceGetAttribute(self, attribute: int, device: int) -> tuple[Any, ...]:
        return 0, self.capability[attribute - 75]

    def cuLibraryLoadData(self, code: bytes, *options: object) -> tuple[Any, ...]:
        assert options == ([], [], 0, [], [], 0)
        self.code = code
        self.loaded += not self._status("cuLibraryLoadData")
        return self._status("cuLibraryLoadData"), 5

    def cuLibraryGetKernel(self, library: int, name: bytes) -> tuple[Any, ...]:
        assert (library, name) == (5, b"grid_noise")
        return self._status("cuLibraryGetKernel"), 6

    def cuLibraryUnload(self, library: int) -> tuple[Any, ...]:
        self.loaded -= 1
        return (0,)

    def cuLaunchKernel(self, kernel: int, *arguments: int) -> tuple[Any, ...]:
        assert kernel == 6
        *shape, shared, stream, parameters, extra = arguments
        assert (shared, extra) == (0, 0)
        pointers = (ctypes.c_void_p * 5).from_address(parameters)
        values = [np.frombuffer(ctypes.string_at(pointers[i], n), f"<{t}") for i, n, t in _PARAMETERS]
        keys = np.frombuffer(ctypes.string_at(pointers[4], KEYS.itemsize), KEYS)[0]
        self.launches.append(
            SimpleNamespace(shape=tuple(shape), stream=stream, values=[value[0] for value in values], keys=keys)
        )
        return (self._status("cuLaunchKernel"),)


_PARAMETERS = ((0, 8, "u8"), (1, 4, "u4"), (2, 4, "f4"), (3, 4, "f4"))


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeDriver:
    """A driver that is none, for a GPU of compute capability 8.9."""
    driver = FakeDriver()
    monkeypatch.setattr(device_noise, "ask_driver", lambda: driver_of("8.9"))
    monkeypatch.setattr(cuda_calls, "load_driver", lambda: driver)
    return driver


def test_fill_gives_size_scale_and_shape_when_launched_on_a_fake(fake: FakeDriver) -> None:
    DeviceNoise(sigma=0.3, size=150_528, most_draws=4).fill(4096, KEYS_OF_ALL_KINDS, 77)
    (launch,) = fake.launches
    assert launch.stream == 77
    assert launch.shape == (147, 4, 1, 128, 1, 1)  # 147 * 128 threads * 4 words = 150,528 / 2
    pointer, size, high, low = launch.values
    assert (pointer, size) == (4096, 150_528)
    assert float(high) + float(low) == pytest.approx(0.3 / GRID_STEP, rel=2.0**-47)


def test_fill_gives_every_key_when_launched_on_a_fake(fake: FakeDriver) -> None:
    DeviceNoise(sigma=0.3, size=100, most_draws=4).fill(4096, KEYS_OF_ALL_KINDS, 0)
    keys = fake.launches[0].keys
    for i, key in enumerate(KEYS_OF_ALL_KINDS):
        assert int(keys["seed_low"][i]) + (int(keys["seed_high"][i]) << 64) == key.seed
        assert (int(keys["draw"][i]), int(keys["stream"][i])) == (key.draw, key.stream)


def test_fill_takes_several_launches_when_there_are_many_keys_on_a_fake(fake: FakeDriver) -> None:
    keys = [DrawKey(i, Stream.CERTIFY, 1_000 + i) for i in range(300)]
    DeviceNoise(sigma=0.3, size=10, most_draws=300).fill(1 << 33, keys, 0)
    assert [launch.shape[1] for launch in fake.launches] == [128, 128, 44]
    assert [launch.values[0] - (1 << 33) for launch in fake.launches] == [0, 128 * 40, 256 * 40]
    drawn = [int(draw) for launch in fake.launches for draw in launch.keys["draw"][: launch.shape[1]]]
    assert drawn == [key.draw for key in keys]


def test_fill_launches_nothing_when_there_is_no_key_on_a_fake(fake: FakeDriver) -> None:
    DeviceNoise(sigma=0.3, size=10, most_draws=3).fill(4096, [], 0)
    assert fake.launches == []


@pytest.mark.parametrize(("size", "blocks"), [(1, 1), (2, 1), (1_024, 1), (1_025, 2), (1_026, 2)])
def test_fill_covers_every_pair_when_sizes_do_not_divide_on_a_fake(fake: FakeDriver, size: int, blocks: int) -> None:
    DeviceNoise(sigma=0.3, size=size, most_draws=1).fill(4096, KEYS_OF_ALL_KINDS[:1], 0)
    assert fake.launches[0].shape[0] == blocks


def test_device_noise_loads_the_gpus_own_code_or_ptx_on_a_fake(fake: FakeDriver) -> None:
    assert DeviceNoise(sigma=0.3, size=10, most_draws=1).code.file == "sm_89.cubin"
    assert fake.code.startswith(b"\x7fELF")
    fake.capability = (11, 0)
    assert DeviceNoise(sigma=0.3, size=10, most_draws=1).code.file == "compute_75.ptx"
    assert fake.code.endswith(b"\0")


def test_close_unloads_once_when_called_twice_on_a_fake(fake: FakeDriver) -> None:
    with DeviceNoise(sigma=0.3, size=10, most_draws=1) as noise:
        assert fake.loaded == 1
    noise.close()
    assert fake.loaded == 0
    with pytest.raises(ValueError, match="was closed"):
        noise.fill(4096, KEYS_OF_ALL_KINDS[:1], 0)


@pytest.mark.parametrize("failing", ["cuLibraryLoadData", "cuLibraryGetKernel"])
def test_device_noise_raises_and_leaves_nothing_loaded_when_a_fake_refuses(fake: FakeDriver, failing: str) -> None:
    fake.failing = failing
    with pytest.raises(BackendError, match=rf"the GPU fails: .*\({failing}: CUDA_ERROR_NOT_READY\)"):
        DeviceNoise(sigma=0.3, size=10, most_draws=1)
    assert fake.loaded == 0


def test_fill_raises_when_a_fake_refuses_the_launch(fake: FakeDriver) -> None:
    noise = DeviceNoise(sigma=0.3, size=10, most_draws=1)
    fake.failing = "cuLaunchKernel"
    with pytest.raises(BackendError, match="cuLaunchKernel: CUDA_ERROR_NOT_READY"):
        noise.fill(4096, KEYS_OF_ALL_KINDS[:1], 0)


def test_fill_says_that_the_gpu_is_lost_when_a_fakes_launch_finds_it_so(fake: FakeDriver) -> None:
    noise = DeviceNoise(sigma=0.3, size=10, most_draws=1, cuda=Cuda("cuda:1 (Test GPU)"))
    fake.failing, fake.status = "cuLaunchKernel", Status.CUDA_ERROR_LAUNCH_FAILED
    message = r"cuda:1 .Test GPU. was lost in mid-run .cuLaunchKernel: CUDA_ERROR_LAUNCH_FAILED.: what was finished"
    with pytest.raises(DeviceLostError, match=message):
        noise.fill(4096, KEYS_OF_ALL_KINDS[:1], 0)


def test_device_noise_raises_when_no_context_is_current_on_a_fake(fake: FakeDriver) -> None:
    fake.context = 0
    with pytest.raises(BackendError, match="no CUDA context is current in this thread"):
        DeviceNoise(sigma=0.3, size=10, most_draws=1)


def test_device_noise_raises_when_the_gpu_is_too_old_on_a_fake(fake: FakeDriver) -> None:
    fake.capability = (7, 0)
    with pytest.raises(BackendError, match=r"no code for compute capability 7\.0: use a GPU of 7\.5 or newer"):
        DeviceNoise(sigma=0.3, size=10, most_draws=1)


@pytest.mark.parametrize(
    ("key", "fault"),
    [
        (DrawKey(-1, Stream.CERTIFY, 0), "seeds have 128 bits"),
        (DrawKey(1 << 128, Stream.CERTIFY, 0), "seeds have 128 bits"),
        (DrawKey(0, Stream.CERTIFY, -1), "draws 64"),
        (DrawKey(0, Stream.CERTIFY, 1 << 64), "draws 64"),
    ],
)
def test_fill_raises_when_a_key_is_out_of_range_on_a_fake(fake: FakeDriver, key: DrawKey, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        DeviceNoise(sigma=0.3, size=10, most_draws=1).fill(4096, [key], 0)
    assert fake.launches == []


def test_fill_raises_when_there_are_more_keys_than_agreed_on_a_fake(fake: FakeDriver) -> None:
    with pytest.raises(ValueError, match="4 draws were asked for where 3 were agreed"):
        DeviceNoise(sigma=0.3, size=10, most_draws=3).fill(4096, KEYS_OF_ALL_KINDS, 0)


# ---- what is refused before there is a driver


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"sigma": 0.0}, r"sigma must lie in \(0, 2\.0\], not 0\.0"),
        ({"sigma": 2.1}, r"sigma must lie in \(0, 2\.0\], not 2\.1"),
        ({"sigma": float("nan")}, "sigma must lie in"),
        ({"size": 0}, "size must lie in"),
        ({"size": 1 << 31}, "size must lie in"),
        ({"most_draws": 0}, "most_draws must be at least 1, not 0"),
    ],
)
def test_device_noise_raises_when_an_argument_is_out_of_range(change: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        DeviceNoise(**{"sigma": 0.3, "size": 10, "most_draws": 1} | change)


@pytest.mark.parametrize(
    ("driver", "fault"),
    [
        (NO_GPU, "noise cannot be made on a GPU, no NVIDIA driver: use --device cpu"),
        (replace(driver_of("8.9"), cuda="11.8"), r"with a driver for CUDA 11\.8: install one for CUDA 12 or newer"),
    ],
)
def test_device_noise_raises_when_the_driver_is_missing_or_old(
    driver: Any, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_noise, "ask_driver", lambda: driver)
    with pytest.raises(BackendError, match=fault):
        DeviceNoise(sigma=0.3, size=10, most_draws=1)


def test_device_noise_raises_when_cuda_bindings_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_noise, "ask_driver", lambda: driver_of("8.9"))
    monkeypatch.setitem(sys.modules, "cuda.bindings", None)
    with pytest.raises(BackendError, match=r"needs cuda-bindings, which is not installed .*'fs-runtime\[gpu\]'"):
        DeviceNoise(sigma=0.3, size=10, most_draws=1)


def test_import_loads_no_cuda_when_it_is_device_noise() -> None:
    script = "import sys, fs_runtime.noise.device; print([name for name in sys.modules if name.startswith('cuda')])"
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


@pytest.mark.parametrize("sigma", [0.01, 0.1, 0.3, 0.5, 1.0, 2.0])
def test_grid_scale_adds_up_to_sigma_in_grid_steps(sigma: float) -> None:
    high, low = grid_scale(sigma)
    assert high.dtype == low.dtype == np.float32
    assert float(high[0]) + float(low[0]) == pytest.approx(sigma / GRID_STEP, rel=2.0**-47)


# ---- on a GPU; without one, the last test runs these against the fake


@pytest.fixture
def driver() -> Iterator[Any]:
    """``cuda.bindings.driver`` with a context, or a skip with the reason."""
    if problem := ask_driver().problem:
        pytest.skip(problem)
    pytest.importorskip("cuda.bindings.driver", reason="cuda-bindings is not installed")
    with device_context() as api:
        yield api


@pytest.mark.gpu
@pytest.mark.parametrize("sigma", [0.01, 0.25, 0.5, 0.5001, 2.0])
@pytest.mark.parametrize("size", [1, 105, 4_099, 3 * 224 * 224])
def test_gpu_makes_the_cpus_draws_to_one_step(driver: Any, sigma: float, size: int) -> None:
    with DeviceDraws(driver, sigma, size, 4) as device:
        made = device.rows(KEYS_OF_ALL_KINDS)
    gap = np.rint((made - cpu_rows(sigma, size, KEYS_OF_ALL_KINDS)).astype(np.float64) / GRID_STEP)
    assert np.abs(gap).max() <= 1
    # As often as on the host, but a few values may hold one.
    assert (gap != 0).sum() <= 2 + (0.05 if sigma <= 0.5 else 1e-3) * gap.size


@pytest.mark.gpu
@has_compiler
@pytest.mark.parametrize("sigma", [0.25, 2.0])
@pytest.mark.parametrize("size", [101, 104, 3 * 224 * 224])
def test_gpu_makes_the_host_builds_draws_bit_for_bit(driver: Any, sigma: float, size: int) -> None:
    keys = [DrawKey(i, Stream(i % 3), LAST - i) for i in range(130)] if size < 1_000 else KEYS_OF_ALL_KINDS
    with DeviceDraws(driver, sigma, size, len(keys)) as device:
        np.testing.assert_array_equal(device.rows(keys), cpu_rows(sigma, size, keys, HostNoise))


@pytest.mark.gpu
def test_gpu_keeps_launches_apart_when_none_is_waited_for(driver: Any) -> None:
    size, launches = 1_000, 50
    memory = driver.cuMemAlloc(4 * size * launches)[1]
    stream = driver.cuStreamCreate(0)[1]
    keys = [DrawKey(3, Stream.CERTIFY, i) for i in range(launches)]
    with DeviceNoise(sigma=1.0, size=size, most_draws=1) as noise:
        for i, key in enumerate(keys):
            noise.fill(int(memory) + 4 * size * i, [key], int(stream))
        driver.cuStreamSynchronize(stream)
        made = np.empty((launches, size), np.float32)
        driver.cuMemcpyDtoH(made.ctypes.data, memory, made.nbytes)
    driver.cuMemFree(memory)
    driver.cuStreamDestroy(stream)
    gap = np.rint((made - cpu_rows(1.0, size, keys)).astype(np.float64) / GRID_STEP)
    assert np.abs(gap).max() <= 1


@pytest.mark.gpu
@pytest.mark.slow
@pytest.mark.parametrize("sigma", [0.25, 1.0])
def test_gpu_makes_normal_unbiased_noise_when_100_million_values_are_measured(driver: Any, sigma: float) -> None:
    size, batch = 1_000_000, 25
    found = NoiseStatistics(sigma)
    with DeviceDraws(driver, sigma, size, batch) as device:
        for first in range(0, 100, batch):
            rows = device.rows([DrawKey(9, Stream.CERTIFY, first + i) for i in range(batch)])
            for row in rows:
                found.add(np.rint(row / np.float32(GRID_STEP)).astype(np.int64))
    assert found.values == 100_000_000
    assert {name: z for name, z in found.moment_scores().items() if not abs(z) < 5.0} == {}
    p_values = found.tail_p_values() | found.residue_p_values(4) | {"parity": found.residue_p_values(2)["all"]}
    assert {name: p for name, p in p_values.items() if not p > RARE} == {}


@has_bindings
@has_compiler
def test_gpu_tests_pass_on_a_fake_driver_that_runs_the_kernel_on_the_host(tmp_path: Path) -> None:
    # The real cuda-bindings with a fake libcuda.so.1: no GPU is here.
    compile_host(Path(grid_noise_host.__file__).with_name("fake_libcuda.cpp"), tmp_path / "libcuda.so.1", "-ldl")
    environment = os.environ | {"LD_LIBRARY_PATH": str(tmp_path)}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-rs",
        "-p",
        "no:cacheprovider",
        "-m",
        "gpu and not slow",
        __file__,
    ]
    outcome = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert outcome.returncode == 0, outcome.stdout
    assert "27 passed" in outcome.stdout
    assert "skipped" not in outcome.stdout
