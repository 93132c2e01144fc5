"""The ``fs-export`` command on real weights, and its options."""

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import skimage
import torch
from helpers import tiny, tiny_torch
from helpers.command import Outcome, invoke
from helpers.engines import needs_rtx
from helpers.exporting import operators_read_once

import fs_export
import fs_runtime
from fs_export.main import cli
from fs_runtime import PredictionCertificate
from fs_runtime.bundle import read_bundle
from fs_runtime.bundle.prototypes import read_prototypes
from fs_runtime.cli.main import cli as runtime_cli

MODEL = "efficientnet-lite0"
CHELSEA, COFFEE = (Path(skimage.__file__).parent / "data" / name for name in ("chelsea.png", "coffee.png"))


@pytest.fixture(scope="session", autouse=True)
def _one_torch_thread() -> Iterator[None]:
    """On a busy machine torch's threads wait for one another far longer than they compute."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session", autouse=True)
def _operators_read_once() -> Iterator[None]:
    with operators_read_once():
        yield


@pytest.fixture(scope="session")
def lite0(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    """EfficientNet-Lite0 with two draws a batch, exported through the command."""
    output = tmp_path_factory.mktemp("lite0") / "bundle"
    return output, invoke(
        cli, "export", MODEL, "--sigma", 0.1, "--noise-batch", 2, "--threads", 1, "-o", output, "--json"
    )


@pytest.mark.slow
def test_export_writes_a_bundle_that_certifies_when_the_weights_are_real(lite0: tuple[Path, Outcome]) -> None:
    output, outcome = lite0
    assert outcome.code == 0, outcome.err
    content = json.loads(outcome.out)
    assert content["schema"] == "fs-export/export/1"
    assert content["manifest_sha256"] == hashlib.sha256((output / "manifest.json").read_bytes()).hexdigest()
    assert [path.name for path in output.parent.iterdir()] == ["bundle"]
    with fs_runtime.load(output, expect_sha256=content["manifest_sha256"]) as encoder:
        manifest = encoder.manifest
        assert (manifest.dimension, manifest.noise_batch, manifest.sigma) == (1280, 2, 0.1)
        certificate = encoder.certify(CHELSEA, draws=40, alpha=0.05, pilot=16, seed=1)
        again = encoder.certify(CHELSEA, draws=40, alpha=0.05, pilot=16, seed=1)
    assert certificate.to_json() == again.to_json()
    assert not certificate.abstained
    assert certificate.cosine(0.025) > 0.5
    data = (output / "model.onnx").read_bytes()
    prototypes = read_prototypes("imagenet", read_bundle(output))
    with fs_runtime.load(output) as encoder:
        labels = [
            prototypes.labels[int(np.argmax(prototypes.vectors @ encoder.smooth(photo, draws=8, seed=1).vector))]
            for photo in (CHELSEA, COFFEE)
        ]
    assert labels[0] in ("tabby", "tiger cat", "Egyptian cat")
    assert labels[1] == "espresso"
    assert b".py" not in data
    assert str(Path(__file__).parents[2]).encode() not in data


@pytest.mark.slow
def test_classify_certifies_the_right_labels_when_the_weights_are_real(lite0: tuple[Path, Outcome]) -> None:
    arguments = ("classify", lite0[0], CHELSEA, COFFEE, "--draws", 64, "--pilot", 32, "--alpha", "0.01", "--seed", 1)
    outcome = invoke(runtime_cli, *arguments, "--kinds", "vote", "--threads", 1, "--json")
    assert outcome.code == 0, outcome.err
    chelsea, coffee = (PredictionCertificate.from_json(line) for line in outcome.out.splitlines())
    assert chelsea.label in ("tabby", "tiger cat", "Egyptian cat")
    assert coffee.label == "espresso"
    assert min(chelsea.radius, coffee.radius) > 0.02
    assert chelsea.prototypes.count == 1000


@pytest.mark.slow
def test_exported_graph_changes_one_row_when_one_draw_changes(lite0: tuple[Path, Outcome]) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(lite0[0] / "model.onnx", providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    feed = {
        "pixel_values": rng.random((1, 3, 224, 224)).astype(np.float32),
        "noise": (0.1 * rng.standard_normal((2, 3, 224, 224))).astype(np.float32),
        "reference": np.eye(1, 1280, dtype=np.float32)[0],
    }
    before = session.run(["features"], feed)[0]
    feed["noise"][1] *= np.float32(0.5)
    after = session.run(["features"], feed)[0]
    assert (before != after).any(axis=1).tolist() == [False, True]


@pytest.mark.slow
def test_verify_passes_when_the_bundle_is_untouched(lite0: tuple[Path, Outcome]) -> None:
    outcome = invoke(cli, "verify", lite0[0], "--threads", 1, "--parity-draws", 32, "--json")
    assert outcome.code == 0, outcome.err
    content = json.loads(outcome.out)
    assert content["schema"] == "fs-export/verify/1"
    assert content["parity"]["smallest_cosine"] > 0.99999


@pytest.mark.slow
def test_verify_exits_3_when_the_graph_was_changed_and_rehashed(lite0: tuple[Path, Outcome], tmp_path: Path) -> None:
    root = tiny_torch.copy_of(lite0[0], tmp_path / "bundle")
    tiny_torch.spoil(root / "model.onnx", 1.05)
    assert invoke(cli, "verify", root).code == 2
    tiny_torch.rehash(root)
    fs_runtime.load(root).close()
    outcome = invoke(cli, "verify", root, "--threads", 1, "--parity-draws", 8)
    assert outcome.code == 3
    assert outcome.out == ""
    assert "does not compute what the original encoder computes" in outcome.err


@needs_rtx
@pytest.mark.slow
def test_build_adds_a_plan_that_inspect_and_verify_know_when_the_weights_are_real(
    lite0: tuple[Path, Outcome], tmp_path: Path
) -> None:
    root = tiny_torch.copy_of(lite0[0], tmp_path / "bundle")
    expected = json.loads(lite0[1].out)["manifest_sha256"]
    arguments = ("build", root, "--target", "tensorrt-rtx", "--compute-capability", "8.9", "--threads", 1)
    assert invoke(cli, *arguments, "--expect-sha256", "0" * 64).code == 2
    outcome = invoke(cli, *arguments, "--expect-sha256", expected, "--json")
    assert outcome.code == 0, outcome.err
    assert "not run, no GPU" in outcome.err or "smallest cosine" in outcome.err
    content = json.loads(outcome.out)
    assert content["schema"] == "fs-export/build/1"
    (engine,) = content["engines"]
    assert engine["bytes"] > 10_000_000
    manifest = read_bundle(root, expect_sha256=content["manifest_sha256"]).manifest
    assert manifest.engines[0].sha256 == engine["sha256"]
    shown = invoke(runtime_cli, "inspect", root)
    assert shown.code == 0
    assert engine["sha256"][:12] in shown.out
    verified = invoke(runtime_cli, "verify", root, "--threads", 1)
    assert (verified.code, "has its hash; not opened" in verified.out) == (0, True)
    plan = root / engine["file"]
    plan.write_bytes(plan.read_bytes()[:-1] + b"\0")
    assert invoke(runtime_cli, "verify", root, "--threads", 1).code == 2


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--target", "tensorrt-rtx", "--workspace", "0"],
        ["--target", "openvino"],
        ["--target", "tensorrt", "--threads", "0"],
    ],
)
def test_build_exits_2_when_the_usage_is_wrong(arguments: list[str], tmp_path: Path) -> None:
    outcome = invoke(cli, "build", tmp_path, *arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert "Usage: " in outcome.err


def test_build_exits_4_when_tensorrt_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    monkeypatch.delitem(sys.modules, "polygraphy.config", raising=False)
    root = tiny.write_bundle(tmp_path / "bundle")
    outcome = invoke(cli, "build", root, "--target", "tensorrt")
    assert (outcome.code, outcome.out) == (4, "")
    assert "pip install 'fs-export[tensorrt]'" in outcome.err


def test_doctor_knows_the_build_machines_packages() -> None:
    outcome = invoke(cli, "doctor", "--json")
    assert outcome.code == 0, outcome.err
    lines = [json.loads(line) for line in outcome.out.splitlines()]
    assert {line["schema"] for line in lines} == {"fs-export/check/1"}
    status = {line["id"]: line["status"] for line in lines}
    assert len(status) == len(lines)
    assert {status[name] for name in ("python", "torch", "transformers", "onnx", "onnxruntime.cpu")} == {"ok"}


def test_doctor_exits_4_when_a_package_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    outcome = invoke(cli, "doctor")
    assert outcome.code == 4
    assert "onnxscript: pip install" in outcome.err


def test_list_shows_the_families_when_run() -> None:
    outcome = invoke(cli, "list")
    assert outcome.code == 0
    assert "efficientnet-lite0" in outcome.out
    outcome = invoke(cli, "list", "--json")
    families = [json.loads(line) for line in outcome.out.splitlines()]
    assert {family["schema"] for family in families} == {"fs-export/family/1"}
    lite = next(family for family in families if family["family"] == "efficientnet-lite")
    assert lite["taps"] == ["pooled"]
    assert MODEL in lite["examples"]
    clip = next(family for family in families if family["family"] == "clip")
    assert clip["taps"] == ["pooled", "cls", "tokens"]
    assert all(family["examples"] for family in families)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["export"],
        ["export", MODEL],
        ["export", MODEL, "--sigma", "0.1", "--noise-batch", "2"],
        ["export", MODEL, "--sigma", "0.1", "-o", "out"],
        ["export", MODEL, "--noise-batch", "2", "-o", "out"],
        ["export", MODEL, "--sigma", "much", "--noise-batch", "2", "-o", "out"],
        ["export", MODEL, "--sigma", "0.1", "--noise-batch", "2.5", "-o", "out"],
        ["export", MODEL, "--sigma", "0.1", "--noise-batch", "2", "--tap", "hidden", "-o", "out"],
        ["export", MODEL, "--sigma", "0.1", "--noise-batch", "2", "--threads", "0", "-o", "out"],
        ["export", MODEL, "--sigma", "0.1", "--noise-batch", "2", "--image-size", "448x", "-o", "out"],
        ["export", MODEL, "--sigma", "0.1", "--noise-batch", "2", "--image-size", "4x4x4", "-o", "out"],
        ["export", MODEL, "--sigma", "0.1", "--noise-batch", "2", "--image-size", "5000", "-o", "out"],
        ["verify"],
        ["demo", "--draws", "0"],
        ["demo", "--sigma", "much"],
        ["demo", "--threads", "0"],
        ["demo", "surplus"],
        ["deploy"],
    ],
)
def test_command_exits_2_when_the_usage_is_wrong(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = invoke(cli, *arguments)
    assert outcome.code == 2
    assert outcome.out == ""
    assert "Usage: " in outcome.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["efficientnet-lite9", "--sigma", "0.1", "--noise-batch", "2"], "did you mean efficientnet-lite"),
        ([MODEL, "--sigma", "0", "--noise-batch", "2"], "--sigma must lie in"),
        ([MODEL, "--sigma", "nan", "--noise-batch", "2"], "--sigma must lie in"),
        ([MODEL, "--sigma", "0.1", "--noise-batch", "0"], "--noise-batch must lie in"),
        ([MODEL, "--sigma", "0.1", "--noise-batch", "2", "--tap", "cls"], "has no tap 'cls'"),
        ([MODEL, "--sigma", "0.1", "--noise-batch", "2", "--revision", "9"], "--revision 9"),
        ([MODEL, "--sigma", "0.1", "--noise-batch", "2", "--image-size", "448"], "takes images of 224 x 224 only"),
    ],
)
def test_export_exits_2_when_the_input_is_bad(arguments: list[str], message: str, tmp_path: Path) -> None:
    outcome = invoke(cli, "export", *arguments, "-o", tmp_path / "bundle")
    assert outcome.code == 2
    assert outcome.out == ""
    assert message in outcome.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--labels", "missing.txt"), "missing.txt cannot be read"),
        (("--labels", "one.txt"), "holds 1 label: give at least two"),
        (("--labels", "two.txt"), "was trained without texts, so --labels cannot"),
        (("--gallery", "empty"), "--gallery: empty holds no image"),
        (("--prototypes-from", "empty"), "--prototypes-from empty holds 0 folders"),
    ],
)
@pytest.mark.parametrize("dry_run", [(), ("--dry-run",)])
def test_export_exits_2_before_loading_when_prototypes_cannot_be_made(
    flags: tuple[str, ...], message: str, dry_run: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "one.txt").write_text("cat\n")
    (tmp_path / "two.txt").write_text("cat\ndog\n")
    (tmp_path / "empty").mkdir()
    for module in ("pipeline", "plan"):
        monkeypatch.setattr(f"fs_exporters.{module}.load_encoder", lambda _: pytest.fail("the model was loaded"))
    outcome = invoke(cli, "export", MODEL, "--sigma", 0.1, "--noise-batch", 2, "-o", "out", *flags, *dry_run)
    assert (outcome.code, outcome.out) == (2, "")
    assert message in outcome.err
    assert not (tmp_path / "out").exists()


def test_export_exits_2_before_loading_when_the_output_is_there(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("precious")
    for option in ([], ["--overwrite"]):
        outcome = invoke(cli, "export", "no-such-model", "--sigma", 0.1, "--noise-batch", 2, "-o", tmp_path, *option)
        assert outcome.code == 2
        assert "choose another -o" in outcome.err
    assert (tmp_path / "precious.txt").read_text() == "precious"


def test_verify_says_what_ran_and_what_it_did_not_check_when_the_graph_is_bf16(tmp_path: Path) -> None:
    with tiny_torch.registered():
        arguments = {"sigma": 0.25, "noise_batch": 3, "threads": 1, "parity_draws": 31}
        for precision in ("fp32", "bf16"):
            fs_export.export(tiny_torch.MODEL, output=tmp_path / precision, precision=precision, **arguments)
        verified = {each: invoke(cli, "verify", tmp_path / each, "--threads", 1) for each in ("fp32", "bf16")}
    assert {outcome.code for outcome in verified.values()} == {0}
    first, ran = verified["fp32"].out.splitlines()
    assert "fp32: whole, and computes what its encoder computes: smallest cosine 1.0" in first
    assert ran.startswith("  run by: onnxruntime ")
    first, ran, *gaps = verified["bf16"].out.splitlines()
    assert "bf16: whole, and computes what its encoder computes, within what bf16 is allowed: smallest" in first
    assert "rounded to bf16" in ran
    assert all(gap.startswith("  not checked: ") for gap in gaps)
    assert "the bf16 kernels of the engine" in gaps[0]


def test_verify_exits_2_when_there_is_no_bundle(tmp_path: Path) -> None:
    outcome = invoke(cli, "verify", tmp_path / "nowhere")
    assert outcome.code == 2
    assert "nowhere is not a folder" in outcome.err


def test_demo_exits_2_when_sigma_is_out_of_range(tmp_path: Path) -> None:
    outcome = invoke(cli, "demo", "--sigma", "0", "-o", tmp_path / "demo")
    assert outcome.code == 2
    assert "--sigma must lie in" in outcome.err
    assert list(tmp_path.iterdir()) == []


def test_demo_exits_2_when_its_bundle_is_there(tmp_path: Path) -> None:
    bundle = tmp_path / "efficientnet-lite0-sigma0.25-gsb"
    bundle.mkdir()
    (bundle / "manifest.json").write_text("{}")
    outcome = invoke(cli, "demo", "-o", tmp_path)
    assert outcome.code == 2
    assert "--overwrite" in outcome.err
    assert (bundle / "manifest.json").read_text() == "{}"


def test_demo_says_what_to_install_when_the_photos_are_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fs_export.commands.demo.find_spec", lambda _: None)
    outcome = invoke(cli, "demo", "-o", tmp_path / "demo")
    assert outcome.code == 2
    assert "pip install 'fs-export[demo]'" in outcome.err
    assert list(tmp_path.iterdir()) == []


def test_public_names_resolve_when_asked_for() -> None:
    results = {"ExportResult", "EvaluationPlaces", "EvaluationSettings", "ParityError", "PrototypeRequest", "Stage"}
    names = {*results, "evaluate", "export", "verify"}
    assert set(fs_export.__all__) == names <= set(dir(fs_export))
    assert all(getattr(fs_export, name) is not None for name in names)
    assert fs_export.ParityError.exit_code == 3
    with pytest.raises(AttributeError, match="no attribute 'exprot'"):
        fs_export.exprot  # noqa: B018
    assert "torch" in sys.modules
