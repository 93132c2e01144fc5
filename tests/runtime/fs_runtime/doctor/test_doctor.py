"""What the doctor finds, on this machine and on ones that are made up."""

import ctypes
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from helpers import tiny
from helpers.command import invoke
from helpers.engines import NO_GPU, driver_of

from fs_runtime.bundle import Bundle, read_bundle
from fs_runtime.bundle.engines import EngineHost, incompatibility, read_plan
from fs_runtime.bundle.manifest import Engine, EngineSettings
from fs_runtime.cli.main import cli
from fs_runtime.cuda_driver import Driver, Gpu
from fs_runtime.doctor import Check, Device, diagnose, diagnosis, nvidia, packages, tensorrt
from fs_runtime.doctor import bundle as bundle_checks
from fs_runtime.doctor.bundle import check_engines, check_memory, open_bundle
from fs_runtime.doctor.noise import check_noise
from fs_runtime.doctor.nvidia import check_driver
from fs_runtime.doctor.onnx_runtime import check_onnx_runtime
from fs_runtime.doctor.packages import Package, check_packages, check_python
from fs_runtime.doctor.tensorrt import check_tensorrt
from fs_runtime.errors import BundleError
from fs_runtime.noise.device import compiled

ENGINE = Engine(
    file="engines/rtx/model.plan",
    sha256="0" * 64,
    bytes=4,
    builder="tensorrt-rtx",
    version="1.7.1.116",
    graph_sha256="0" * 64,
    precision_requested="fp32",
    precision_observed="fp32",
    compute_capability="8.9",
    noise_batch=4,
    parity_not_run="no GPU",
)
HOST = EngineHost("tensorrt-rtx", "1.7.1.116", "8.9")


def _status(checks: list[Check] | tuple[Check, ...]) -> dict[str, str]:
    return {check.id: check.status for check in checks}


def _bundle(tmp_path: Path, *engines: Engine) -> Bundle:
    bundle = read_bundle(tiny.write_bundle(tmp_path / "bundle"))
    return Bundle(bundle.root, msgspec.structs.replace(bundle.manifest, engines=engines), "")


@pytest.mark.parametrize("remedy", ["", "  "])
def test_check_cannot_be_made_when_it_failed_and_has_no_remedy(remedy: str) -> None:
    with pytest.raises(ValueError, match="says nothing that would help"):
        Check("driver", "failed", "a GPU", "none", remedy)
    Check("driver", "absent", "a GPU", "none", remedy)


# ---- packages


def test_check_packages_are_fine_when_they_are_those_of_the_tests() -> None:
    assert set(_status(check_packages(packages.RUNTIME_PACKAGES)).values()) == {"ok"}
    assert check_python().status == "ok"


def test_check_python_fails_when_it_is_too_old() -> None:
    check = check_python((sys.version_info.major, sys.version_info.minor + 1))
    assert check.status == "failed"
    assert check.remedy.startswith("install Python")


def test_check_packages_say_what_to_install_when_one_is_missing_old_or_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fs_test_broken.py").write_text("raise ImportError('libfoo.so is missing')")
    monkeypatch.syspath_prepend(tmp_path)
    versions = {"old": "1.2.3rc1", "broken": "2.0"}

    def version(name: str) -> str:
        if name not in versions:
            raise PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(packages, "version", version)
    wanted = [Package("none", "json", "1"), Package("old", "json", "1.3"), Package("broken", "fs_test_broken", "1")]
    missing, old, broken = check_packages(wanted)
    assert (missing.actual, missing.remedy) == ("not installed", "pip install 'none>=1'")
    assert (old.status, old.actual) == ("failed", "1.2.3rc1")
    assert "libfoo.so is missing" in broken.actual
    assert "--force-reinstall" in broken.remedy


# ---- ONNX Runtime


def test_check_onnx_runtime_opens_the_cpu_provider() -> None:
    status = _status(check_onnx_runtime(needs_cpu=True, needs_cuda=False))
    assert status["onnxruntime"] == status["onnxruntime.cpu"] == "ok"


