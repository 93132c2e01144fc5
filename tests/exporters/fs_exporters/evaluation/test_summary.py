"""Rates and medians over images, counted by hand; and the tables that show them."""

from dataclasses import replace

import numpy as np
import pytest

from fs_exporters.evaluation.results import AttackResult, CertifiedAngle, ImageResult, Smoothness, SystemResult
from fs_exporters.evaluation.summary import AttackSummary, Count, Summary, mean_cosine_between, summarised
from fs_exporters.evaluation.tables import Facts, grids, headline, markdown_of, warnings

TURN = AttackResult(
    norm="l2",
    radius=0.25,
    size=0.25,
    goal="turn",
    source="white-box",
    cosine=0.5,
    cosine_other=0.2,
    degrees=60.0,
    degrees_lower=50.0,
    degrees_smoothed=55.0,
    degrees_smoothed_lower=45.0,
    certified=80.0,
    certified_smoothed=70.0,
    label="b",
    right=False,
    succeeded=True,
)
SMOOTH = Smoothness(
    score=0.8,
    score_lower=0.7,
    score_upper=0.9,
    cosine=0.6,
    resultant_length=0.5,
    certified=(CertifiedAngle("clean", 0.5, 60.0, 0.5), CertifiedAngle("smoothed", 0.5, 30.0, 0.8660254)),
    draws_right=0.25,
)
FACTS: Facts = {
    "model": "known",
    "images": 3,
    "effort": {"draws": 512, "pilot": 128, "steps": 50, "attack_draws": 16, "measuring": 256},
    "alpha": 0.001,
    "boxed": True,
    "prototypes": "imagenet",
    "truth": "names",
    "skipped": {},
    "weak_attacks": False,
    "bundle_precision": None,
}


def image(name: str, smooth: Smoothness, right: bool | None, *attacks: AttackResult) -> ImageResult:
    bare = replace(TURN, certified=None, certified_smoothed=None, degrees_smoothed=None, degrees_smoothed_lower=None)
    return ImageResult(
        name=name,
        sha256=name,
        truth="a",
        other="other",
        seconds=1.0,
        systems=(
            SystemResult("encoder", 0.25, None, "a", True, (bare,)),
            SystemResult("fs", 0.25, smooth, "a" if right else "b", right, attacks),
        ),
    )


HELD = replace(TURN, label="a", right=True, succeeded=False, degrees=40.0, degrees_lower=30.0, cosine=0.7)
UNCOUNTED = replace(TURN, succeeded=None)
MATCH = replace(HELD, goal="match", degrees=20.0, cosine=0.9, cosine_other=0.4)
IMAGES = (
    image("one", SMOOTH, True, TURN, MATCH),
    image("two", replace(SMOOTH, score=0.6, draws_right=0.75), True, HELD, MATCH),
    # Labelled wrong before any attack: it counts for no success, and as wrong in the accuracy.
    image("three", SMOOTH, False, UNCOUNTED, replace(MATCH, right=False, label="b", succeeded=None)),
)
FEATURES = [
    {"encoder": np.array(row), "fs 0.25": np.array(other)}
    for row, other in (([1.0, 0.0], [1.0, 0.0]), ([0.0, 1.0], [0.6, 0.8]), ([0.0, 1.0], [1.0, 0.0]))
]


def found(system: str, goal: str) -> AttackSummary:
    return next(each for each in SUMMARY.attacks if (each.system, each.goal) == (system, goal))


SUMMARY = summarised(IMAGES, FEATURES)


def test_summarised_leaves_images_out_of_the_rate_when_they_were_wrong_before() -> None:
    turn = found("fs", "turn")
    assert turn.success == Count(hits=1, of=2)
    assert turn.success.share == 0.5
    assert turn.right == Count(hits=1, of=3)


def test_summarised_takes_each_images_strongest_attack_when_any_is_asked() -> None:
    strongest = found("fs", "any")
    assert strongest.success == Count(hits=1, of=2)
    assert strongest.right == Count(hits=1, of=3)
    assert strongest.cosine == pytest.approx((0.5 + 0.7 + 0.5) / 3.0)
    assert strongest.cosine_other == pytest.approx(0.4)
    assert strongest.median_degrees == 60.0
    assert strongest.median_certified == 80.0
    assert strongest.median_degrees_smoothed == 55.0
    assert strongest.checked == 6
    assert found("encoder", "any").success == Count(3, 3)
    assert found("encoder", "any").median_certified is None


