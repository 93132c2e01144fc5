"""``fs-runtime bench``."""

import io
import json
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from helpers import tiny
from helpers.command import invoke
from helpers.tiny_bare import save_encoder
from rich.console import Console

from fs_runtime.bench import BenchLine, Spread
from fs_runtime.cli.bench_table import bench_tables, remarks
from fs_runtime.cli.main import cli
from fs_runtime.schemas import schema_text

QUICK = ("--seconds", "0.001", "--rounds", "2", "--threads", "1")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("bench")
    tiny.write_bundle(root / "four")
    tiny.write_bundle(root / "eight", noise_batch=8)
    tiny.write_bundle(root / "other" / "four", tap="tokens")
    save_encoder(root / "bare.onnx")
    return root


def lines(text: str) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in text.splitlines()]
    validator = jsonschema.Draft202012Validator(json.loads(schema_text("bench")))
    for line in found:
        validator.validate(line)
    return found


def test_bench_prints_a_line_for_each_bundle_when_asked_for_json(folder: Path) -> None:
    outcome = invoke(cli, "bench", folder / "four", folder / "eight", *QUICK, "--json", "--bare", folder / "bare.onnx")
    assert outcome.code == 0
    four, eight = lines(outcome.out)
    assert (four["noise_batch"], eight["noise_batch"]) == (4, 8)
    assert (four["bundle"], four["device"], four["rounds"]) == (str(folder / "four"), "cpu", 2)
    assert four["bare"]["batch"] == 4
    assert eight["bare"]["batch"] == 8
    assert four["clean"] is four["target"] is four["arithmetic"] is None
    assert [line.split()[0] for line in outcome.err.splitlines()[:2]] == ["warm-up", "warm-up"]
    assert "next:" in outcome.err
    best = max((four, eight), key=lambda line: line["draws_per_second"]["median"])
    assert f"  fs-runtime bench {best['bundle']} --radius 0.05 --cosine 0.9\n" in outcome.err


def test_bench_prints_tables_when_json_is_not_asked_for(folder: Path) -> None:
    outcome = invoke(cli, "bench", folder / "four", folder / "other" / "four", *QUICK, "--bare", folder / "bare.onnx")
    assert outcome.code == 0
    assert str(folder / "other" / "four")[:20] in outcome.out  # two of the same name are told apart
    for word in ("draws/s", "noise", "copy", "encoder", "host", "the encoder alone, at the same batch"):
        assert word in outcome.out
    assert "other processes" in outcome.err.lower()
    assert "gram or angle-law" in outcome.err


def test_bench_measures_a_bundle_with_a_booster_beside_its_encoder_without_one(folder: Path, tmp_path: Path) -> None:
    tiny.add_clean(tiny.write_bundle(tmp_path / "boosted"))
    outcome = invoke(cli, "bench", folder / "four", tmp_path / "boosted", *QUICK, "--json")
    assert outcome.code == 0
    four, boosted = lines(outcome.out)
    assert four["clean"] is None
    assert boosted["clean"]["batch"] == 1
    assert boosted["clean"]["file"] == str(tmp_path / "boosted" / "clean.onnx")
    assert "not measured" not in outcome.err
    console = Console(width=120, file=io.StringIO())
    console.print(*bench_tables([msgspec.convert(boosted, BenchLine)]))
    shown = " ".join(console.file.getvalue().split())  # type: ignore[attr-defined]
    assert "without the booster, from the bundle: one draw at batch 1" in shown


def test_bench_counts_certificates_when_there_is_a_target(folder: Path) -> None:
    target = ("--radius", "0.05", "--cosine", "0.5", "--many", "2", "--alpha", "0.05")
    outcome = invoke(cli, "bench", folder / "four", *QUICK, *target, "--json")
    assert outcome.code == 0
    [line] = lines(outcome.out)
    assert line["target"]["proved"] == line["target"]["certificates"] == 2
    assert line["target"]["one"]["median"] > 0.0
    console = Console(width=120, file=io.StringIO())
    console.print(*bench_tables([msgspec.json.decode(outcome.out, type=BenchLine)]))
    shown = " ".join(console.file.getvalue().split())  # type: ignore[attr-defined]
    assert "certificates until cosine 0.5 at radius 0.05, alpha 0.05, at most 20,000 draws" in shown
    assert "2 of 2" in shown


def test_remarks_say_so_when_other_processes_disturbed(folder: Path) -> None:
    outcome = invoke(cli, "bench", folder / "four", *QUICK, "--json")
    line = msgspec.json.decode(outcome.out, type=BenchLine)
    quiet, busy = (msgspec.structs.replace(line, other_processes=share) for share in (0.04, 0.4))
    unknown = msgspec.structs.replace(line, other_processes=None)
    assert "at most 4 % of the cores" in remarks([quiet])[1]
    assert "This machine was busy: other processes took up to 40 %" in remarks([quiet, busy])[1]
    assert "cannot be told" in remarks([unknown])[1]
    below = msgspec.structs.replace(line.milliseconds, noise=Spread(-1.0, -2.0, 1.0))
    above = msgspec.structs.replace(line.milliseconds, noise=Spread(1.0, -2.0, 2.0))
    said = [
        any("Noise below zero" in remark for remark in remarks([msgspec.structs.replace(line, milliseconds=parts)]))
        for parts in (below, above)
    ]
    assert said == [True, False]


def test_bench_states_the_arithmetic_when_the_bundle_does(folder: Path, tmp_path: Path) -> None:
    root = tiny.write_bundle(tmp_path / "counted", graph={"multiply_adds": 10**6})
    outcome = invoke(cli, "bench", root, *QUICK, "--peak-tflops", "1", "--json")
    [line] = lines(outcome.out)
    assert line["arithmetic"]["multiply_adds"] == 10**6
    rate = line["draws_per_second"]["median"]
    assert line["arithmetic"]["tflops"]["median"] == pytest.approx(2e-6 * rate)
    assert "--peak-tflops" in outcome.err
    assert "TFLOP/s" in invoke(cli, "bench", root, *QUICK).out


def test_bench_measures_the_others_when_a_device_is_not_here(folder: Path) -> None:
    outcome = invoke(cli, "bench", folder / "four", *QUICK, "--device", "cpu", "--device", "cuda:7", "--json")
    assert outcome.code == 4
    [line] = lines(outcome.out)
    assert line["device"] == "cpu"
    assert "four on auto, cuda:7: " in outcome.err


def test_bench_exits_4_when_nothing_can_run_here(folder: Path) -> None:
    outcome = invoke(cli, "bench", folder / "four", *QUICK, "--backend", "none", "--json")
    assert (outcome.code, outcome.out) == (4, "")
    assert "next:" not in outcome.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing"], "missing"),
        (["four", "--bare", "missing.onnx"], "missing.onnx does not exist"),
        (["four", "--image", "missing.png"], "missing.png does not exist"),
        (["four", "--radius", "0.1"], "--cosine is missing"),
        (["four", "--radius", "0.5", "--cosine", "0.999", "--max-draws", "64"], "cannot be proved from 64 draws"),
        (["four", "--alpha", "1"], "--alpha"),
        (["four", "--rounds", "0"], "--rounds"),
        ([], "DIR"),
    ],
)
def test_bench_exits_2_when_the_input_is_bad(
    folder: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(folder)
    outcome = invoke(cli, "bench", *QUICK, *arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert message in outcome.err
