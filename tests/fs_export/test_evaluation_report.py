"""What a person sees of an evaluation: nothing is cut off where the terminal is narrow."""

from pathlib import Path
from unittest import mock

import pytest
from rich.console import Console

from fs_export import evaluation_report
from fs_export.evaluation_report import show_evaluation
from fs_exporters.evaluation import Evaluation
from fs_exporters.evaluation.summary import (
    AttackSummary,
    CertifiedSummary,
    Count,
    Summary,
    SystemSummary,
)

CERTIFIED = tuple(
    CertifiedSummary(reference, share, -0.123456, 97.1)  # type: ignore[arg-type]
    for reference in ("clean", "smoothed")
    for share in (0.25, 0.5, 1.0)
)
SYSTEM = SystemSummary(
    system="fs+gsb",
    sigma=0.125,
    images=200,
    score=0.812345,
    score_lower=0.8,
    cosine=0.61234,
    resultant_length=0.91234,
    certified=CERTIFIED,
    right=Count(134, 200),
    draws_right=1.0,
    between=0.28765,
)
ATTACK = AttackSummary(
    system="fs+gsb",
    sigma=0.125,
    norm="l2",
    radius=0.125,
    goal="match-crops",
    source="white-box",
    success=Count(134, 200),
    right=Count(123, 200),
    cosine=0.7654,
    cosine_other=-0.4321,
    median_degrees=54.321,
    median_certified=135.79,
    median_degrees_smoothed=13.142,
    median_certified_smoothed=131.01,
    broken=0,
    checked=4000,
)
ANY = AttackSummary(**{**{name: getattr(ATTACK, name) for name in AttackSummary.__annotations__}, "goal": "any"})
FACTS = {
    "model": "known",
    "images": 200,
    "effort": {"draws": 512, "pilot": 128, "steps": 50, "attack_draws": 16, "measuring": 256},
    "alpha": 0.001,
    "boxed": True,
    "prototypes": "imagenet",
    "truth": "names",
    "skipped": {},
    "weak_attacks": False,
    "bundle_precision": None,
}


def test_show_evaluation_cuts_nothing_off_when_the_terminal_is_80_wide(capsys: pytest.CaptureFixture[str]) -> None:
    summary = Summary((SYSTEM,), (ATTACK, ANY))
    with mock.patch.object(evaluation_report, "data", return_value=Console(width=80)):
        show_evaluation(Evaluation(FACTS, summary, (), Path("evaluation.json"), Path("evaluation.md")))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    text = " ".join(" ".join(lines).split())
    assert "FS + GSB 0.125 0.812 0.912 0.612 67% (134/200) 100% 0.29" in text
    assert "FS + GSB 0.125 -0.13 -0.13 -0.13 -0.13 -0.13 -0.13" in text
    # The words of an attack may fold; its numbers may not.
    assert "67% (134/200) 62% (123/200) 0.77 -0.43" in text
    assert "FS + GSB l2 0.125 0.125 54.3 135.8 13.1 131.1 0/4000" in text
    assert "smoothed smoothed smoothed" in text