def test_summarised_averages_what_is_without_attack_when_there_are_several_images() -> None:
    encoder, fs = SUMMARY.systems
    assert fs.score == pytest.approx(2.2 / 3.0)
    assert fs.right == Count(2, 3)
    assert encoder.right == Count(3, 3)
    # The bare encoder's noisy copies are those of FS.
    assert fs.draws_right == encoder.draws_right == pytest.approx(1.25 / 3.0)
    assert encoder.between == pytest.approx(1.0 / 3.0)
    assert fs.between == pytest.approx((0.6 + 0.6 + 1.0) / 3.0)
    assert encoder.score is None


def test_summarised_calls_the_median_vacuous_when_half_certify_nothing() -> None:
    nothing = replace(SMOOTH, certified=tuple(replace(each, degrees=180.0, cosine=-1.0) for each in SMOOTH.certified))
    images = (IMAGES[0], image("two", nothing, True, HELD, MATCH))
    certified = summarised(images, FEATURES[:2]).systems[1].certified
    assert [(each.median_degrees, each.median_cosine) for each in certified] == [(180.0, -1.0)] * 2
    assert grids(summarised(images, FEATURES[:2]))[1].rows == (("FS", "0.25", "none", "none"),)


def test_summarised_counts_a_broken_certificate_when_a_lower_bound_exceeds_it() -> None:
    """Only there: an estimate beyond it may be chance."""
    beyond = replace(TURN, degrees=90.0)
    broken = replace(TURN, degrees_smoothed_lower=70.1)
    images = (image("one", SMOOTH, True, beyond, MATCH), image("two", SMOOTH, True, broken, MATCH))
    summary = summarised(images, FEATURES[:2])
    assert [each.broken for each in summary.attacks if (each.system, each.goal) == ("fs", "any")] == [1]
    assert any("1 of 4 attacks turned a feature further than certified" in line for line in warnings(FACTS, summary))
    assert not warnings(FACTS, SUMMARY)


@pytest.mark.parametrize("count", [2, 5])
def test_mean_cosine_between_is_that_of_all_pairs_when_computed_in_turn(count: int) -> None:
    rows = np.random.default_rng(1).standard_normal((count, 7))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    pairs = [rows[i] @ rows[j] for i in range(count) for j in range(count) if i != j]
    assert mean_cosine_between(list(rows)) == pytest.approx(np.mean(pairs))


def test_warnings_name_a_system_when_the_transferred_attack_is_stronger() -> None:
    transfer = replace(TURN, source="transfer", degrees=75.0)
    images = tuple(image(name, SMOOTH, True, TURN, transfer) for name in ("one", "two"))
    (line,) = warnings(FACTS, summarised(images, FEATURES[:2]))
    assert line.startswith("FS at sigma 0.25, l2 0.25, turn: the attack transferred from the bare encoder turned")
    assert "75.0 degrees" in line


def test_warnings_say_what_the_settings_leave_open_when_there_is_something() -> None:
    (weak,) = warnings({**FACTS, "weak_attacks": True}, SUMMARY)
    assert weak.startswith("These attacks are weak")
    (other,) = warnings({**FACTS, "bundle_precision": "int8"}, SUMMARY)
    assert other.startswith("The bundle is int8; what was measured is the fp32 encoder")
    assert not warnings({**FACTS, "bundle_precision": "fp32"}, SUMMARY)


def test_headline_says_what_counts_as_right_when_true_labels_are_not_known() -> None:
    assert "the label that the bare encoder gives" in headline({**FACTS, "truth": "none"})
    assert "the true label (names)" in headline(FACTS)
    assert "label" not in headline({**FACTS, "prototypes": None})


def test_markdown_of_shows_counts_beside_rates_when_written() -> None:
    text = markdown_of(FACTS, Summary(SUMMARY.systems, SUMMARY.attacks))
    assert "## Under attack: l2 0.25, sigma 0.25" in text
    assert "| FS | turn, white-box | 50% (1/2) | 33% (1/3) | 0.57 | 0.20 |" in text
    assert "| FS | any | 50% (1/2) | 33% (1/3) | 0.57 | 0.40 |" in text
    assert "| FS | l2 0.25 | 0.25 | 60.0 | 80.0 | 55.0 | 70.0 | 0/6 |" in text
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert all(line.count("|") in (len(grid.columns) + 1 for grid in grids(SUMMARY)) for line in lines)
