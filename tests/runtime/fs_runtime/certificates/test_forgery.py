"""Every single change of a certificate's JSON is found out: by reading it, or by making its draws again."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path as FilePath
from typing import Any

import numpy as np
import pytest
from helpers import certificates, predictions, tiny
from helpers.certificates import Path, at, leaves, replaced

import fs_runtime
from fs_runtime import InputError, Target
from fs_runtime.certificates.feature import FeatureCertificate
from fs_runtime.certificates.prediction import PredictionCertificate
from fs_runtime.certificates.replay import Replay
from fs_runtime.certification import CertificationError

IMAGE = tiny.image_array()

NOT_EVIDENCE: dict[Path, str] = {
    ("image", "name"): "files are renamed without harm; the image is known by the hash of its pixels",
    ("backend", "name"): "another backend gives the same certificate up to rounding; a replay says which it ran on",
    ("backend", "version"): "as the backend's name",
    ("backend", "device"): "as the backend's name",
    ("runtime",): "says who wrote the file; the draws follow from generator, seed and graph",
    ("seed_source",): "no draw shows where a seed came from: to trust it is to trust whoever made the certificate",
    ("reference_file",): "where a reference lies that the JSON holds itself; its hash is what counts",
    ("certified",): "a shorter list of what follows from the evidence states less, nothing else",
}
"""Fields of which a change may go unnoticed, and why that is no harm."""
_ASKED = "what was asked for: the bounds hold at every number of draws, and the outcome is held against the evidence"
ASKED: dict[Path, str] = {("most_draws",): _ASKED, ("until", "radius"): _ASKED, ("until", "cosine"): _ASKED}
"""The same, of certificates whose draws could stop. Where they were fixed, ``most_draws`` is their number."""


def changed(path: Path, value: Any) -> list[Any]:
    """Other values that might stand there: of the same type, and near enough to pass for true."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1, value - 1]
    if isinstance(value, float):
        step = 0.001 * abs(value) if value else 0.001
        return [value + step, -value - step]
    if isinstance(value, str):
        same = {"a": "b", "0": "1"}.get(value[:1], "0")
        return [same + value[1:], *OTHERS.get(path[-1], [])]
    if value is None:
        return {"until": [{"radius": 0.1, "cosine": 0.5}], "outcome": ["proved"], "adaptive": [0.9]}.get(
            str(path[-1]), ["x", [], 0.5]
        )
    return [[0.5]]  # an empty list


OTHERS: dict[Any, list[str]] = {
    "bound": ["gram", "angle-law", "cone", "fcsb"],
    "kind": ["cone", "margin", "vote"],
    "reference_kind": ["smoothed", "clean"],
    "outcome": ["proved", "hopeless", "undecided"],
    "seed_source": ["os-entropy", "caller"],
}