def test_check_onnx_runtime_fails_when_a_listed_provider_gives_way_to_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake = SimpleNamespace(
        __version__="1.31",
        set_default_logger_severity=lambda _: None,
        get_available_providers=lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"],
        InferenceSession=lambda *_, **__: SimpleNamespace(get_providers=lambda: ["CPUExecutionProvider"]),
    )
    monkeypatch.setitem(sys.modules, "onnxruntime", fake)
    for needed, expected in ((True, "failed"), (False, "absent")):
        checks = check_onnx_runtime(needs_cpu=True, needs_cuda=needed)
        cuda = next(check for check in checks if check.id == "onnxruntime.cuda")
        assert cuda.status == expected
        assert cuda.actual == "a session opened CPUExecutionProvider instead"


def test_check_onnx_runtime_fails_when_a_provider_opens_but_lacks_cudnn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # ONNX Runtime and the loader are fakes here: the session opens, as it does without cuDNN.
    (tmp_path / "capi").mkdir()
    (tmp_path / "capi/libonnxruntime_providers_cuda.so").write_bytes(b"")
    fake = SimpleNamespace(
        __version__="1.31",
        __file__=str(tmp_path / "__init__.py"),
        set_default_logger_severity=lambda _: None,
        get_available_providers=lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"],
        InferenceSession=lambda *_, providers, **__: SimpleNamespace(get_providers=lambda: providers),
    )

    def load(path: str, mode: int = 0) -> None:
        if path == "libcudnn.so.9":
            raise OSError(f"{path}: cannot open shared object file: No such file or directory")

    monkeypatch.setitem(sys.modules, "onnxruntime", fake)
    monkeypatch.setattr(ctypes, "CDLL", load)
    checks = check_onnx_runtime(needs_cpu=True, needs_cuda=True)
    cuda = next(check for check in checks if check.id == "onnxruntime.cuda")
    assert (cuda.status, cuda.actual) == ("failed", "libcudnn.so.9 is not found")
    assert "one that you built yourself must be too: build it against cuDNN 9" in cuda.remedy
    assert "cuDNN 9" in cuda.remedy
    assert _status(checks)["onnxruntime.cpu"] == "ok"


def test_check_onnx_runtime_names_the_library_when_a_provider_lacks_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler here, which makes the library that lacks another")
    folder = tmp_path / "capi"
    folder.mkdir()
    for name in ("missing", "onnxruntime_providers_shared"):
        subprocess.run([compiler, "-shared", "-o", folder / f"lib{name}.so", "-x", "c", "/dev/null"], check=True)
    linked = ("-Wl,--no-as-needed", f"-L{folder}", "-lmissing")
    provider = folder / "libonnxruntime_providers_cuda.so"
    subprocess.run([compiler, "-shared", "-o", provider, "-x", "c", "/dev/null", *linked], check=True)
    (folder / "libmissing.so").unlink()
    fake = SimpleNamespace(
        __version__="1.31",
        __file__=str(tmp_path / "__init__.py"),
        set_default_logger_severity=lambda _: None,
        preload_dlls=lambda: sys.stdout.write("cannot find libcublas.so.13"),
        get_available_providers=lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"],
        InferenceSession=lambda *_, **__: SimpleNamespace(get_providers=lambda: ["CPUExecutionProvider"]),
    )
    monkeypatch.setitem(sys.modules, "onnxruntime", fake)
    checks = check_onnx_runtime(needs_cpu=False, needs_cuda=True)
    cuda = next(check for check in checks if check.id == "onnxruntime.cuda")
    assert (cuda.status, cuda.actual) == ("failed", "libmissing.so is not found")
    assert capsys.readouterr().out == ""


