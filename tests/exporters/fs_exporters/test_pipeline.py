"""Exports end to end, on a tiny encoder: what is written, and what is left when it fails."""

import errno
import hashlib
import json
import os
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from helpers import tiny, tiny_torch
from helpers.command import invoke
from PIL import Image

import fs_runtime
from fs_export.main import cli
from fs_exporters import pipeline
from fs_exporters.parity import ParityError
from fs_exporters.pipeline import ExportResult, export_bundle
from fs_exporters.verify import verify_bundle
from fs_runtime.bundle import read_bundle
from fs_runtime.bundle.prototypes import read_prototypes
from fs_runtime.cli.main import cli as runtime_cli
from fs_runtime.errors import BundleError, FsError, InputError

ARGUMENTS: dict[str, Any] = {"sigma": 0.25, "noise_batch": 3, "threads": 1}


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def reused(monkeypatch: pytest.MonkeyPatch, pooled_export: ExportResult) -> None:
    """Tracing takes seconds; the graph of an earlier export is the same."""

    def copy(module: Any, inputs: Any, outputs: Any, path: Path, **_: Any) -> tuple[str, ...]:
        shutil.copyfile(pooled_export.path / "model.onnx", path)
        return ()

    monkeypatch.setattr(pipeline, "trace", copy)


def _spoiling(monkeypatch: pytest.MonkeyPatch, pooled_export: ExportResult, factor: float) -> None:
    def spoil(module: Any, inputs: Any, outputs: Any, path: Path, **_: Any) -> tuple[str, ...]:
        shutil.copyfile(pooled_export.path / "model.onnx", path)
        tiny_torch.spoil(path, factor)
        return ()

    monkeypatch.setattr(pipeline, "trace", spoil)


def test_export_bundle_writes_what_it_reports_when_done(pooled_export: ExportResult) -> None:
    root = pooled_export.path
    assert _names(root) == ["manifest.json", "model.onnx"]
    assert _names(root.parent) == ["bundle"]
    data = (root / "manifest.json").read_bytes()
    assert pooled_export.manifest_sha256 == hashlib.sha256(data).hexdigest()
    assert [stage.name for stage in pooled_export.stages] == ["load", "trace", "parity", "write"]
    assert all(stage.seconds >= 0.0 and stage.detail for stage in pooled_export.stages)
    write = pooled_export.stages[-1]
    assert (write.path, write.bytes) == (root, sum(path.stat().st_size for path in root.iterdir()))
    manifest = pooled_export.manifest
    assert (manifest.family, manifest.source.model, manifest.source.revision) == ("tiny", "tiny-8", "r1")
    assert (manifest.sigma, manifest.noise_batch, manifest.tap, manifest.gsb) == (0.25, 3, "pooled", None)
    assert manifest.tools["torch"] == version("torch")


@pytest.mark.parametrize("tap", ["pooled", "tokens"])
def test_exported_bundle_certifies_the_torch_encoder_when_served(request: pytest.FixtureRequest, tap: Any) -> None:
    result: ExportResult = request.getfixturevalue(f"{tap}_export")
    image = tiny.image_array()
    with fs_runtime.load(result.path, expect_sha256=result.manifest_sha256) as encoder:
        certificate = encoder.certify(image, draws=200, alpha=0.01, reference="clean")
    pixels = torch.from_numpy(image.astype(np.float32) / 255.0).permute(2, 0, 1)[None]
    with torch.inference_mode():
        raw = tiny_torch.tiny_adapter(tap)(pixels).flatten().double().numpy()
    np.testing.assert_allclose(certificate.reference, raw / np.linalg.norm(raw), atol=2e-6)
    assert not certificate.abstained


@pytest.mark.usefixtures("reused")
def test_export_bundle_tells_each_stage_when_watched(tmp_path: Path) -> None:
    started: list[str] = []
    finished: list[str] = []
    export_bundle(
        tiny_torch.MODEL,
        output=tmp_path / "bundle",
        on_start=started.append,
        on_stage=lambda stage: finished.append(stage.name),
        **ARGUMENTS,
    )
    assert started == finished == ["load", "trace", "parity", "write"]


@pytest.mark.usefixtures("reused")
def test_export_bundle_refuses_or_replaces_when_the_output_is_there(tmp_path: Path) -> None:
    output = tmp_path / "bundle"
    first = export_bundle(tiny_torch.MODEL, output=str(output), **ARGUMENTS)
    with pytest.raises(InputError, match="--overwrite"):
        export_bundle(tiny_torch.MODEL, output=output, **ARGUMENTS)
    second = export_bundle(tiny_torch.MODEL, output=output, overwrite=True, sigma=0.5, noise_batch=3, threads=1)
    assert first.manifest_sha256 != second.manifest_sha256
    with fs_runtime.load(output, expect_sha256=second.manifest_sha256) as encoder:
        assert encoder.manifest.sigma == 0.5
    assert _names(tmp_path) == ["bundle"]


