"""The compiled kernel: what lies there is what the sources give, and its instructions give the noise."""

import hashlib
import importlib.util
import re
import struct
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from helpers.grid_noise_host import COMPILER, NO_COMPILER, HostNoise, scale_of
from helpers.ptx import PtxKernel

from fs_runtime.errors import BackendError
from fs_runtime.noise import DrawKey, Stream
from fs_runtime.noise.device import compiled, compiled_kernels, kernel_for
from fs_runtime.noise.device.compiled import (
    COMPILER_OPTIONS,
    ENTRY,
    INDEX,
    KERNELS,
    SOURCES,
    THREADS,
    CompiledKernel,
    read_kernel,
    source_sha256,
)
from fs_runtime.noise.device.device_noise import KEYS

BUILD = Path(__file__).parents[5] / "runtime" / "build_kernels.py"
ALL = compiled_kernels().kernels
CUBINS = [kernel for kernel in ALL if kernel.kind == "cubin"]


def named(kernels: list[CompiledKernel] | tuple[CompiledKernel, ...]) -> list[object]:
    return [pytest.param(kernel, id=kernel.file) for kernel in kernels]


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the folder, which the package uses until the test ends."""
    for path in KERNELS.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(compiled, "KERNELS", tmp_path)
    compiled_kernels.cache_clear()
    yield tmp_path
    compiled_kernels.cache_clear()


# ---- what lies there


def test_index_names_the_sources_that_lie_there() -> None:
    assert compiled_kernels().source_sha256 == source_sha256()
    assert compiled_kernels().options == COMPILER_OPTIONS


def test_index_lists_every_file_that_lies_there() -> None:
    assert {path.name for path in KERNELS.iterdir()} == {INDEX, *SOURCES, *(kernel.file for kernel in ALL)}


@pytest.mark.parametrize("kernel", named(ALL))
def test_index_tells_each_files_hash_and_size(kernel: CompiledKernel) -> None:
    code = (KERNELS / kernel.file).read_bytes()
    assert (hashlib.sha256(code).hexdigest(), len(code)) == (kernel.sha256, kernel.bytes)


@pytest.mark.parametrize("kernel", named(CUBINS))
def test_cubin_is_machine_code_for_its_gpu(kernel: CompiledKernel) -> None:
    code = read_kernel(kernel)
    machine, flags = struct.unpack_from("<H", code, 18)[0], struct.unpack_from("<I", code, 48)[0]
    assert code[:4] == b"\x7fELF"
    assert machine == 190  # EM_CUDA
    number = int(kernel.compute_capability.replace(".", ""))
    # The newer form of these files, from 10.0 on, keeps the number a byte further up.
    assert (flags >> 8 if number >= 100 else flags) & 0xFF == number
    assert f".text.{ENTRY}\0".encode() in code


def load_build_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build_kernels", BUILD)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_build_gives_the_same_bytes_when_the_compilers_are_here() -> None:
    script = load_build_script()
    missing = [version for version in script.TARGETS if not list((script.COMPILERS / version).glob("**/libnvrtc.so.*"))]
    if missing:
        pytest.skip(f"NVRTC {', '.join(missing)} is not in build/nvrtc: python runtime/build_kernels.py --check")
    assert list(script.differing(script.built(script.COMPILERS))) == []


# ---- which code for which GPU


@pytest.mark.parametrize(
    ("compute_capability", "file"),
    [
        ("7.5", "sm_75.cubin"),
        ("8.0", "sm_80.cubin"),
        ("8.6", "sm_86.cubin"),
        ("8.7", "sm_87.cubin"),
        ("8.9", "sm_89.cubin"),
        ("9.0", "sm_90.cubin"),
        ("10.0", "sm_100.cubin"),
        ("10.3", "sm_103.cubin"),
        ("12.0", "sm_120.cubin"),
        ("12.1", "sm_121.cubin"),
        ("8.8", "compute_75.ptx"),
        ("11.0", "compute_75.ptx"),
        ("13.0", "compute_75.ptx"),
    ],
)
def test_kernel_for_takes_the_gpus_own_code_or_else_ptx(compute_capability: str, file: str) -> None:
    kernel = kernel_for(compute_capability)
    assert kernel is not None
    assert kernel.file == file


@pytest.mark.parametrize("compute_capability", ["7.2", "7.0", "5.3"])
def test_kernel_for_gives_none_when_the_gpu_is_too_old(compute_capability: str) -> None:
    assert kernel_for(compute_capability) is None


def test_read_kernel_raises_when_a_file_is_damaged(copied: Path) -> None:
    kernel = kernel_for("8.9")
    assert kernel is not None
    path = copied / kernel.file
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(BackendError, match=r"sm_89\.cubin is not the code that the index lists: install"):
        read_kernel(kernel)


def test_read_kernel_raises_when_a_file_is_missing(copied: Path) -> None:
    kernel = kernel_for("8.9")
    assert kernel is not None
    (copied / kernel.file).unlink()
    with pytest.raises(BackendError, match=r"sm_89\.cubin cannot be read .*: install fs-runtime again"):
        read_kernel(kernel)


@pytest.mark.parametrize("index", [b"", b"{}", b'{"schema": "fs-runtime/noise-kernels/2"}'])
def test_compiled_kernels_raises_when_the_index_is_damaged(copied: Path, index: bytes) -> None:
    (copied / INDEX).write_bytes(index)
    with pytest.raises(BackendError, match=r"index\.json cannot be read .*: install fs-runtime again"):
        kernel_for("8.9")


# ---- what the PTX does


@pytest.fixture(scope="module")
def ptx() -> PtxKernel:
    return PtxKernel((KERNELS / "compute_75.ptx").read_text(), ENTRY)


def test_ptx_can_be_compiled_by_the_oldest_driver_that_is_served() -> None:
    text = (KERNELS / "compute_75.ptx").read_text()
    assert re.findall(r"^\.(?:version|target) .*$", text, re.MULTILINE) == [".version 8.0", ".target sm_75"]
    assert read_kernel(next(kernel for kernel in ALL if kernel.kind == "ptx")).endswith(b"}\n\n\0")


def test_ptx_takes_the_parameters_that_a_launch_gives(ptx: PtxKernel) -> None:
    sizes = [size for _, size in ptx.parameters.values()]
    assert sizes == [8, 4, 4, 4, KEYS.itemsize]
    assert max(offset + size for offset, size in ptx.parameters.values()) <= 4096


def test_ptx_has_no_arithmetic_that_other_gpus_could_do_otherwise(ptx: PtxKernel) -> None:
    floating = {each.name for each in ptx.instructions if re.search(r"\.f(16|32|64)", each.name)}
    arithmetic = {name for name in floating if not name.startswith(("ld.", "st.", "mov.", "selp.", "cvt."))}
    assert arithmetic == {f"{name}.rn.f32" for name in ("add", "sub", "mul", "fma", "rcp", "sqrt")} | {"neg.f32"}
    assert not [name for name in floating if re.search(r"approx|ftz|sat|f64|f16", name)]


@pytest.mark.skipif(COMPILER is None, reason=NO_COMPILER)
@pytest.mark.parametrize(("size", "start"), [(101, 1 << 20), (128, 1 << 20), (128, (1 << 20) + 4), (1, 1 << 20)])
def test_ptx_stores_the_noise_of_its_key_when_run_instruction_by_instruction(
    ptx: PtxKernel, size: int, start: int
) -> None:
    keys = [DrawKey((7 << 64) + 5, Stream.CERTIFY, 11), DrawKey((1 << 128) - 1, Stream.SMOOTH, (1 << 64) - 1)]
    packed = np.zeros(1, KEYS)
    for i, key in enumerate(keys):
        for name, value in zip(
            ("seed_low", "seed_high", "draw", "stream"),
            (key.seed % (1 << 64), key.seed >> 64, key.draw, key.stream),
            strict=True,
        ):
            packed[name][0, i] = value
    parameters = ptx.packed(
        struct.pack("<Q", start),
        struct.pack("<I", size),
        *(struct.pack("<f", part) for part in scale_of(0.7)),
        packed.tobytes(),
    )
    memory: dict[int, np.float32] = {}
    threads = -(-(size - size // 2) // 4)
    for row in range(len(keys)):
        for thread in range(threads + 1):  # the last one has nothing to do
            block, index = divmod(thread, THREADS)
            stored = ptx.run(parameters, {"%ctaid.x": block, "%ctaid.y": row, "%tid.x": index})
            assert not memory.keys() & stored.keys()
            memory |= stored
    assert sorted(memory) == list(range(start, start + 4 * size * len(keys), 4))
    made = np.array([memory[address] for address in sorted(memory)]).reshape(len(keys), size)
    for row, key in zip(made, keys, strict=True):
        expected = np.empty(size, np.float32)
        HostNoise(0.7, size).fill(expected, *key)
        np.testing.assert_array_equal(row, expected)