def test_check_onnx_runtime_fails_when_it_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    (check,) = check_onnx_runtime(needs_cpu=True, needs_cuda=False)
    assert check.status == "failed"
    assert "fs-runtime[cpu]" in check.remedy
    (check,) = check_onnx_runtime(needs_cpu=False, needs_cuda=False)
    assert check.status == "absent"


# ---- NVIDIA and TensorRT


def test_check_driver_names_the_gpu_when_there_is_one() -> None:
    driver, gpu = check_driver(driver_of("8.9"), needed=True)
    assert (driver.status, gpu.status) == ("ok", "ok")
    assert gpu.actual == "Test GPU, compute capability 8.9, 8.0 GiB, 6.0 GiB free"


@pytest.mark.parametrize(("wanted", "status"), [("13", "ok"), ("12", "ok"), ("14", "failed")])
def test_check_driver_fails_when_the_driver_is_older_than_the_cuda_that_is_needed(wanted: str, status: str) -> None:
    check = check_driver(driver_of("8.9"), needed=True, cuda=wanted)[-1]
    assert (check.id, check.status) == ("driver.cuda", status)
    assert check.actual == "the driver supports CUDA up to 13.0"
    if status == "failed":
        assert "update NVIDIA's driver to one for CUDA 14" in check.remedy
        assert check_driver(driver_of("8.9"), needed=False, cuda=wanted)[-1].status == "absent"


@pytest.mark.parametrize(
    ("cuda", "runtime", "cudnn"),
    [
        ("12", ("libcudart.so.12", "nvidia-cuda-runtime-cu12"), "nvidia-cudnn-cu12"),
        ("13", ("libcudart.so.13", "'nvidia-cuda-runtime==13.*'"), "nvidia-cudnn-cu13"),
    ],
)
def test_check_libraries_want_the_cuda_that_onnx_runtime_was_built_with(
    cuda: str, runtime: tuple[str, str], cudnn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_library(name: str) -> None:
        raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", no_library)
    checks = {check.id: check for check in nvidia.check_libraries(needed=True, cuda=cuda)}
    assert checks["cuda.runtime"].expected == runtime[0]
    assert runtime[1] in checks["cuda.runtime"].remedy
    assert checks["cuda.cudnn"].expected == "libcudnn.so.9"
    assert cudnn in checks["cuda.cudnn"].remedy
    monkeypatch.setitem(sys.modules, "onnxruntime", SimpleNamespace(cuda_version=f"{cuda}.8"))
    assert nvidia.needed_cuda() == cuda


def test_check_libraries_want_the_cudnn_that_onnx_runtime_was_built_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvidia, "cudnn_version", lambda _: 8)
    (check,) = (check for check in nvidia.check_libraries(needed=True) if check.id == "cuda.cudnn")
    assert check.expected == "libcudnn.so.8"
    assert "install cuDNN 8" in check.remedy


def test_check_libraries_tell_the_version_when_a_library_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for CUDA's libraries, by the numbers that they are known to give."""

    class Library(dict):  # type: ignore[type-arg]
        def __init__(self, name: str) -> None:
            super().__init__(cudaRuntimeGetVersion=self.runtime, cudnnGetVersion=Cudnn())

        def runtime(self, number: Any) -> int:
            number._obj.value = 13010
            return 0

    class Cudnn:
        restype = None

        def __call__(self) -> int:
            return 91002

    monkeypatch.setattr(ctypes, "CDLL", Library)
    actual = {check.id: check.actual for check in nvidia.check_libraries(needed=True)}
    assert actual["cuda.runtime"] == "libcudart.so.13, version 13.1"
    assert actual["cuda.cublas"] == "libcublas.so.13"
    assert actual["cuda.cudnn"] == "libcudnn.so.9, version 9.10.2"