@pytest.mark.parametrize("factor", [1.05, -1.0, float("nan")])
@pytest.mark.parametrize("there", [False, True])
def test_export_bundle_leaves_nothing_when_parity_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pooled_export: ExportResult, factor: float, there: bool
) -> None:
    output = tmp_path / "bundle"
    if there:
        shutil.copytree(pooled_export.path, output)
    _spoiling(monkeypatch, pooled_export, factor)
    with pytest.raises(ParityError, match=r"model\.onnx does not compute") as caught:
        export_bundle(tiny_torch.MODEL, output=output, overwrite=there, **ARGUMENTS)
    assert caught.value.exit_code == 3
    assert _names(tmp_path) == ["bundle"] * there
    if there:
        fs_runtime.load(output, expect_sha256=pooled_export.manifest_sha256).close()


def test_export_exits_3_when_parity_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pooled_export: ExportResult
) -> None:
    _spoiling(monkeypatch, pooled_export, 1.1)
    outcome = invoke(cli, "export", tiny_torch.MODEL, "--sigma", 0.25, "--noise-batch", 3, "-o", tmp_path / "bundle")
    assert outcome.code == 3
    assert outcome.out == ""
    assert "error: model.onnx does not compute what the original encoder computes" in outcome.err
    assert "Traceback" not in outcome.err
    assert _names(tmp_path) == []


@pytest.mark.usefixtures("reused")
@pytest.mark.parametrize("as_json", [False, True])
def test_export_prints_stages_and_next_commands_when_run(tmp_path: Path, as_json: bool) -> None:
    output = tmp_path / "a bundle"
    arguments = ["--sigma", "0.25", "--noise-batch", "3", "--threads", "1", "-o", str(output)]
    outcome = invoke(cli, "export", tiny_torch.MODEL, *arguments, *["--json"] * as_json)
    assert outcome.code == 0
    expected = hashlib.sha256((output / "manifest.json").read_bytes()).hexdigest()
    if as_json:
        content = json.loads(outcome.out)
        assert (content["schema"], content["path"]) == ("fs-export/export/1", str(output))
        assert content["manifest_sha256"] == expected
        assert [stage["name"] for stage in content["stages"]] == ["load", "trace", "parity", "write"]
    else:
        assert outcome.out == f"{output}  manifest sha256 {expected}\n"
    stages = [line.split()[0] for line in outcome.err.splitlines()]
    assert stages[:5] == ["load", "trace", "parity", "write", "next:"]
    assert f"fs-runtime certify '{output}' PHOTO.jpg" in outcome.err


@pytest.mark.usefixtures("reused")
def test_export_bundle_makes_the_folders_above_when_they_are_missing(tmp_path: Path) -> None:
    output = tmp_path / "a" / "b" / "bundle"
    export_bundle(tiny_torch.MODEL, output=output, **ARGUMENTS)
    assert _names(output) == ["manifest.json", "model.onnx"]
    assert _names(output.parent) == ["bundle"]


# ---- prototypes

CORNERS = (torch.eye(6)[:3] * 2.0, ("left", "right", "top"), "Made up.\n")


@pytest.mark.usefixtures("reused")
def test_export_bundle_adds_the_encoders_prototypes_when_it_offers_some(tmp_path: Path) -> None:
    with tiny_torch.offering(*CORNERS):
        result = export_bundle(tiny_torch.MODEL, output=tmp_path / "bundle", **ARGUMENTS)
        verify_bundle(result.path, threads=1)
    kinds = ("labels.txt", "notice.txt", "safetensors")
    assert sorted(result.manifest.files) == [f"prototypes/corners.{kind}" for kind in kinds]
    write = result.stages[-1]
    assert write.detail == "5 files, prototypes corners, hashes checked"
    assert write.bytes == sum(path.stat().st_size for path in result.path.rglob("*") if path.is_file())
    bundle = read_bundle(result.path)
    read = read_prototypes("corners", bundle)
    np.testing.assert_array_equal(read.vectors, np.eye(6)[:3])
    assert read.labels == ("left", "right", "top")
    assert bundle.graph("smoothed").sha256 == result.manifest.graphs[0].sha256


