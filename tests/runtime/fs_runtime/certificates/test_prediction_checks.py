"""Prediction certificates whose text or numbers are wrong are refused, whatever was done to them."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from helpers.predictions import ALPHA, DRAWS, feature_certificate, prediction_of

from fs_runtime import InputError
from fs_runtime.certificates.prediction import PredictionCertificate
from fs_runtime.certificates.prediction_wire import SCHEMA
from fs_runtime.certification import Target

CONE, MARGIN, VOTE = 0, 1, 2


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    return prediction_of(feature_certificate(tmp_path_factory.mktemp("checks"), alpha=ALPHA / 3)).to_json()


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> str:
    feature = feature_certificate(tmp_path_factory.mktemp("drawn"), alpha=ALPHA / 2)
    return prediction_of(feature, ("margin", "vote")).to_json()


def edited(text: str, edit: Callable[[dict[str, Any]], object]) -> str:
    content = json.loads(text)
    edit(content)
    return json.dumps(content)


def put(text: str, path: tuple[Any, ...], value: Any) -> str:
    content = json.loads(text)
    holder = content
    for key in path[:-1]:
        holder = holder[key]
    assert holder[path[-1]] != value
    holder[path[-1]] = value
    return json.dumps(content)


def test_from_json_accepts_when_nobody_touched_it(text: str) -> None:
    assert PredictionCertificate.from_json(edited(text, lambda content: None)).to_json() == text


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda text: "", id="empty"),
        pytest.param(lambda text: "{}", id="empty-object"),
        pytest.param(lambda text: "[" * 100_000, id="deep"),
        pytest.param(lambda text: text[:-1], id="truncated"),
        pytest.param(lambda text: text + text, id="twice"),
        pytest.param(lambda text: "\ud800" + text, id="surrogate"),
        pytest.param(lambda text: text.replace("prediction-certificate/1", "prediction-certificate/2"), id="newer"),
        pytest.param(lambda text: text.replace(SCHEMA, "fs-runtime/feature-certificate/1"), id="other-schema"),
        pytest.param(lambda text: edited(text, lambda c: c.update(extra=1)), id="unknown-field"),
        pytest.param(lambda text: edited(text, lambda c: c.pop("alpha")), id="missing-field"),
        pytest.param(lambda text: edited(text, lambda c: c.update(draws="400")), id="wrong-type"),
        pytest.param(lambda text: put(text, ("claims", VOTE, "kind"), "best"), id="unknown-kind"),
        pytest.param(lambda text: put(text, ("claims", VOTE, "kind"), "margin"), id="evidence-of-another-kind"),
        pytest.param(lambda text: edited(text, lambda c: c.update(seed="xyz")), id="seed"),
        pytest.param(lambda text: edited(text, lambda c: c.update(reference_sha256="00")), id="hash"),
        pytest.param(lambda text: text.replace(f'"alpha":{ALPHA}', '"alpha":NaN'), id="NaN"),
    ],
)
def test_from_json_refuses_when_the_text_is_no_certificate(text: str, spoil: Callable[[str], str]) -> None:
    assert spoil(text) != text
    with pytest.raises(InputError, match="is not a certificate of schema fs-runtime/prediction-certificate/1"):
        PredictionCertificate.from_json(spoil(text))


OTHER = {"index": 1, "name": "label 1"}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("sigma",), -1.0),
        (("sigma",), 0.2),
        (("alpha",), 2.0),
        (("alpha",), 0.0),
        (("alpha",), 0.02),
        (("draws",), 0),
        (("draws",), DRAWS - 1),
        (("most_draws",), DRAWS - 1),
        (("most_draws",), DRAWS + 1),
        (("pilot",), 0),
        (("pilot",), 64),
        (("margin",), 1.5),
        (("margin",), 0.9),
        (("cosines",), []),
        (("cosines",), [1.5]),
        (("until",), {"radius": 0.01}),
        (("labels",), []),
        (("labels",), [OTHER]),
        (("labels", 0, "index"), -1),
        (("labels", 0, "index"), 6),
        (("labels", 0, "name"), "cat"),
        (("twins",), []),
        (("twins",), [{"index": 2, "name": "label 2"}]),
        (("runner_up",), {"index": 2, "name": "label 2"}),
        (("runner_up",), {"index": 5, "name": "label 2 again"}),
        (("runner_up", "index"), 6),
        (("prototypes", "count"), 3),
        (("prototypes", "count"), 0),
        (("image", "values"), 0),
        (("image", "grid_distance"), -1.0),
        (("image", "grid_distance"), 0.0),
        (("image", "operator_norm"), 0.0),
        (("graph_sha256",), "0" * 64),
        (("seed",), "0" * 32),
        (("backend", "device"), "cuda"),
        (("reference_kind",), "clean"),
        (("reference_sha256",), "0" * 64),
        (("feature",), None),
        (("claims",), []),
        (("claims", CONE, "alpha"), 1e-5),
        (("claims", CONE, "labels"), [OTHER]),
        (("claims", CONE, "evidence", "margin"), 0.9),
        (("claims", MARGIN, "alpha"), 1e-5),
        (("claims", MARGIN, "labels"), [OTHER]),
        (("claims", MARGIN, "evidence", "tails", "alpha"), 0.5),
        (("claims", MARGIN, "evidence", "tails", "draws"), 10**6),
        (("claims", MARGIN, "evidence", "tails", "counts", 0), 0),
        (("claims", MARGIN, "evidence", "tails", "counts", 0), DRAWS + 1),
        (("claims", MARGIN, "evidence", "tails", "counts"), [0]),
        (("claims", MARGIN, "evidence", "tails", "thresholds", 0), 3.0),
        (("claims", VOTE, "alpha"), 1e-5),
        (("claims", VOTE, "alpha"), 0.0),
        (("claims", VOTE, "labels"), []),
        (("claims", VOTE, "labels"), [{"index": 6, "name": "label 6"}]),
        (("claims", VOTE, "labels"), [{"index": 5, "name": "label 2 again"}]),
        (("claims", VOTE, "evidence", "count"), -1),
        (("claims", VOTE, "evidence", "count"), DRAWS + 1),
        (("claims", VOTE, "evidence", "draws"), DRAWS + 1),
        (("claims", VOTE, "evidence", "alpha"), 0.5),
        (("claims", VOTE, "evidence", "prior"), {"a": -1.0, "b": 1.0}),
    ],
)
def test_from_json_refuses_when_a_number_contradicts_the_others(text: str, path: tuple[Any, ...], value: Any) -> None:
    with pytest.raises(InputError, match=r"the certificate: its numbers contradict each other.*classify"):
        PredictionCertificate.from_json(put(text, path, value))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("until",), None),
        (("until", "radius"), 0.021),
        (("feature", "until", "radius"), 0.021),
        (("feature", "until", "cosine"), 0.3),
        (("claims", MARGIN, "evidence", "tails", "priors"), None),
        (("claims", VOTE, "evidence", "prior"), None),
    ],
)
def test_from_json_refuses_when_a_target_contradicts_the_evidence(
    tmp_path_factory: pytest.TempPathFactory, path: tuple[Any, ...], value: Any
) -> None:
    until = Target(0.02, 0.5)
    feature = feature_certificate(tmp_path_factory.mktemp("until"), alpha=ALPHA / 3, until=until)
    stopped = prediction_of(feature).to_json()
    assert PredictionCertificate.from_json(stopped).outcome == "proved"
    with pytest.raises(InputError, match=r"contradict each other|do(es)? not follow"):
        PredictionCertificate.from_json(put(stopped, path, value))


def test_from_json_refuses_when_cosines_rise(tmp_path_factory: pytest.TempPathFactory) -> None:
    two = prediction_of(feature_certificate(tmp_path_factory.mktemp("two"), alpha=ALPHA / 3), top_k=2).to_json()
    PredictionCertificate.from_json(two)
    with pytest.raises(InputError, match="contradict"):
        PredictionCertificate.from_json(put(two, ("cosines",), [0.5, 0.6]))


def _levels(alpha: float, content: dict[str, Any]) -> None:
    for claim in content["claims"]:
        claim["alpha"] = alpha
    content["claims"][0]["evidence"]["tails"]["alpha"] = alpha
    content["claims"][1]["evidence"]["alpha"] = alpha


def _draws(draws: int, content: dict[str, Any]) -> None:
    content.update(draws=draws, most_draws=draws)
    tails, vote = (claim["evidence"] for claim in content["claims"])
    tails["tails"].update(draws=draws, counts=[0] * len(tails["tails"]["counts"]))
    vote.update(draws=draws, count=0)


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(lambda c: c.update(sigma=0.0), id="sigma-zero"),
        pytest.param(lambda c: c.update(sigma=1e9), id="sigma-huge"),
        pytest.param(lambda c: _draws(0, c), id="no-draws"),
        pytest.param(lambda c: c.update(most_draws=DRAWS + 1), id="stopped-early"),
        pytest.param(lambda c: (c.update(most_draws=DRAWS + 1), c["claims"].pop(0)), id="vote-stopped-early"),
        pytest.param(lambda c: (c.update(most_draws=DRAWS + 1), c["claims"].pop(1)), id="margin-stopped-early"),
        pytest.param(lambda c: c.update(most_draws=DRAWS - 1), id="more-draws-than-allowed"),
        pytest.param(lambda c: c.update(pilot=0), id="no-pilot"),
        pytest.param(lambda c: c["image"].update(operator_norm=0.0), id="image"),
        pytest.param(lambda c: c["image"].update(grid_distance=-1.0), id="grid"),
        pytest.param(lambda c: c.update(margin=1.5), id="margin-above-one"),
        pytest.param(lambda c: c.update(margin=-1.5), id="margin-below-minus-one"),
        pytest.param(
            lambda c: c.update(claims=[], radius=0.0, original_radius=0.0, kind=None, abstained=True), id="none"
        ),
        pytest.param(lambda c: _levels(0.0, c), id="level-zero"),
        pytest.param(lambda c: _levels(-0.5, c), id="level-negative"),
        pytest.param(lambda c: _levels(0.02, c), id="levels-above-alpha"),
    ],
)
def test_from_json_refuses_when_numbers_without_a_cone_are_impossible(
    drawn: str, edit: Callable[[dict[str, Any]], object]
) -> None:
    PredictionCertificate.from_json(drawn)
    with pytest.raises(InputError, match="contradict"):
        PredictionCertificate.from_json(edited(drawn, edit))


def test_from_json_refuses_when_the_features_angle_is_not_to_the_reference(
    text: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    options: dict[str, Any] = {"alpha": ALPHA / 3, "bound": "cone", "pilot": 128}
    cone = feature_certificate(tmp_path_factory.mktemp("cone"), **options)
    assert cone.reference.tolist() == json.loads(text)["feature"]["reference"]
    with pytest.raises(InputError, match="contradict"):
        PredictionCertificate.from_json(put(text, ("feature",), json.loads(cone.to_json())))


def test_from_json_refuses_when_a_kind_stands_twice(text: str) -> None:
    def twice(content: dict[str, Any]) -> None:
        content["alpha"] = 0.9
        content["claims"].append(content["claims"][VOTE])

    with pytest.raises(InputError, match="contradict"):
        PredictionCertificate.from_json(edited(text, twice))


def test_from_json_refuses_when_the_cone_is_left_out_but_its_feature_is_there(text: str) -> None:
    with pytest.raises(InputError, match="contradict"):
        PredictionCertificate.from_json(edited(text, lambda content: content["claims"].pop(CONE)))


@pytest.mark.parametrize(
    "path",
    [
        ("radius",),
        ("original_radius",),
        ("claims", CONE, "radius"),
        ("claims", MARGIN, "radius"),
        ("claims", VOTE, "radius"),
    ],
)
@pytest.mark.parametrize("factor", [0.0, 0.999, 1.001])
def test_from_json_refuses_when_a_radius_does_not_follow(text: str, path: tuple[Any, ...], factor: float) -> None:
    found = json.loads(text)
    for key in path:
        found = found[key]
    with pytest.raises(InputError, match="radii stated do not follow"):
        PredictionCertificate.from_json(put(text, path, factor * found))


def test_from_json_refuses_when_the_evidence_was_improved(text: str) -> None:
    content = json.loads(text)
    votes = content["claims"][VOTE]["evidence"]["count"]
    with pytest.raises(InputError, match="radii stated do not follow"):
        PredictionCertificate.from_json(put(text, ("claims", VOTE, "evidence", "count"), votes - 40))
    worse = [count + 30 for count in content["claims"][MARGIN]["evidence"]["tails"]["counts"]]
    worse = [min(count, DRAWS) for count in worse]
    with pytest.raises(InputError, match="radii stated do not follow"):
        PredictionCertificate.from_json(put(text, ("claims", MARGIN, "evidence", "tails", "counts"), worse))


@pytest.mark.parametrize(("path", "value"), [(("kind",), "cone"), (("kind",), None), (("abstained",), True)])
def test_from_json_refuses_when_the_outcome_does_not_follow(text: str, path: tuple[Any, ...], value: Any) -> None:
    with pytest.raises(InputError, match="outcome stated does not follow"):
        PredictionCertificate.from_json(put(text, path, value))


def test_from_json_refuses_when_the_feature_certificate_is_damaged(text: str) -> None:
    with pytest.raises(InputError, match="certify the image again"):
        PredictionCertificate.from_json(put(text, ("feature", "alpha"), 0.5))
    with pytest.raises(InputError, match=r"is not a certificate of schema fs-runtime/feature-certificate/1"):
        PredictionCertificate.from_json(put(text, ("feature", "schema"), "other"))
    with pytest.raises(InputError, match=r"is not a certificate of schema fs-runtime/feature-certificate/1"):
        PredictionCertificate.from_json(put(text, ("feature",), [1]))


def test_from_json_refuses_when_alpha_was_shared_after_the_draws(drawn: str) -> None:
    """Two fields that agree with each other: the larger share would buy one claim a larger radius."""
    content = json.loads(drawn)
    for claim, share in zip(content["claims"], (0.001, 0.999), strict=True):
        claim["alpha"] = share * content["alpha"]
        evidence = claim["evidence"]
        (evidence["tails"] if claim["kind"] == "margin" else evidence)["alpha"] = claim["alpha"]
    with pytest.raises(InputError, match="numbers contradict each other"):
        PredictionCertificate.from_json(json.dumps(content))
