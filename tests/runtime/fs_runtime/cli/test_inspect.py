"""``fs-runtime inspect`` and ``fs-runtime verify``."""

import hashlib
import json
from pathlib import Path

from helpers import tiny
from helpers.command import invoke

from fs_runtime.cli.main import cli


def test_inspect_prints_the_manifest_when_json_is_asked_for(tmp_path: Path) -> None:
    root = tiny.write_bundle(tmp_path / "bundle")
    outcome = invoke(cli, "inspect", root, "--json")
    assert (outcome.code, outcome.err) == (0, "")
    content = json.loads(outcome.out)
    data = (root / "manifest.json").read_bytes()
    assert content["schema"] == "fs-runtime/bundle/1"
    assert content["manifest_sha256"] == hashlib.sha256(data).hexdigest()
    assert content["manifest"] == json.loads(data)


def test_inspect_prints_tables_when_json_is_not_asked_for(tmp_path: Path) -> None:
    outcome = invoke(cli, "inspect", tiny.write_bundle(tmp_path / "bundle"))
    assert (outcome.code, outcome.err) == (0, "")
    for piece in ("sigma 0.25, batch 4", "D = 6", "model.onnx", "8 x 8, resize none", "not measured"):
        assert piece in outcome.out


def test_inspect_prints_names_literally_when_they_look_like_markup(tmp_path: Path) -> None:
    root = tiny.write_bundle(tmp_path / "[bold]bundle")
    model = "[/red] [link=file:///etc/passwd]click[/link] :smile: \x1b[2J"
    tiny.edit_manifest(root, lambda manifest: manifest["source"].update(model=model))
    outcome = invoke(cli, "inspect", root)
    assert outcome.code == 0
    assert "[/red] [link=file:///etc/passwd]click[/link] :smile: \\x1b[2J" in outcome.out
    assert "[bold]bundle" in "".join(outcome.out.split())
    assert "\x1b" not in outcome.out


def test_inspect_refuses_when_a_hash_is_wrong(tmp_path: Path) -> None:
    root = tiny.write_bundle(tmp_path / "bundle")
    tiny.edit_manifest(root, lambda manifest: manifest["graphs"][0].update(sha256="0" * 64))
    outcome = invoke(cli, "inspect", root)
    assert outcome.code == 2
    assert outcome.out == ""
    assert "does not have the SHA-256" in outcome.err


def test_verify_says_so_when_the_bundle_is_whole(tmp_path: Path) -> None:
    root = tiny.write_bundle(tmp_path / "bundle")
    expected = hashlib.sha256((root / "manifest.json").read_bytes()).hexdigest()
    outcome = invoke(cli, "verify", root, "--expect-sha256", expected.upper())
    assert outcome.code == 0
    assert outcome.out == f"{root}: whole, and runs here\n"
    assert outcome.err == f"next:\n  fs-runtime certify {root} YOUR_PHOTO.jpg\n  fs-runtime bench {root}\n"


def test_verify_fails_when_the_bundle_is_damaged_or_gives_nonsense(tmp_path: Path) -> None:
    root = tiny.write_bundle(tmp_path / "bundle")
    assert invoke(cli, "verify", root, "--expect-sha256", "0" * 64).code == 2
    assert invoke(cli, "verify", root, "--device", "cuda:99").code == 4
    assert invoke(cli, "verify", tiny.write_bundle(tmp_path / "corrupt", model=b"nonsense")).code == 2
    nonsense = invoke(cli, "verify", tiny.write_bundle(tmp_path / "nan", tiny.not_a_number()))
    assert nonsense.code == 2
    assert nonsense.out == ""


def test_inspect_and_verify_say_what_is_known_of_plans(tmp_path: Path) -> None:
    root = tiny.write_bundle(tmp_path / "bundle")
    plan = root / "engines" / "rtx-sm89" / "model.plan"
    plan.parent.mkdir(parents=True)
    plan.write_bytes(b"plan")
    engine = {
        "file": "engines/rtx-sm89/model.plan",
        "sha256": hashlib.sha256(b"plan").hexdigest(),
        "bytes": 4,
        "builder": "tensorrt-rtx",
        "version": "1.7.1.116",
        "precision_requested": "fp32",
        "precision_observed": "fp32",
        "compute_capability": "8.9",
        "noise_batch": 4,
        "parity_not_run": "no GPU",
    }
    tiny.edit_manifest(
        root,
        lambda manifest: manifest.update(engines=[{**engine, "graph_sha256": manifest["graphs"][0]["sha256"]}]),
    )
    outcome = invoke(cli, "inspect", root)
    assert (outcome.code, outcome.err) == (0, "")
    for piece in ("engines/rtx-sm89/model.plan", "tensorrt-rtx 1.7.1.116", "not run, no GPU", "8.9"):
        assert piece in outcome.out
    verified = invoke(cli, "verify", root)
    assert verified.out == f"{root}: whole, and runs here\n{plan}: has its hash; not opened\n"
    plan.write_bytes(b"evil")
    assert invoke(cli, "verify", root).code == 2