@pytest.mark.usefixtures("reused")
@pytest.mark.parametrize("option", [[], ["--no-prototypes"]])
def test_export_leaves_prototypes_out_when_asked(tmp_path: Path, option: list[str]) -> None:
    output = tmp_path / "bundle"
    arguments = ["--sigma", "0.25", "--noise-batch", "3", "--threads", "1", "-o", str(output), *option]
    with tiny_torch.offering(*CORNERS):
        planned = json.loads(invoke(cli, "export", tiny_torch.MODEL, *arguments, "--dry-run", "--json").out)["files"]
        assert _names(tmp_path) == []
        assert invoke(cli, "export", tiny_torch.MODEL, *arguments).code == 0
    written = {path.relative_to(output).as_posix() for path in output.rglob("*") if path.is_file()}
    assert set(planned) == written
    assert any(name.startswith("prototypes/") for name in written) == (not option)
    shown = invoke(runtime_cli, "inspect", output).out
    assert ("corners" in shown) == (not option)


@pytest.mark.usefixtures("reused")
def test_export_writes_the_prototypes_that_are_asked_for_when_there_are_images(tmp_path: Path) -> None:
    for number in range(4):
        path = tmp_path / "pets" / ("cats" if number < 2 else "dogs") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(path)
    (tmp_path / "pets" / "cats" / "9.png").write_bytes(b"no image")
    (tmp_path / "shelf").symlink_to(tmp_path / "pets" / "cats")
    output = tmp_path / "bundle"
    arguments = ["--sigma", "0.25", "--noise-batch", "3", "--threads", "1", "-o", str(output)]
    asked = ["--prototypes-from", str(tmp_path / "pets"), "--gallery", str(tmp_path / "shelf" / "..")]
    refused = invoke(cli, "export", tiny_torch.MODEL, *arguments, *asked)
    assert refused.code == 2
    assert "two sets of prototypes would be named 'pets'" in refused.err
    asked[-1] = str(tmp_path / "pets" / "cats")
    planned = json.loads(invoke(cli, "export", tiny_torch.MODEL, *arguments, *asked, "--dry-run", "--json").out)
    outcome = invoke(cli, "export", tiny_torch.MODEL, *arguments, *asked)
    assert outcome.code == 0, outcome.err
    assert "pets: 2 classes from 4 images; cats: 2 items from 2 images" in outcome.err
    assert "9.png" in outcome.err
    assert set(planned["files"]) == {
        path.relative_to(output).as_posix() for path in output.rglob("*") if path.is_file()
    }
    assert read_prototypes("pets", read_bundle(output)).labels == ("cats", "dogs")
    assert read_prototypes("cats", read_bundle(output)).labels == ("0.png", "1.png")
    verify_bundle(output, threads=1)


@pytest.mark.usefixtures("reused")
@pytest.mark.parametrize(
    ("vectors", "labels", "message"),
    [
        (CORNERS[0].flip(0), CORNERS[1], "its prototypes 'corners' are not those"),
        (torch.eye(6)[:3] + 1e-4, CORNERS[1], "its prototypes 'corners' are not those"),
        (torch.eye(6)[:2], CORNERS[1][:2], "the labels of its prototypes 'corners' are not those"),
        (CORNERS[0], ("left", "top", "right"), "the labels of its prototypes 'corners' are not those"),
    ],
)
def test_verify_bundle_fails_when_the_prototypes_are_not_the_encoders(
    tmp_path: Path, vectors: torch.Tensor, labels: tuple[str, ...], message: str
) -> None:
    with tiny_torch.offering(*CORNERS):
        result = export_bundle(tiny_torch.MODEL, output=tmp_path / "bundle", **ARGUMENTS)
    with tiny_torch.offering(vectors, labels), pytest.raises(ParityError, match=message):
        verify_bundle(result.path, threads=1)
    with tiny_torch.offering(vectors, labels, name="others"):
        verify_bundle(result.path, threads=1)


@pytest.mark.usefixtures("reused")
@pytest.mark.parametrize("moment", ["trace", "manifest", "sync"])
def test_export_bundle_says_so_when_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def fail(*_: Any, **__: Any) -> Any:
        raise full

    if moment == "trace":
        monkeypatch.setattr(pipeline, "trace", fail)
    elif moment == "manifest":
        monkeypatch.setattr(Path, "write_bytes", fail)
    else:
        monkeypatch.setattr(os, "fsync", fail)
    output = tmp_path / "bundle"
    with pytest.raises(FsError, match=r"cannot write .*bundle: No space left on device") as caught:
        export_bundle(tiny_torch.MODEL, output=output, **ARGUMENTS)
    assert caught.value.exit_code == 1
    assert _names(tmp_path) == []


