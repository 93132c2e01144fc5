"""Backends on a real GPU: whole certificates against the CPU's. Where there is none, all of this is skipped."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import tiny
from helpers.engines import gpu_here

import fs_runtime
from fs_runtime.backends import open_backend
from fs_runtime.backends.clock import device_seconds
from fs_runtime.bundle import read_bundle
from fs_runtime.errors import BackendError

pytestmark = pytest.mark.gpu

IMAGES = [tiny.image_array(seed=seed) for seed in range(4)]
NO_PLAN = 4
BUILD = f"""
import sys
from fs_exporters.tensorrt import BuildRequest, build_engines
from fs_runtime.errors import BackendError, InputError
target, *bundles = sys.argv[1:]
for bundle in bundles:
    try:
        build_engines(bundle, BuildRequest(target, threads=1))
    except (BackendError, InputError) as error:
        print(error)
        sys.exit({NO_PLAN})
"""
SETTINGS: dict[str, Any] = {"draws": 400, "alpha": 0.05, "pilot": 64, "seed": 5}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bundles, with plans where a TensorRT here builds some for the GPU."""
    gpu_here()
    made = tmp_path_factory.mktemp("bundles")
    for tap in ("pooled", "tokens"):
        for images in (1, 3):
            tiny.write_bundle(made / f"{tap}{images}", tap=tap, images=images, noise_batch=16)
    return made


@pytest.fixture(params=["onnxruntime", "tensorrt", "tensorrt-rtx"])
def backend(request: pytest.FixtureRequest, folder: Path) -> str:
    """A backend that can be had here, or a skip with the reason."""
    kind = str(request.param)
    if kind == "onnxruntime":
        from fs_runtime.backends.onnxruntime.libraries import check_provider

        try:
            check_provider("CUDAExecutionProvider")
        except BackendError as error:
            pytest.skip(str(error))
        return kind
    pytest.importorskip("fs_exporters.tensorrt")
    bundles = sorted(folder.glob("*[13]"))
    missing = [
        str(bundle)
        for bundle in bundles
        if not any(engine.builder == kind for engine in read_bundle(bundle).manifest.engines)
    ]
    if missing:
        # In a process of its own: one that has built by one TensorRT does not build by the other.
        build = subprocess.run([sys.executable, "-c", BUILD, kind, *missing], capture_output=True, text=True)
        if build.returncode == NO_PLAN:
            pytest.skip(f"no plan of {kind} for this GPU: {build.stdout.strip()}")
        assert build.returncode == 0, build.stderr
    return "tensorrt"


@pytest.mark.parametrize("bundle", ["pooled1", "tokens1", "pooled3", "tokens3"])
@pytest.mark.parametrize("captures", ["0", "1"])
def test_certificates_replay_on_gpu_and_cpu_when_they_were_made_on_the_gpu(
    folder: Path, backend: str, bundle: str, captures: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FS_CUDA_GRAPH", captures)
    with fs_runtime.load(folder / bundle, backend=backend, device="cuda", threads=1) as encoder:
        results = list(encoder.certify_many(IMAGES, **SETTINGS))
        certificates = [result.certificate for result in results if result.certificate is not None]
        assert len(certificates) == len(IMAGES)
        again = encoder.replay(certificates[0], IMAGES[0])
        assert again.same_backend
        assert again.differences == ()
    with fs_runtime.load(folder / bundle, threads=1) as encoder:
        for certificate, image in zip(certificates, IMAGES, strict=True):
            again = encoder.replay(certificate, image)
            assert not again.same_backend
            assert again.differences == ()


def test_target_and_clean_reference_are_those_of_the_cpu(folder: Path, backend: str) -> None:
    asked: list[dict[str, Any]] = [
        SETTINGS | {"reference": "clean"},
        {"draws": 5000, "alpha": 0.05, "until": fs_runtime.Target(0.02, 0.4), "seed": 5},
    ]
    for each in asked:
        with fs_runtime.load(folder / "pooled1", backend=backend, device="cuda", threads=1) as encoder:
            found = encoder.certify(IMAGES[0], **each)
        with fs_runtime.load(folder / "pooled1", threads=1) as encoder:
            expected = encoder.certify(IMAGES[0], **each)
        np.testing.assert_allclose(found.reference, expected.reference, atol=1e-4)
        assert found.angle(0.02) == pytest.approx(expected.angle(0.02), abs=5e-3)


def test_device_seconds_count_all_three_when_blocks_ran(folder: Path, backend: str) -> None:
    with fs_runtime.load(folder / "pooled1", backend=backend, device="cuda", threads=1) as encoder:
        before = device_seconds(encoder.backend)
        encoder.certify(IMAGES[0], **SETTINGS)
        after = device_seconds(encoder.backend)
    assert before is not None
    assert after is not None
    taken = after.since(before)
    assert min(taken.copy, taken.noise, taken.graph) > 0.0


def test_two_encoders_and_two_processes_share_the_gpu(folder: Path, backend: str, tmp_path: Path) -> None:
    bundle, image = folder / "pooled1", tmp_path / "image.npy"
    np.save(image, IMAGES[0])
    script = (
        "import sys, numpy, fs_runtime\n"
        "with fs_runtime.load(sys.argv[1], backend=sys.argv[2], device='cuda', threads=1) as encoder:\n"
        "    print(encoder.certify(numpy.load(sys.argv[3]), draws=400, alpha=0.05, pilot=64, seed=5).to_json())\n"
    )
    command = [sys.executable, "-c", script, bundle, backend, image]
    others = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    with (
        fs_runtime.load(bundle, backend=backend, device="cuda", threads=1) as first,
        fs_runtime.load(bundle, backend=backend, device="cuda", threads=1) as second,
    ):
        here = first.certify(IMAGES[0], **SETTINGS)
        assert second.replay(here, IMAGES[0]).differences == ()
        for other in others:
            out, _ = other.communicate(timeout=300)
            assert other.returncode == 0
            assert first.replay(fs_runtime.FeatureCertificate.from_json(out), IMAGES[0]).differences == ()


def test_open_says_what_would_fit_when_the_gpu_has_not_enough_memory(folder: Path, backend: str) -> None:
    # 4 GiB of noise a slot is the most that a bundle may ask for; with all but 2 GiB taken it cannot fit.
    from fs_runtime.backends.cuda.device import CudaDevice

    device = CudaDevice(0)
    try:
        free = device.free_memory()
        if free < 3 << 30:
            pytest.skip(f"only {free} bytes are free on the GPU")
        device.allocate(free - (64 << 20))
        root = folder / "pooled1"
        bundle = read_bundle(root)
        with pytest.raises(BackendError, match=r"memory"):
            open_backend(backend, _large(bundle), bundle.graph("smoothed"), device="cuda", threads=1)
    finally:
        device.close()


def _large(bundle: Any) -> Any:
    """The bundle, saying that it takes 1,024 images of 512 x 512."""
    import msgspec

    from fs_runtime.bundle import Bundle

    manifest = msgspec.structs.replace(bundle.manifest, noise_batch=1024, height=512, width=512)
    return Bundle(bundle.root, manifest, bundle.manifest_sha256)
