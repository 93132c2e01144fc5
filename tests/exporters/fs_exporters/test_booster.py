"""Bundles with a booster: what is in them, and that both of their graphs compute what they should."""

import json
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from helpers import tiny, tiny_gsb, tiny_torch
from helpers.command import invoke
from helpers.engines import NO_GPU, needs_rtx
from PIL import Image

import fs_runtime
from fs_export.main import cli
from fs_exporters.parity import ParityError
from fs_exporters.pipeline import ExportResult, export_bundle
from fs_exporters.plan import plan_export
from fs_exporters.tensorrt import BuildRequest, build, build_engines
from fs_exporters.verify import verify_bundle
from fs_models.encoders import LoadRequest
from fs_models.gsb import choose_booster, read_checkpoint
from fs_models.gsb.fitting import mapper_stage
from fs_models.gsb.fitting.settings import DEFAULT_STEPS, MOST_MAPPER_STEPS
from fs_runtime.errors import InputError

IMAGE = tiny.image_array()


@pytest.fixture(scope="module", params=["pooled", "tokens"])
def boosted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[ExportResult, Path]:
    folder = tmp_path_factory.mktemp(request.param)
    return _export(folder, request.param), folder / "gsb"


def _export(folder: Path, tap: Any, purifier: Any = tiny_gsb.SIZES, **settings: Any) -> ExportResult:
    with tiny_torch.registered():
        return export_bundle(
            tiny_torch.MODEL,
            sigma=0.25,
            noise_batch=3,
            output=folder / "bundle",
            tap=tap,
            threads=1,
            gsb=tiny_gsb.write(folder / "gsb", tap, purifier=purifier),
            **settings,
        )


def test_export_states_the_booster_and_holds_the_bare_encoder_when_one_is_given(
    boosted: tuple[ExportResult, Path],
) -> None:
    result, gsb = boosted
    manifest = result.manifest
    assert manifest.gsb is not None
    assert (manifest.gsb.kind, manifest.gsb.sha256) == (f"unet + {manifest.tap}", read_checkpoint(gsb).sha256)
    assert [(graph.role, graph.file) for graph in manifest.graphs] == [
        ("smoothed", "model.onnx"),
        ("clean", "clean.onnx"),
    ]
    assert manifest.graphs[1].inputs == manifest.bare.smoothed_inputs
    assert [parity.graph for parity in manifest.parity] == ["model.onnx", "clean.onnx"]
    properties = {each.key: each.value for each in onnx.load(result.path / "model.onnx").metadata_props}
    assert manifest.gsb.sha256 in properties["fs.gsb"]


def test_bundle_certifies_against_the_bare_encoder_when_the_reference_is_clean(
    boosted: tuple[ExportResult, Path],
) -> None:
    result, gsb = boosted
    tap = result.manifest.tap
    adapter = tiny_torch.tiny_adapter(tap)
    pixels = torch.from_numpy(IMAGE.astype(np.float32) / 255.0).permute(2, 0, 1)[None]
    with torch.inference_mode():
        bare = adapter(pixels).flatten().double().numpy()
        booster = read_checkpoint(gsb).booster(adapter, 0.25)
        mapped = booster.map(adapter.encode(booster.purify(adapter.normalise(pixels)))).flatten().double().numpy()
    with fs_runtime.load(result.path) as encoder:
        certificate = encoder.certify(IMAGE, draws=100, alpha=0.05, reference="clean", bound="angle-law")
    np.testing.assert_allclose(certificate.reference, bare / np.linalg.norm(bare), atol=2e-6)
    assert np.abs(certificate.reference - mapped / np.linalg.norm(mapped)).max() > 1e-3


def test_verify_holds_the_bundle_against_its_booster_when_it_is_named(
    boosted: tuple[ExportResult, Path], tmp_path: Path
) -> None:
    result, gsb = boosted
    with tiny_torch.registered():
        verify_bundle(result.path, threads=1, parity_draws=4, gsb=gsb)
        with pytest.raises(InputError, match="default"):
            verify_bundle(result.path, threads=1, parity_draws=4)
        other = tiny_gsb.write(tmp_path / "other", result.manifest.tap, sigmas=(0.25,))
        with pytest.raises(InputError, match="--gsb"):
            verify_bundle(result.path, threads=1, parity_draws=4, gsb=other)
        broken = tiny_torch.copy_of(result.path, tmp_path / "broken")
        tiny_torch.spoil(broken / "clean.onnx", 1.1)
        tiny_torch.rehash(broken)
        with pytest.raises(ParityError, match=r"clean\.onnx"):
            verify_bundle(broken, threads=1, parity_draws=4, gsb=gsb)