def test_export_bundle_says_so_when_the_folder_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file")
    with pytest.raises(FsError, match="cannot write"):
        export_bundle(tiny_torch.MODEL, output=tmp_path / "file" / "bundle", **ARGUMENTS)


@pytest.mark.parametrize("dry_run", [False, True])
@pytest.mark.parametrize("place", ["file/bundle", "file/deep/bundle", "x" * 250, "x" * 300])
def test_export_finds_an_unwritable_output_before_it_loads_the_model(tmp_path: Path, place: str, dry_run: bool) -> None:
    (tmp_path / "file").write_text("a file")
    output = tmp_path / place
    option = ["--dry-run"] if dry_run else []
    outcome = invoke(cli, "export", "no/such-model", "--sigma", 0.1, "--noise-batch", 2, "-o", output, *option)
    assert outcome.code == 1
    assert outcome.out == ""
    assert f"cannot write {output}: " in outcome.err.replace("\n", "")
    assert "choose another -o" in outcome.err
    assert _names(tmp_path) == ["file"]


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS, errno.ENOSPC])
def test_export_finds_a_refusing_system_before_it_loads_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(*_: Any, **__: Any) -> str:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("tempfile.mkdtemp", refuse)
    with pytest.raises(FsError, match=f"cannot write .*{os.strerror(code)}"):
        export_bundle("no/such-model", output=tmp_path / "a" / "bundle", **ARGUMENTS)
    assert _names(tmp_path) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sigma": 0.0}, "--sigma must lie in"),
        ({"sigma": -0.1}, "--sigma"),
        ({"sigma": 2.01}, "--sigma"),
        ({"sigma": float("nan")}, "--sigma"),
        ({"sigma": float("inf")}, "--sigma"),
        ({"noise_batch": 0}, "--noise-batch must lie in"),
        ({"noise_batch": 4097}, "--noise-batch"),
        ({"tap": "cls"}, "has no tap 'cls'"),
    ],
)
def test_export_bundle_refuses_when_an_argument_is_out_of_range(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        export_bundle(tiny_torch.MODEL, output=tmp_path / "bundle", **{**ARGUMENTS, **changes})
    assert _names(tmp_path) == []


@pytest.mark.usefixtures("reused")
def test_export_bundle_works_when_only_the_gpu_package_of_onnx_runtime_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def installed(name: str) -> str:
        if name == "onnxruntime":
            raise PackageNotFoundError(name)
        return "9.9" if name == "onnxruntime-gpu" else version(name)

    monkeypatch.setattr(pipeline, "version", installed)
    tools = export_bundle(tiny_torch.MODEL, output=tmp_path / "bundle", **ARGUMENTS).manifest.tools
    assert tools["onnxruntime-gpu"] == "9.9"
    assert "onnxruntime" not in tools


# ---- verify


@pytest.mark.parametrize("tap", ["pooled", "tokens"])
def test_verify_bundle_passes_when_untouched(request: pytest.FixtureRequest, tap: str) -> None:
    result: ExportResult = request.getfixturevalue(f"{tap}_export")
    parity = verify_bundle(result.path, threads=1, expect_sha256=result.manifest_sha256)
    assert parity == result.manifest.parity[0]


def test_verify_bundle_fails_when_the_graph_was_changed(tmp_path: Path, pooled_export: ExportResult) -> None:
    root = tiny_torch.copy_of(pooled_export.path, tmp_path / "bundle")
    tiny_torch.spoil(root / "model.onnx", 1.1)
    with pytest.raises(BundleError, match=r"SHA-256|bytes, the manifest says"):
        verify_bundle(root)
    tiny_torch.rehash(root)
    with pytest.raises(ParityError):
        verify_bundle(root)
    outcome = invoke(cli, "verify", root)
    assert outcome.code == 3
    assert outcome.out == ""
    with pytest.raises(BundleError, match="not the expected"):
        verify_bundle(root, expect_sha256=pooled_export.manifest_sha256)


def test_verify_bundle_refuses_when_the_encoder_is_unknown(tmp_path: Path, pooled_export: ExportResult) -> None:
    root = tiny_torch.copy_of(pooled_export.path, tmp_path / "bundle")
    tiny.edit_manifest(root, lambda manifest: manifest["source"].update(model="tiny-9"))
    with pytest.raises(InputError, match="no encoder family accepts 'tiny-9'"):
        verify_bundle(root)


def test_spoil_changes_the_graph_when_used(tmp_path: Path, pooled_export: ExportResult) -> None:
    # The tests above stand on it.
    path = Path(shutil.copy(pooled_export.path / "model.onnx", tmp_path))
    tiny_torch.spoil(path, 1.05)
    assert onnx.load(path) != onnx.load(pooled_export.path / "model.onnx")
