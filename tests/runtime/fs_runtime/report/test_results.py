"""Reading results: what is kept, and what is refused with which words."""

import io
import json
import random
from collections.abc import Callable

import numpy as np
import pytest

from fs_runtime import InputError
from fs_runtime.certificates.feature import FeatureCertificate
from fs_runtime.report import Failure, Results, read_results
from fs_runtime.report.measures import measure

Line = Callable[..., str]
FAILED = json.dumps({"schema": "fs-runtime/error/1", "image": "bad.png", "error": "no image", "exit_code": 2})


def _read(*lines: str, end: str = "\n") -> Results:
    return read_results(io.BytesIO(("\n".join(lines) + end).encode()), "results.jsonl")


def test_read_results_keeps_certificates_and_failures_when_whole(
    line: Line, certificates: dict[str, FeatureCertificate]
) -> None:
    results = _read(line("gram"), "", FAILED, line("fcsb"))
    assert [each.curve for each in results.certificates] == [certificates["gram"].curve, certificates["fcsb"].curve]
    assert results.failures == (Failure("bad.png", "no image"),)
    assert not results.torn


def test_read_results_reads_the_line_when_the_reference_is_too_long_for_it(
    line: Line, certificates: dict[str, FeatureCertificate]
) -> None:
    assert json.loads(line("tokens"))["reference"] is None
    for text in (line("tokens"), certificates["tokens"].to_json(), line("tokens", reference_file="x.safetensors")):
        assert _read(text).certificates[0].curve == certificates["tokens"].curve


def test_read_results_refuses_when_an_embedded_reference_was_changed(line: Line) -> None:
    with pytest.raises(InputError, match="line 1: the certificate: the reference feature does not have"):
        _read(line("gram", reference=[1.0, 0.0]))


@pytest.mark.parametrize("cut", [1, 20, 400, -1])
def test_read_results_leaves_the_last_line_out_when_torn(line: Line, cut: int) -> None:
    results = _read(line("gram"), line("fcsb")[:cut], end="")
    assert results.torn
    assert [each.bound for each in results.certificates] == ["gram"]


def test_read_results_takes_the_last_line_when_only_its_newline_is_missing(line: Line) -> None:
    results = _read(line("gram"), line("fcsb"), end="")
    assert not results.torn
    assert len(results.certificates) == 2


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("{", "line 2: not JSON with a schema"),
        ("[]", "line 2: not JSON with a schema"),
        ("null", "line 2: not JSON with a schema"),
        ("{}", "line 2: not JSON with a schema"),
        ('{"schema": 1}', "line 2: not JSON with a schema"),
        ("[" * 100_000, "line 2: not JSON with a schema"),
        ('{"schema": "fs-runtime/feature-certificate/2"}', "line 2: schema 'fs-runtime/feature-certificate/2' is not"),
        ('{"schema": "fs-runtime/smoothed-feature/1"}', "line 2: schema 'fs-runtime/smoothed-feature/1' is not"),
        ('{"schema": "fs-runtime/feature-certificate/1"}', "line 2: the certificate is not a certificate of schema"),
        ('{"schema": "fs-runtime/feature-certificate/1", "reference": null}', "line 2: the certificate is not"),
        ('{"schema": "fs-runtime/error/1"}', "line 2: not an error line of schema"),
        ("\udcff", "line 2: not JSON with a schema"),
    ],
)
def test_read_results_names_the_line_when_it_is_no_certificate(line: Line, bad: str, message: str) -> None:
    content = f"{line()}\n{bad}\n{line()}\n".encode("utf-8", "surrogateescape")
    with pytest.raises(InputError) as caught:
        read_results(io.BytesIO(content), "results.jsonl")
    assert str(caught.value).startswith(f"results.jsonl, {message}")


@pytest.mark.parametrize(
    ("content", "held"),
    [("", "(nothing)"), ("\n\n", "(nothing)"), (FAILED + "\n", "(only errors, of 1 image)"), ("{", "(no line that")],
)
def test_read_results_refuses_when_there_is_no_certificate(content: str, held: str) -> None:
    with pytest.raises(InputError, match="holds no certificate") as caught:
        read_results(io.BytesIO(content.encode()), "results.jsonl")
    assert held in str(caught.value)


def _tails(thresholds: list[float], counts: list[int], *, draws: int = 200, alpha: float = 0.01) -> dict[str, object]:
    tails = {"thresholds": thresholds, "counts": counts, "draws": draws, "alpha": alpha}
    return {"evidence": {"tails": tails}}


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("gram", {"sigma": 0.0}),
        ("gram", {"sigma": -1.0}),
        ("gram", {"sigma": 1e300}),
        ("gram", {"alpha": 0.0}),
        ("gram", {"alpha": 0.5}),
        ("gram", {"draws": 0}),
        ("gram", {"draws": 10**9}),
        ("gram", {"pilot": 0}),
        ("gram", {"score": {"estimate": 2.0}}),
        ("gram", {"score": {"lower": -1.0}}),
        ("gram", {"image": {"operator_norm": 0.0}}),
        ("gram", {"image": {"grid_distance": -1.0}}),
        ("gram", {"image": {"values": -3}}),
        ("gram", {"evidence": {"cut": 99}}),
        ("gram", {"evidence": {"largest_eigenvalue": 5.0}}),
        ("gram", {"evidence": {"mean_norm": -1.0}}),
        ("angle-law", _tails([], [])),
        ("angle-law", _tails([0.5, 0.4], [1, 1])),
        ("angle-law", _tails([0.0, 0.4], [1, 1])),
        ("angle-law", _tails([0.5, 4.0], [1, 1])),
        ("angle-law", _tails([0.5], [1, 1])),
        ("angle-law", _tails([0.5], [300])),
        ("angle-law", _tails([0.5], [-1])),
        ("angle-law", _tails([0.5], [0], draws=999)),
        ("angle-law", _tails([0.5], [0], alpha=0.1)),
        ("fcsb", {"evidence": {"mean_cosine": 3.0}}),
        ("fcsb", {"evidence": {"draws": 10**9}}),
    ],
)
def test_read_results_refuses_when_the_numbers_contradict_each_other(
    line: Line, kind: str, changes: dict[str, object]
) -> None:
    with pytest.raises(InputError, match="line 1: "):
        _read(line(kind, **changes))


def test_read_results_refuses_when_a_line_is_endless() -> None:
    with pytest.raises(InputError, match="line 1 is longer than"):
        read_results(io.BytesIO(b"x" * (1 << 24) + b"xx"), "results.jsonl")


def test_read_results_reads_or_refuses_when_bytes_are_mutated(line: Line) -> None:
    chance = random.Random(3)
    outcomes = {"read": 0, "refused": 0}
    for number in range(600):
        kind = ("gram", "angle-law", "fcsb")[number % 3]
        content = bytearray(line(kind).split('"reference": [')[0].encode() + b'"reference": null}\n')
        for _ in range(chance.randint(1, 3)):
            content[chance.randrange(len(content) - 1)] = chance.choice(b'0123456789-.eE"{}[],:xZ')
        try:
            measured = measure(read_results(io.BytesIO(bytes(content)), "results.jsonl"))
        except InputError:
            outcomes["refused"] += 1
            continue
        outcomes["read"] += 1
        assert np.isfinite([curve.angles for image in measured.images for curve in image.curves]).all()
    assert min(outcomes.values()) > 50