def shortened(content: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every list in a JSON document, and the list without its last element."""
    if isinstance(content, list):
        if content:
            yield path, content[:-1]
        for number, value in enumerate(content):
            yield from shortened(value, (*path, number))
    elif isinstance(content, dict):
        for key, value in content.items():
            yield from shortened(value, (*path, key))


def all_changes(content: dict[str, Any]) -> Iterator[tuple[Path, Any]]:
    """Every place with a value to put there; whole objects that may be missing are taken away too."""
    for path, value in leaves(content):
        yield from ((path, other) for other in changed(path, value) if other != value)
    yield from shortened(content)
    for path in (("until",), ("evidence", "tails", "priors"), ("feature",), ("kind",)):
        holder = content
        for key in path[:-1]:
            holder = holder.get(key, {})
        if holder.get(path[-1]) is not None:
            yield path, None


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[fs_runtime.SmoothedEncoder]:
    folder = tiny.write_bundle(tmp_path_factory.mktemp("bundle"), noise_batch=32)
    with fs_runtime.load(folder, threads=1) as made:
        yield made


@pytest.fixture(scope="module")
def made(encoder: fs_runtime.SmoothedEncoder) -> dict[str, dict[str, Any]]:
    found = certificates.all_certificates(encoder, IMAGE)
    return {name: json.loads(certificate.to_json()) for name, certificate in found.items()}


class Judge:
    """Reads a certificate and makes its draws again; those of the same settings once only."""

    def __init__(self, encoder: fs_runtime.SmoothedEncoder) -> None:
        self._encoder = encoder
        self._drawn: dict[Any, FeatureCertificate | None] = {}

    def believes(self, content: dict[str, Any]) -> bool:
        try:
            stated = FeatureCertificate.from_json(json.dumps(content))
        except (InputError, CertificationError):
            return False
        # All that the draws, and whether they can be made again, depend on.
        key = (
            *(stated.curve.draws, stated.alpha, stated.pilot, stated.bound, stated.sigma, stated.reference_kind),
            *(stated.until, stated.most_draws, stated.seed, stated.provenance.graph_sha256),
            *(stated.provenance.generator, stated.image.sha256, len(stated.reference)),
        )
        if key not in self._drawn:
            try:
                self._drawn[key] = self._encoder.replay(stated, IMAGE).certificate
            except (InputError, CertificationError):
                self._drawn[key] = None
        found = self._drawn[key]
        return found is not None and Replay.compared(stated, found).equal


@pytest.mark.parametrize(
    ("bound", "stopping"),
    # Every change of a gram's evidence costs an optimisation, and both ways to stop have the same fields.
    [
        (bound, name)
        for bound in certificates.BOUNDS
        for name in certificates.TARGETS
        if (bound, name) != ("gram", "proved")
    ],
)
def test_forgery_is_found_out_when_any_one_field_is_changed(
    encoder: fs_runtime.SmoothedEncoder, made: dict[str, dict[str, Any]], bound: str, stopping: str
) -> None:
    content = made[f"{bound}, {stopping}"]
    judge = Judge(encoder)
    # What follows from the evidence a forger would leave out.
    assert judge.believes(content)
    assert judge.believes(_consistent(content))
    tried, slipped = 0, []
    spared = {**NOT_EVIDENCE, **({} if stopping == "fixed" else ASKED)}
    for path, value in all_changes(content):
        if path in spared:
            continue
        tried += 1
        forged = replaced(content, path, value)
        attempts = [forged] if path[0] in ("certified", "reference_sha256") else [forged, _consistent(forged)]
        slipped += [(path, value) for attempt in attempts if judge.believes(attempt)]
    assert tried > 60
    assert slipped == []


def test_forgery_goes_unnoticed_when_the_field_is_not_evidence(
    encoder: fs_runtime.SmoothedEncoder, made: dict[str, dict[str, Any]]
) -> None:
    """The lists are no longer than they must be."""
    judge, content = Judge(encoder), made["angle-law, proved"]
    for path in (*NOT_EVIDENCE, *ASKED):
        changes = [value for place, value in all_changes(content) if place == path]
        assert any(
            judge.believes(attempt)
            for value in changes
            for attempt in (replaced(content, path, value), _consistent(replaced(content, path, value)))
        ), path


def test_forgery_is_found_out_when_it_names_another_backend(
    encoder: fs_runtime.SmoothedEncoder, made: dict[str, dict[str, Any]]
) -> None:
    """Rounding is allowed for then, and what rounding cannot explain is not."""
    elsewhere = replaced(_consistent(made["gram, fixed"]), ("backend", "device"), "cuda:0")
    judge = Judge(encoder)
    assert judge.believes(elsewhere)
    for path, factor in (
        (("evidence", "largest_eigenvalue"), 0.5),
        (("evidence", "fourth_moment"), 0.5),
        (("evidence", "mean_norm"), 0.5),
        (("image", "resampling_error"), 0.5),
        (("image", "grid_distance"), 0.5),
        (("image", "operator_norm"), 0.999),
        (("score", "lower"), 0.99),
    ):
        assert not judge.believes(replaced(elsewhere, path, factor * at(elsewhere, path))), path


# What reading a prediction certificate cannot know; draws made again, or the prototypes, tell.
FROM_DRAWS = ("thresholds", "priors", "prior")
FROM_PROTOTYPES = ("runner_up", "cosines", "prototypes", "twins")
# Of draws without the certificate of a feature nothing else in the file speaks.
BINDING = ("pilot", "most_draws", "reference_kind", "reference_sha256", "image", "graph_sha256", "generator", "seed")


@pytest.mark.parametrize("until", [None, Target(0.05, 0.5)], ids=["fixed", "stopping"])
@pytest.mark.parametrize("kinds", [("cone", "margin", "vote"), ("margin", "vote")], ids=["cone", "no-cone"])
def test_prediction_is_refused_when_any_one_field_that_others_speak_of_is_changed(
    tmp_path: FilePath, until: Target | None, kinds: Any
) -> None:
    feature = predictions.feature_certificate(tmp_path, alpha=0.01, until=until)
    content = json.loads(predictions.prediction_of(feature, kinds).to_json())
    alone = {*BINDING, "margin", "until", "backend", "runtime", "seed_source"} if "cone" not in kinds else set()
    tried, slipped = 0, []
    for path, value in all_changes(content):
        if path[0] == "feature" and len(path) > 1:
            continue  # read as every feature certificate
        tried += 1
        try:
            PredictionCertificate.from_json(json.dumps(replaced(content, path, value)))
        except (InputError, CertificationError):
            continue
        allowed = (
            path[0] in alone
            or path[0] in FROM_PROTOTYPES
            or {*path} & {*FROM_DRAWS}
            # Twins and labels of a vote are its own.
            or (path[:2] == ("claims", len(kinds) - 1) and path[2] == "twins")
            # It claims less.
            or (path == ("alpha",) and value > content["alpha"])
        )
        if not allowed:
            slipped.append((path, value))
    assert tried > 100
    assert slipped == []


def _consistent(content: dict[str, Any]) -> dict[str, Any]:
    """The same with the list of certified angles left out, and the reference's hash made right."""
    made = {**content, "certified": []}
    if isinstance(content["reference"], list):
        numbers = np.array(content["reference"], dtype="<f8")
        made["reference_sha256"] = hashlib.sha256(numbers.tobytes()).hexdigest()
    return made
