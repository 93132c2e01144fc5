"""The schema: what it computes, and what it keeps through JSON."""

from pathlib import Path

import msgspec
import pytest
from helpers import tiny

from fs_runtime.bundle import Manifest, read_bundle
from fs_runtime.bundle.manifest import Booster, Calibration, Engine, EngineSettings, File, Parity


def _full(manifest: Manifest) -> Manifest:
    """Every optional field filled in."""
    parity = Parity(
        graph="model.onnx",
        ran="onnxruntime 1.31.1, cpu",
        not_checked=("an engine's kernels",),
        image="synthetic",
        seed="0",
        pilot=32,
        draws=64,
        alpha=1e-3,
        smallest_cosine=0.1 + 0.2,
        smallest_cosine_allowed=0.99999,
        mean_cosine=0.4,
        mean_cosine_allowed=0.99999,
        largest_difference={"cosine": 1e-7},
        largest_difference_allowed={"cosine": 1e-4},
        angle_original=1.0 / 3.0,
        angle_graph=0.3,
        angle_change_allowed=1e-3,
    )
    engine = Engine(
        file="engines/sm90/model.plan",
        sha256="a" * 64,
        bytes=10,
        builder="tensorrt",
        version="10.16.0",
        graph_sha256=manifest.graphs[0].sha256,
        precision_requested="fp16",
        precision_observed="fp16",
        compute_capability="9.0",
        noise_batch=4,
        settings=EngineSettings(workspace_mb=512, version_compatible=True),
        parity=parity,
    )
    calibration = Calibration(
        images=127, skipped=1, skipped_names=("broken.png",), pixels_sha256="d" * 64, seed="0" * 32
    )
    return msgspec.structs.replace(
        manifest,
        graphs=tuple(msgspec.structs.replace(graph, calibration=calibration) for graph in manifest.graphs),
        gsb=Booster(kind="default", sha256="b" * 64),
        engines=(engine,),
        files={"config.json": File(sha256="c" * 64, bytes=3)},
        parity=(parity,),
        tools={"torch": "2.13"},
    )


def test_manifest_is_unchanged_when_it_went_through_json(tmp_path: Path) -> None:
    manifest = _full(read_bundle(tiny.write_bundle(tmp_path)).manifest)
    assert msgspec.json.decode(msgspec.json.encode(manifest), type=Manifest) == manifest


@pytest.mark.parametrize(("tap", "gives_features"), [("pooled", True), ("cls", True), ("tokens", False)])
def test_smoothed_outputs_hold_features_when_the_tap_is_not_tokens(
    tmp_path: Path, tap: tiny.Tap, gives_features: bool
) -> None:
    manifest = read_bundle(tiny.write_bundle(tmp_path, tap=tap)).manifest
    names = [tensor.name for tensor in manifest.smoothed_outputs]
    assert names == ["cosine", "feature_sum", "raw_norm"] + ["features"] * gives_features
    assert manifest.has_features is gives_features
    assert manifest.dimension == 6
    assert [tensor.shape for tensor in manifest.smoothed_inputs] == [(1, 3, 8, 8), (4, 3, 8, 8), (6,)]
    assert [tensor.shape for tensor in manifest.smoothed_outputs] == [(4,), (6,), (4,), (4, 6)][: 3 + gives_features]
    assert manifest.images == 1


def test_smoothed_inputs_name_each_draws_image_when_images_are_mixed(tmp_path: Path) -> None:
    manifest = read_bundle(tiny.write_bundle(tmp_path, images=3)).manifest
    assert [(tensor.name, tensor.dtype, tensor.shape) for tensor in manifest.smoothed_inputs] == [
        ("pixel_values", "float32", (3, 3, 8, 8)),
        ("noise", "float32", (4, 3, 8, 8)),
        ("reference", "float32", (3, 6)),
        ("image_index", "int64", (4,)),
    ]
    assert [tensor.shape for tensor in manifest.smoothed_outputs] == [(4,), (3, 6), (4,), (4, 6)]
