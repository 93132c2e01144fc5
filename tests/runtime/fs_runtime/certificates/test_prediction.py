"""A prediction certificate: its radii, what is best, and its JSON to the last bit."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.predictions import ALPHA, DRAWS, about, feature_certificate, prediction_of, prototypes_for

from fs_runtime import FeatureCertificate, InputError
from fs_runtime.bundle.prototypes import Prototypes
from fs_runtime.certificates.feature import LARGEST_EMBEDDED
from fs_runtime.certificates.prediction import PredictionCertificate
from fs_runtime.certificates.prediction_parts import NamedLabel
from fs_runtime.certificates.prediction_wire import SCHEMA
from fs_runtime.certification import CertificationError, Target
from fs_runtime.certification.prediction import LabelCone, LabelTarget

KINDS = ("cone", "margin", "vote")
SUBSETS: list[Any] = [("cone",), ("margin",), ("vote",), ("cone", "vote"), ("margin", "vote"), KINDS]


@pytest.fixture(scope="module")
def feature(tmp_path_factory: pytest.TempPathFactory) -> FeatureCertificate:
    return feature_certificate(tmp_path_factory.mktemp("feature"), alpha=ALPHA / 3)


@pytest.fixture(scope="module")
def every(feature: FeatureCertificate) -> PredictionCertificate:
    return prediction_of(feature)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> PredictionCertificate:
    folder = tmp_path_factory.mktemp("large")
    feature = feature_certificate(folder, alpha=ALPHA, tap="tokens", dimension=LARGEST_EMBEDDED + 2)
    return prediction_of(feature, ("cone",))


def same(first: PredictionCertificate, second: PredictionCertificate) -> bool:
    parts = ("labels", "cosines", "until", "runner_up", "margin", "twins", "alpha", "claims", "prototypes", "binding")
    return all(getattr(first, part) == getattr(second, part) for part in parts) and (
        (first.feature is None) == (second.feature is None)
        and (first.feature is None or first.feature.reference.tobytes() == second.feature.reference.tobytes())  # type: ignore[union-attr]
    )


# --- what is certified


def test_labels_are_those_at_the_reference_when_made(every: PredictionCertificate, feature: FeatureCertificate) -> None:
    prototypes = prototypes_for(feature.reference)
    assert every.labels == (NamedLabel(2, "label 2"),)
    assert every.label == "label 2"
    assert every.twins == (NamedLabel(5, "label 2 again"),)
    rival = every.runner_up
    assert rival.name == prototypes.labels[rival.index]
    difference = prototypes.vectors[2] - prototypes.vectors[rival.index]
    assert every.margin == pytest.approx(feature.reference @ difference / np.linalg.norm(difference), abs=1e-12)
    assert (every.prototypes.name, every.prototypes.sha256, every.prototypes.count) == ("tiny", prototypes.sha256, 6)
    assert every.kinds == KINDS
    assert [claim.alpha for claim in every.claims] == pytest.approx([ALPHA / 3] * 3)
    assert every.image == feature.image


def test_radii_pay_for_the_grid_when_positive(every: PredictionCertificate, feature: FeatureCertificate) -> None:
    cost = feature.image.grid_cost
    assert cost > 0.0
    assert every.radius_of("cone") == LabelCone(every.margin).radius(feature)
    assert every.radius_of("cone") == pytest.approx(LabelCone(every.margin).radius(feature.curve) - cost, abs=1e-9)
    for kind in ("margin", "vote"):
        shift = every.claim(kind).evidence.shift()  # type: ignore[union-attr, arg-type]
        assert every.radius_of(kind) == feature.sigma * shift - cost  # type: ignore[arg-type]
        assert every.radius_of(kind) > 0.01  # type: ignore[arg-type]


def test_radius_is_never_negative_when_the_grid_costs_more(feature: FeatureCertificate) -> None:
    coarse = replace(feature, image=replace(feature.image, grid_distance=10.0))
    certificate = prediction_of(coarse)
    assert [certificate.radius_of(kind) for kind in KINDS] == [0.0, 0.0, 0.0]  # type: ignore[arg-type]
    assert (certificate.radius, certificate.kind, certificate.abstained) == (0.0, None, True)
    assert certificate.original_radius() == 0.0
    assert same(PredictionCertificate.from_json(certificate.to_json()), certificate)


@pytest.mark.parametrize("kinds", SUBSETS)
def test_radius_is_the_best_when_several_kinds_are_asked(feature: FeatureCertificate, kinds: Any) -> None:
    certificate = prediction_of(feature, kinds)
    radii = {kind: certificate.radius_of(kind) for kind in kinds}
    assert certificate.radius == max(radii.values()) > 0.0
    assert certificate.kind == max(radii, key=lambda kind: radii[kind])
    assert not certificate.abstained
    assert (certificate.feature is not None) == ("cone" in kinds)


def test_original_radius_undoes_resampling_when_the_image_was_resized(every: PredictionCertificate) -> None:
    assert every.original_radius() == every.image.original_radius(every.radius)
    image = replace(every.image, operator_norm=0.5, resampling_error=0.01)
    resized = replace(every, binding=replace(every.binding, image=image))
    assert resized.original_radius() == pytest.approx(2.0 * (resized.radius - 0.02))


def test_a_vote_for_other_labels_is_not_counted_when_the_best_is_sought(feature: FeatureCertificate) -> None:
    prototypes = prototypes_for(feature.reference)
    others = about(prototypes.vectors[0], DRAWS, 4)
    certificate = prediction_of(
        feature, ("margin", "vote"), pilot=others[: feature.pilot], drawn=others, prototypes=prototypes
    )
    assert certificate.labels == (NamedLabel(2, "label 2"),)
    assert certificate.claim("vote").labels == (NamedLabel(0, "label 0"),)
    assert certificate.radius_of("vote") > 0.0
    assert certificate.radius_of("margin") == 0.0
    assert (certificate.radius, certificate.kind, certificate.abstained) == (0.0, None, True)
    assert same(PredictionCertificate.from_json(certificate.to_json()), certificate)


def test_sets_are_certified_when_several_labels_are_asked(feature: FeatureCertificate) -> None:
    certificate = prediction_of(feature, top_k=2)
    assert len(certificate.labels) == 2
    assert {label.index for label in certificate.labels} == {2, 5}
    assert certificate.twins == ()
    assert certificate.radius > 0.0
    assert same(PredictionCertificate.from_json(certificate.to_json()), certificate)


def test_received_radius_is_smaller_when_the_answer_has_an_error_of_its_own(
    every: PredictionCertificate, feature: FeatureCertificate
) -> None:
    assert every.received_radius(0.0) == every.radius_of("cone")
    room = math.asin(every.margin) - feature.angle(0.0)
    assert 0.0 < every.received_radius(0.5 * room) < every.radius_of("cone")
    assert every.received_radius(room) == 0.0
    with pytest.raises(InputError, match="nothing of kind 'cone'"):
        prediction_of(feature, ("vote",)).received_radius(0.0)


def test_radius_of_refuses_when_the_kind_is_not_among_the_claims(feature: FeatureCertificate) -> None:
    with pytest.raises(InputError, match="nothing of kind 'margin', only of cone, vote"):
        prediction_of(feature, ("cone", "vote")).radius_of("margin")


def test_made_refuses_when_the_angle_is_not_to_the_reference(tmp_path: Path) -> None:
    feature = feature_certificate(tmp_path, alpha=ALPHA, bound="cone")
    with pytest.raises(InputError, match='use "gram" or "angle-law"'):
        prediction_of(feature, ("cone",))


def test_made_refuses_when_the_dimension_is_another(feature: FeatureCertificate) -> None:
    with pytest.raises(CertificationError, match="7 dimensions"):
        prediction_of(feature, ("cone",), prototypes=prototypes_for(np.eye(7)[0]))


def test_made_refuses_when_the_levels_are_more_than_alpha(feature: FeatureCertificate) -> None:
    with pytest.raises(InputError, match="contradict"):
        prediction_of(feature, ("cone",), alpha=0.99 * ALPHA / 3)


@pytest.mark.parametrize("kinds", [KINDS, ("margin", "vote")])
def test_certificates_of_a_target_keep_their_priors_when_draws_stopped(tmp_path: Path, kinds: Any) -> None:
    until = Target(0.02, 0.5)
    feature = feature_certificate(tmp_path, alpha=ALPHA / 3, until=until)
    assert feature.draws < feature.most_draws
    certificate = prediction_of(feature, kinds)
    assert certificate.radius > 0.0
    back = PredictionCertificate.from_json(certificate.to_json())
    assert same(back, certificate)
    assert back.draws < back.most_draws
    assert (back.outcome, back.abstained) == ("proved", False)
    assert json.loads(certificate.to_json())["until"] == {"radius": 0.02}


@pytest.mark.parametrize("kinds", [KINDS, ("margin", "vote")])
def test_a_certificate_abstains_when_its_target_is_not_proved(
    feature: FeatureCertificate, tmp_path: Path, kinds: Any
) -> None:
    stopped = feature_certificate(tmp_path, alpha=ALPHA / 3, until=Target(0.02, 0.5))
    certificate = prediction_of(stopped, kinds)
    further = replace(
        certificate, until=LabelTarget(1.01 * certificate.radius), feature=None, claims=certificate.claims[-1:]
    )
    assert (further.outcome, further.abstained, further.radius > 0.0) == ("hopeless", True, True)
    done = replace(further, binding=replace(further.binding, most_draws=further.draws))
    assert (done.outcome, done.abstained) == ("undecided", True)
    assert prediction_of(feature, kinds).outcome is None


# --- against its prototypes


@pytest.mark.parametrize("kinds", SUBSETS)
def test_check_prototypes_accepts_when_they_are_the_same(feature: FeatureCertificate, kinds: Any) -> None:
    certificate = PredictionCertificate.from_json(prediction_of(feature, kinds).to_json())
    certificate.check_prototypes(prototypes_for(feature.reference))


def test_check_prototypes_refuses_when_they_are_others(
    every: PredictionCertificate, feature: FeatureCertificate
) -> None:
    prototypes = prototypes_for(feature.reference)
    others = Prototypes.made_of("others", prototypes.vectors[::-1], prototypes.labels)
    with pytest.raises(InputError, match="not about 'others'"):
        every.check_prototypes(others)


@pytest.mark.parametrize("part", ["margin", "runner_up", "labels", "twins", "vote", "cosines"])
def test_check_prototypes_refuses_when_the_certificate_was_edited(
    every: PredictionCertificate, feature: FeatureCertificate, part: str
) -> None:
    prototypes = prototypes_for(feature.reference)
    edits: dict[str, dict[str, Any]] = {
        "margin": {"margin": every.margin * 1.01},
        "runner_up": {"runner_up": NamedLabel(every.runner_up.index, "something else")},
        "labels": {"labels": (NamedLabel(0, "label 0"),)},
        "twins": {"twins": ()},
        "cosines": {"cosines": (0.9 * every.cosines[0],)},
        "vote": {"claims": (replace(every.claim("vote"), labels=(NamedLabel(1, "label 2"),)),)},
    }
    with pytest.raises(InputError, match="do not follow from its prototypes"):
        replace(every, **edits[part]).check_prototypes(prototypes)


# --- JSON


@pytest.mark.parametrize("kinds", SUBSETS)
def test_from_json_gives_every_bit_back_when_to_json_wrote_it(feature: FeatureCertificate, kinds: Any) -> None:
    certificate = prediction_of(feature, kinds)
    text = certificate.to_json()
    back = PredictionCertificate.from_json(text)
    assert same(back, certificate)
    assert back.to_json() == text
    assert (back.radius, back.kind, back.original_radius()) == (
        certificate.radius,
        certificate.kind,
        certificate.original_radius(),
    )


def test_to_json_says_what_is_certified_when_a_reader_has_no_runtime(
    every: PredictionCertificate, feature: FeatureCertificate
) -> None:
    text = every.to_json()
    assert "\n" not in text

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    content = json.loads(text, parse_constant=refuse)
    assert content["schema"] == SCHEMA == "fs-runtime/prediction-certificate/1"
    assert content["labels"] == [{"index": 2, "name": "label 2"}]
    assert content["radius"] == every.radius
    assert content["original_radius"] == every.original_radius()
    assert content["kind"] == every.kind
    assert content["abstained"] is False
    assert {claim["kind"]: claim["radius"] for claim in content["claims"]} == {
        kind: every.radius_of(kind)  # type: ignore[arg-type]
        for kind in KINDS
    }
    assert (content["draws"], content["most_draws"], content["pilot"]) == (DRAWS, DRAWS, 128)
    assert (content["seed"], content["seed_source"]) == (f"{2**127 + 3:032x}", "caller")
    assert content["graph_sha256"] == feature.provenance.graph_sha256
    assert content["feature"] == json.loads(feature.to_json())
    assert next(iter(content)) == "schema"
    assert content["cosines"] == [pytest.approx(feature.reference @ prototypes_for(feature.reference).vectors[2])]
    assert [key for key, value in content.items() if value is None] == ["until", "outcome"]
    assert json.loads(prediction_of(feature, ("vote",)).to_json())["feature"] is None


def test_read_gives_the_certificate_back_when_save_wrote_it(every: PredictionCertificate, tmp_path: Path) -> None:
    path = tmp_path / "photo.json"
    every.save(path)
    assert [each.name for each in tmp_path.iterdir()] == ["photo.json"]
    assert path.read_text() == every.to_json() + "\n"
    assert same(PredictionCertificate.read(str(path)), every)
    assert same(PredictionCertificate.parse(every.to_json(), "line 1", tmp_path), every)


def test_read_finds_the_reference_beside_when_it_is_long(large: PredictionCertificate, tmp_path: Path) -> None:
    path = tmp_path / "photo.json"
    large.save(path)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["photo.json", "photo.json.safetensors"]
    assert same(PredictionCertificate.read(path), large)
    assert len(path.read_text()) < 8000
    with pytest.raises(InputError, match="keeps its reference feature in another file"):
        PredictionCertificate.from_json(large.to_json())
    (tmp_path / "photo.json.safetensors").unlink()
    with pytest.raises(InputError, match=r"the feature certificate in .*photo\.json, cannot be read"):
        PredictionCertificate.read(path)


def test_read_refuses_when_the_file_is_missing_or_no_text(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.json cannot be read as a certificate"):
        PredictionCertificate.read(tmp_path / "nowhere.json")
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"bytes\.json cannot be read"):
        PredictionCertificate.read(tmp_path / "bytes.json")


def test_to_json_is_one_line_for_every_reader_when_a_label_holds_line_ends(feature: FeatureCertificate) -> None:
    known = prototypes_for(feature.reference)
    odd = Prototypes.made_of("odd", known.vectors, [f"a\u2028b\u2029c\x85{label}" for label in known.labels])
    certificate = prediction_of(feature, prototypes=odd)
    text = certificate.to_json()
    assert text.splitlines() == [text]
    assert json.loads(text)["labels"][0]["name"] == "a\u2028b\u2029c\x85label 2"
    assert same(PredictionCertificate.from_json(text), certificate)