@needs_rtx
def test_build_makes_a_plan_when_the_graph_holds_a_booster(
    boosted: tuple[ExportResult, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "ask_driver", lambda: NO_GPU)
    root = tiny_torch.copy_of(boosted[0].path, tmp_path / "bundle")
    (engine,) = build_engines(root, BuildRequest("tensorrt-rtx", ("8.9",), threads=1)).engines
    assert engine.precision_observed == "fp32"


@needs_rtx
@pytest.mark.parametrize("tap", ["pooled", "tokens"])
def test_build_makes_a_plan_when_the_booster_is_fp16(tap: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "ask_driver", lambda: NO_GPU)
    result = _export(tmp_path, tap, precision="fp16", parity_draws=4)
    (engine,) = build_engines(result.path, BuildRequest("tensorrt-rtx", ("8.9",), threads=1)).engines
    assert engine.precision_observed == "fp16"


def test_export_shares_the_weights_when_they_lie_outside_the_graph(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The tiny encoder's weights are 1 to 2 kB; the clean graph's own rest must stay inside it.
    monkeypatch.setattr(import_module("fs_exporters.onnx.trace"), "_LARGEST_INLINE", 1500)
    monkeypatch.setattr(import_module("fs_exporters.onnx.share"), "_SMALLEST", 64)
    result = _export(tmp_path, "pooled", parity_draws=4)
    smoothed, clean = result.manifest.graphs
    assert smoothed.external_data == clean.external_data == ("model.onnx.data",)
    assert sorted(path.name for path in result.path.iterdir()) == [
        "clean.onnx",
        "manifest.json",
        "model.onnx",
        "model.onnx.data",
    ]
    with fs_runtime.load(result.path) as encoder:
        encoder.certify(IMAGE, draws=100, alpha=0.05, reference="clean")


def test_export_refuses_before_it_traces_when_the_booster_is_of_another_sigma(tmp_path: Path) -> None:
    gsb = tiny_gsb.write(tmp_path / "gsb", sigmas=(0.1,))
    with pytest.raises(InputError, match=r"fitted at sigma 0\.1, not at --sigma 0\.25"):
        export_bundle(tiny_torch.MODEL, sigma=0.25, noise_batch=3, output=tmp_path / "bundle", threads=1, gsb=gsb)
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize("dry_run", [(), ("--dry-run",)])
@pytest.mark.parametrize(
    ("name", "value", "both"),
    [
        ("family", "other", ("with family other", "tiny-8 has tiny")),
        ("tap", "cls", ("with tap cls", "tiny-8 has pooled")),
        ("height", 16, ("with input size 16 x 8", "tiny-8 has 8 x 8")),
        ("feature_shape", [7], ("with feature shape (7,)", "tiny-8 has (6,)")),
        ("weights_sha256", "0" * 64, ("the weights 000000000000 of tiny-8", "tiny-8 has the weights")),
    ],
)
def test_export_names_both_sides_when_the_booster_is_of_another_encoder(
    name: str, value: object, both: tuple[str, str], dry_run: tuple[str, ...], tmp_path: Path
) -> None:
    gsb = tiny_gsb.write(tmp_path / "gsb")
    content = json.loads((gsb / "config.json").read_text())
    content["encoder"][name] = value
    (gsb / "config.json").write_text(json.dumps(content))
    asked = ("--sigma", 0.25, "--noise-batch", 3, "--gsb", gsb, "--threads", 1, "-o", tmp_path / "bundle")
    with tiny_torch.registered():
        outcome = invoke(cli, "export", tiny_torch.MODEL, *asked, *dry_run)
    assert (outcome.code, outcome.out) == (2, "")
    said = " ".join(outcome.err.split())
    assert all(side in said for side in both)
    assert "fs-export fit" in said
    assert "Traceback" not in said
    assert [path.name for path in tmp_path.iterdir()] == ["gsb"]


def test_plan_export_counts_the_booster_when_one_is_given(tmp_path: Path) -> None:
    gsb = tiny_gsb.write(tmp_path / "gsb")
    plans = [
        plan_export(
            LoadRequest(tiny_torch.MODEL),
            sigma=0.25,
            noise_batch=3,
            precision="fp32",
            output=tmp_path / "bundle",
            overwrite=False,
            gsb=each,
        )
        for each in ("none", gsb)
    ]
    assert "clean.onnx" not in plans[0].files
    assert plans[1].files["clean.onnx"] == plans[0].files["model.onnx"]
    assert plans[1].files["model.onnx"] > plans[0].files["model.onnx"]


@pytest.fixture
def photos(tmp_path: Path) -> Iterator[Path]:
    from helpers import tiny_photos

    with tiny_gsb.small_fits():
        yield tiny_photos.save(tmp_path / "photos", 20)


def test_fit_command_names_the_booster_when_done(photos: Path, tmp_path: Path) -> None:
    output = tmp_path / "gsb"
    command = ("fit", tiny_torch.MODEL, "--data", photos, "--sigma", "0.1,0.25", "--steps", 2, "-o", output)
    outcome = invoke(cli, *command, "--threads", 1, "--json")
    assert outcome.code == 0, outcome.err
    assert read_checkpoint(output).sha256 in outcome.out
    assert f"--gsb {output}" in outcome.err
    again = invoke(cli, *command)
    assert (again.code, again.out) == (2, "")
    assert "--overwrite" in again.err
    bad = invoke(cli, "fit", tiny_torch.MODEL, "--data", photos, "--sigma", "loud", "-o", tmp_path / "x")
    assert bad.code == 2
    assert "'loud' is no list of numbers" in bad.err


def test_fit_command_tells_the_most_steps_of_the_mapper_when_asked_for_help() -> None:
    said = " ".join(invoke(cli, "fit", "--help").out.split())
    assert f"the mapper has as many, {MOST_MAPPER_STEPS} at most. Default: {DEFAULT_STEPS}," in said


def test_fit_command_counts_and_lists_the_photos_when_some_cannot_be_read(photos: Path, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    Image.fromarray(noise).save(photos / "cut.jpg")
    (photos / "cut.jpg").write_bytes((photos / "cut.jpg").read_bytes()[:2000])
    (photos / "empty.png").write_bytes(b"")
    (photos / "letter.jpeg").write_text("dear photo")
    Image.fromarray(noise[:5]).save(photos / "flat.png")
    Image.fromarray(noise[:5]).save(photos / "twice.tiff")
    Image.fromarray(noise).convert("CMYK").save(photos / "print.jpg")
    command = ("fit", tiny_torch.MODEL, "--data", photos, "--sigma", "0.25", "--steps", 1, "--threads", 1)
    outcome = invoke(cli, *command, "-o", tmp_path / "gsb")
    assert outcome.code == 0, outcome.err
    said = " ".join(outcome.err.split())
    counted = "3 skipped (cut.jpg, empty.png, letter.jpeg), 1 skipped as repeated (twice.tiff)"
    assert f"18 to fit on, 4 held out, {counted}" in said
    assert "skipped, the same pixels as another: twice.tiff" in said
    for name in ("cut.jpg", "empty.png", "letter.jpeg"):
        assert f"skipped, could not be read: {name}" in said
    outcome = invoke(cli, *command, "-o", tmp_path / "again", "--json")
    assert json.loads(outcome.out)["skipped"] == ["cut.jpg", "empty.png", "letter.jpeg"]
    assert json.loads(outcome.out)["repeated"] == ["twice.tiff"]


def test_fit_command_ends_with_1_and_names_the_last_good_booster_when_the_loss_is_no_number(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = mapper_stage.robust_loss, []

    def spoilt(*arguments: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        return real(*arguments) * (float("nan") if len(calls) > 9 else 1.0)

    monkeypatch.setattr(mapper_stage, "robust_loss", spoilt)
    output = tmp_path / "gsb"
    command = ("fit", tiny_torch.MODEL, "--data", photos, "--sigma", "0.25", "--steps", 14, "-o", output)
    outcome = invoke(cli, *command, "--threads", 1)
    assert (outcome.code, outcome.out) == (1, "")
    said = " ".join(outcome.err.split())
    assert "the loss is nan at step 9 of the mapper: " in said
    assert f"{output.name} holds what was good until then" in said
    assert "Traceback" not in said
    assert choose_booster(output, tiny_torch.tiny_adapter(), 0.25).sha256 == read_checkpoint(output).sha256


def test_fit_command_ends_with_2_and_writes_nothing_when_photos_are_too_few(tmp_path: Path) -> None:
    from helpers import tiny_photos

    photos = tiny_photos.save(tmp_path / "photos", 15)
    (photos / "sixteenth.png").write_bytes(b"no photo")
    command = ("fit", tiny_torch.MODEL, "--data", photos, "--sigma", "0.25", "--steps", 1, "-o", tmp_path / "gsb")
    outcome = invoke(cli, *command, "--threads", 1)
    assert (outcome.code, outcome.out) == (2, "")
    said = " ".join(outcome.err.split())
    assert "holds 15 photos, 1 could not be read (sixteenth.png); a fit needs at least 16" in said
    assert not (tmp_path / "gsb").exists()


@needs_rtx
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_build_makes_a_plan_when_the_purifier_is_a_diffusion_network(
    precision: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("diffusers", reason="diffusers is not installed: pip install 'fs-export[diffusion]'")
    monkeypatch.setattr(build, "ask_driver", lambda: NO_GPU)
    result = _export(tmp_path, "pooled", precision=precision, parity_draws=4, purifier=tiny_gsb.diffusion_sizes())
    assert result.manifest.gsb is not None
    assert result.manifest.gsb.kind == "diffusion + pooled"
    (engine,) = build_engines(result.path, BuildRequest("tensorrt-rtx", ("8.9",), threads=1)).engines
    assert engine.precision_observed == precision