@pytest.mark.parametrize(("needed", "status"), [(True, "failed"), (False, "absent")])
def test_gpu_checks_fail_only_when_a_gpu_was_asked_for(
    needed: bool, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_library(name: str) -> None:
        raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", no_library)
    checks = [
        *check_driver(NO_GPU, needed=needed),
        *nvidia.check_libraries(needed=needed),
        *check_tensorrt({}, needed=needed),
    ]
    assert {check.status for check in checks} == {status}
    assert len(checks) == 6


@pytest.mark.parametrize(
    ("compute_capability", "actual"),
    [
        ("8.9", "cubin for compute capability 8.9 (NVRTC 12.0.140)"),
        ("11.0", "PTX, compiled by the driver, for compute capability 7.5 (NVRTC 12.0.140)"),
    ],
)
def test_check_noise_names_the_code_for_the_gpu(
    compute_capability: str, actual: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cuda.bindings.driver", SimpleNamespace())
    (check,) = check_noise(driver_of(compute_capability), needed=True)
    assert (check.id, check.status, check.actual) == ("noise.gpu.0", "ok", actual)
    assert check.expected == f"code for compute capability {compute_capability}"


@pytest.mark.parametrize(
    ("driver", "bindings", "actual", "remedy"),
    [
        (driver_of("7.0"), SimpleNamespace(), "no code for 7.0", "7.5 or newer"),
        (driver_of("8.9"), None, "cuda-bindings cannot be imported", "pip install 'fs-runtime[gpu]'"),
        (replace(driver_of("8.9"), cuda="11.8"), SimpleNamespace(), "the driver is for CUDA 11.8", "CUDA 12 or newer"),
    ],
)
def test_check_noise_fails_when_the_kernel_cannot_be_launched(
    driver: Driver, bindings: object, actual: str, remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cuda.bindings.driver", bindings)
    (check,) = check_noise(driver, needed=True)
    assert check.status == "failed"
    assert actual in check.actual
    assert remedy in check.remedy
    assert check_noise(driver, needed=False)[0].status == "absent"


def test_check_noise_lists_what_there_is_when_there_is_no_gpu() -> None:
    (check,) = check_noise(NO_GPU, needed=True)
    assert check.status == "absent"
    assert check.actual == "code for 7.5, 8.0, 8.6, 8.7, 8.9, 9.0, 10.0, 10.3, 12.0, 12.1, PTX; no GPU to run it"


def test_check_noise_fails_when_the_kernels_are_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "KERNELS", tmp_path)
    compiled.compiled_kernels.cache_clear()
    (check,) = check_noise(NO_GPU, needed=True)
    compiled.compiled_kernels.cache_clear()
    assert (check.status, check.remedy) == ("failed", "install fs-runtime again")


def test_check_tensorrt_is_content_with_either() -> None:
    assert _status(check_tensorrt({"tensorrt-rtx": "1.7.1"}, needed=True)) == {
        "tensorrt": "absent",
        "tensorrt-rtx": "ok",
    }
    broken = check_tensorrt({"tensorrt": "!libnvinfer.so.10 is missing"}, needed=True)[0]
    assert (broken.status, broken.actual) == ("failed", "libnvinfer.so.10 is missing")
    old = check_tensorrt({"tensorrt": "10.3.0"}, needed=True)[0]
    assert (old.status, old.expected, old.actual) == ("failed", "installed, >=10.16,<12.0", "10.3.0")


@pytest.mark.parametrize("version", ["11.0rc1", "unknown", ""])
def test_check_tensorrt_fails_and_says_so_when_a_version_cannot_be_read(version: str) -> None:
    check = check_tensorrt({"tensorrt": version}, needed=True)[0]
    assert (check.status, check.actual) == ("failed", f"'{version}' (a version that cannot be read)")
    assert check_tensorrt({"tensorrt": version, "tensorrt-rtx": "1.7.1"}, needed=True)[1].status == "ok"


# ---- plans


@pytest.mark.parametrize(
    ("settings", "host", "fault"),
    [
        ({}, HOST, None),
        ({}, EngineHost("tensorrt-rtx", "1.7.1.200", "8.9"), None),
        ({}, EngineHost("tensorrt", "1.7.1.116", "8.9"), "it is for tensorrt-rtx, here is tensorrt"),
        ({}, EngineHost("tensorrt-rtx", "1.8.0.1", "8.9"), "built by tensorrt-rtx 1.7.1.116, here is 1.8.0.1"),
        ({}, EngineHost("tensorrt-rtx", "1.7.1.116", "8.6"), "compute capability 8.9, this GPU has 8.6"),
        ({"version_compatible": True}, EngineHost("tensorrt-rtx", "1.8.0", "8.9"), None),
        ({"version_compatible": True}, EngineHost("tensorrt-rtx", "1.7.0", "8.9"), "here is 1.7.0"),
        ({"version_compatible": True}, EngineHost("tensorrt-rtx", "2.0.0", "8.9"), "here is 2.0.0"),
        ({"hardware_compatible": True}, EngineHost("tensorrt-rtx", "1.7.1", "12.0"), None),
        ({"hardware_compatible": True}, EngineHost("tensorrt-rtx", "1.7.1", "7.5"), "this GPU has 7.5"),
    ],
)
def test_incompatibility_names_both_sides(settings: dict[str, bool], host: EngineHost, fault: str | None) -> None:
    found = incompatibility(msgspec.structs.replace(ENGINE, settings=EngineSettings(**settings)), host)
    assert found is None if fault is None else found is not None and fault in found


def test_read_plan_refuses_when_the_plan_is_not_listed_or_changed(tmp_path: Path) -> None:
    bundle = _bundle(tmp_path, ENGINE)
    path = bundle.root / ENGINE.file
    path.parent.mkdir(parents=True)
    path.write_bytes(b"evil")
    with pytest.raises(BundleError, match="changed while it was opened"):
        read_plan(bundle, ENGINE)
    with pytest.raises(BundleError, match="does not list"):
        read_plan(_bundle(tmp_path / "other"), ENGINE)


def test_check_engines_is_content_when_one_plan_runs(tmp_path: Path) -> None:
    other = msgspec.structs.replace(ENGINE, file="engines/other/model.plan", compute_capability="12.0")
    bundle = _bundle(tmp_path, ENGINE, other)
    versions = {"tensorrt-rtx": "1.7.1.116"}
    assert _status(check_engines(bundle, driver_of("8.9"), versions, needed=True)) == {
        "plan.rtx": "ok",
        "plan.other": "absent",
    }
    assert set(_status(check_engines(bundle, driver_of("7.5"), versions, needed=True)).values()) == {"failed"}
    assert set(_status(check_engines(bundle, NO_GPU, versions, needed=False)).values()) == {"absent"}
    for found, actual in (
        ({}, "is not installed"),
        ({"tensorrt-rtx": "!no libnvinfer"}, "does not load (no libnvinfer)"),
    ):
        check = check_engines(bundle, driver_of("8.9"), found, needed=True)[0]
        assert (check.status, check.actual) == ("failed", f"tensorrt-rtx {actual}")
    (none,) = check_engines(_bundle(tmp_path / "none"), driver_of("8.9"), versions, needed=True)
    assert (none.status, none.actual) == ("failed", "the bundle has none")


def test_check_memory_fails_when_the_bundle_does_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = _bundle(tmp_path).manifest
    assert check_memory(manifest, NO_GPU, on_gpu=False).status == "ok"
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:  9 kB\nMemAvailable:       4 kB\n")
    monkeypatch.setattr(bundle_checks, "_MEMINFO", meminfo)
    assert check_memory(manifest, NO_GPU, on_gpu=False).status == "failed"
    assert check_memory(manifest, driver_of("8.9"), on_gpu=True).status == "ok"
    large = msgspec.structs.replace(manifest, engines=(msgspec.structs.replace(ENGINE, bytes=7 << 30),))
    assert check_memory(large, driver_of("8.9"), on_gpu=True).status == "ok"
    assert check_memory(large, driver_of("8.9"), on_gpu=True, plans=True).status == "failed"
    assert check_memory(manifest, NO_GPU, on_gpu=True).status == "absent"


def test_check_memory_fails_only_when_the_bundle_fits_on_no_gpu(tmp_path: Path) -> None:
    first, second = (Gpu(index, "Test GPU", "8.9", 8 << 30, free) for index, free in ((0, 1 << 10), (1, 6 << 30)))
    manifest = _bundle(tmp_path).manifest

    def check(*gpus: Gpu) -> Check:
        return check_memory(manifest, Driver("580.65", "13.0", gpus, ""), on_gpu=True)

    one = check(first, second)
    assert (one.status, one.actual) == (
        "ok",
        "cuda:0 0 MiB free, cuda:1 6144 MiB free: choose one with --device (cuda:1)",
    )
    assert (check(first).status, check(first).actual) == ("failed", "cuda:0 0 MiB free")
    assert (check(second).status, check(second).actual) == ("ok", "cuda:1 6144 MiB free")


@pytest.mark.parametrize(
    ("device", "wanted", "by"), [("cuda", "13", "onnxruntime-gpu"), ("tensorrt", "12", "TensorRT")]
)
def test_diagnose_holds_the_driver_against_the_cuda_of_what_runs(
    monkeypatch: pytest.MonkeyPatch, device: Device, wanted: str, by: str
) -> None:
    driver = Driver("470.1", "11.4", driver_of("8.9").gpus, "")
    installed = [SimpleNamespace(metadata={"Name": name}) for name in ("tensorrt_rtx_cu13", "tensorrt-cu12", "numpy")]
    monkeypatch.setattr(tensorrt, "distributions", lambda: installed)
    monkeypatch.setattr(diagnosis, "ask_driver", lambda **_: driver)
    (check,) = (check for check in diagnose(device=device) if check.id == "driver.cuda")
    assert (check.status, check.expected) == ("failed", f"CUDA {wanted}, which this {by} is built with")
    assert f"for CUDA {wanted}, or install one of {by} for CUDA 11" in check.remedy


def test_open_bundle_gives_the_readers_reason_and_remedy(tmp_path: Path) -> None:
    root = tiny.write_bundle(tmp_path / "bundle")
    (root / "model.onnx").write_bytes(b"damaged")
    bundle, check = open_bundle(root)
    assert bundle is None
    assert check.status == "failed"
    assert "model.onnx" in check.actual
    assert check.remedy == "copy the whole bundle again"


# ---- the command


def test_doctor_is_content_when_there_is_no_gpu_and_none_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diagnosis, "ask_driver", lambda **_: NO_GPU)
    root = tiny.write_bundle(tmp_path / "bundle")
    outcome = invoke(cli, "doctor", root, "--json")
    assert (outcome.code, outcome.err) == (0, "")
    lines = [json.loads(line) for line in outcome.out.splitlines()]
    assert {line["schema"] for line in lines} == {"fs-runtime/check/1"}
    status = {line["id"]: line["status"] for line in lines}
    assert status["driver"] == "absent"
    assert status["bundle"] == status["memory.cpu"] == "ok"
    assert "failed" not in status.values()


@pytest.mark.parametrize("device", ["cuda", "tensorrt"])
def test_doctor_exits_4_with_remedies_when_the_gpu_asked_for_is_missing(
    device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diagnosis, "ask_driver", lambda **_: NO_GPU)
    outcome = invoke(cli, "doctor", "--device", device)
    assert outcome.code == 4
    assert "no NVIDIA driver" in outcome.out
    assert "driver: install NVIDIA's driver" in outcome.err


def test_doctor_exits_4_when_the_bundle_is_none(tmp_path: Path) -> None:
    outcome = invoke(cli, "doctor", tmp_path / "nowhere")
    assert outcome.code == 4
    assert "name the bundle that fs-export wrote" in outcome.err


def test_diagnose_gives_each_check_once() -> None:
    names = [check.id for check in diagnose()]
    assert len(names) == len(set(names))
