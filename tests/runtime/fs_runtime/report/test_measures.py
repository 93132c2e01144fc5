"""What is shown is what the certificates say."""

import io
import math
from collections.abc import Callable

import pytest

from fs_runtime.certificates.feature import FeatureCertificate
from fs_runtime.certification import AngleLaw, GramLaw
from fs_runtime.report import read_results
from fs_runtime.report.measures import SHIFTS, Measures, measure

Line = Callable[..., str]


def _measures(*lines: str) -> Measures:
    return measure(read_results(io.BytesIO("\n".join(lines).encode() + b"\n"), "results.jsonl"))


def test_measure_gives_the_certificates_own_numbers_when_gram(
    line: Line, certificates: dict[str, FeatureCertificate]
) -> None:
    certificate = certificates["gram"]
    section = _measures(line("gram")).sections[0]
    image = section.images[0]
    assert section.bounds == ("gram", "angle-law", "fcsb")
    gram, angle_law, fcsb = image.curves
    radii = [shift * certificate.sigma for shift in SHIFTS]
    assert list(gram.angles) == [certificate.angle(radius) for radius in radii]
    assert list(fcsb.angles) == [certificate.baseline().angle(radius) for radius in radii]
    evidence = certificate.curve.evidence
    assert isinstance(evidence, GramLaw)
    law, cost = AngleLaw(evidence.tails), certificate.image.grid_cost
    assert list(angle_law.angles) == [law.angle((r + cost) / certificate.sigma if r else 0.0) for r in radii]
    assert image.radius == certificate.radius(0.9)
    assert list(section.floor) == [certificate.floor(radius) for radius in radii]
    assert gram.cosine(0.5) == certificate.cosine(0.5 * certificate.sigma)


def test_measure_shows_weaker_bounds_only_when_the_evidence_allows_them(line: Line) -> None:
    assert _measures(line("angle-law")).sections[0].bounds == ("angle-law", "fcsb")
    assert _measures(line("fcsb")).sections[0].bounds == ("fcsb",)


def test_measure_makes_sections_when_settings_differ(line: Line) -> None:
    other = {"graph_sha256": "0" * 64}, {"backend": {"device": "cuda:0"}}, {"reference_kind": "clean"}, {"pilot": 64}
    lines = [line("gram"), line("fcsb"), line("gram"), line("angle-law"), *(line("gram", **each) for each in other)]
    measures = _measures(*lines)
    assert [len(section.images) for section in measures.sections] == [2, 1, 1, 1, 1, 1, 1]
    assert [section.setting.bound for section in measures.sections[:3]] == ["gram", "fcsb", "angle-law"]
    assert len(measures.images) == 8
    assert measures.failing == pytest.approx(8 * 0.01)


def test_median_takes_the_worse_when_the_number_of_images_is_even(
    line: Line, certificates: dict[str, FeatureCertificate]
) -> None:
    # The same draws over a coarser grid cost more radius.
    worse = line("gram", image={"name": "worse.png", "grid_distance": 0.05})
    section = _measures(line("gram"), worse).sections[0]
    good, bad = (image.curves[0] for image in section.images)
    assert bad.cosine(0.5) < good.cosine(0.5)
    assert section.median("gram") == bad
    assert section.band("gram") == (good, bad)
    assert section.worst.label == "worse.png"


def test_fractions_count_images_when_some_abstain(line: Line) -> None:
    # The abstained line is another graph's, so say it is the same one.
    graph = {"graph_sha256": "0" * 64}
    section = _measures(*[line("gram", **graph)] * 3, line("scattering", **graph)).sections[0]
    assert (section.abstained, section.certified) == (1, 3)
    fractions = section.fractions(0.5)
    assert fractions[0] == 0.75
    assert fractions[-1] == 0.0
    assert list(fractions) == sorted(fractions, reverse=True)
    assert section.band("gram")[1].angles[0] < math.pi
    assert section.worst.certificate.abstained


def test_labels_are_whole_names_when_file_names_are_the_same(line: Line) -> None:
    names = ["a/x.png", "b/x.png", "c/y.png", "", "<array>"]
    measures = _measures(*(line("gram", image={"name": name}) for name in names))
    assert [image.label for image in measures.images] == ["a/x.png", "b/x.png", "y.png", "", "<array>"]
