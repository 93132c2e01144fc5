"""``encoder.classify``: against NumPy, its settings, its targets, its draws made again."""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from helpers import tiny

import fs_runtime
from fs_runtime import InputError, LabelTarget, PredictionCertificate, Prototypes
from fs_runtime.bundle.prototypes import write_prototypes
from fs_runtime.certification import CertificationError, GramLaw, TooFewDrawsError
from fs_runtime.certification.prediction import MarginLaw, Rivals, VoteLaw
from fs_runtime.errors import BundleError
from fs_runtime.noise import GridNoise, Stream
from fs_runtime.preprocess import PreprocessRule, prepare

Floats = npt.NDArray[np.float64]
SEED = 0xC0FFEE
IMAGE = tiny.image_array()
KINDS: Any = ("cone", "margin", "vote")


def features(stream: Stream, draws: int) -> Floats:
    noise = np.empty((draws, 3 * 64), np.float32)
    for draw, row in enumerate(noise):
        GridNoise(tiny.SIGMA, row.size).fill(row, SEED, stream, draw)
    pixels = prepare(IMAGE, PreprocessRule()).pixel_values
    return tiny.linear().features(pixels, noise.reshape(draws, 3, 8, 8))


def reference() -> Floats:
    mean = features(Stream.PILOT, 128).mean(axis=0)
    return np.asarray(mean / np.linalg.norm(mean))


def gallery(name: str = "gallery", *, away: float = 2.0) -> Prototypes:
    """The reference itself, called ``own``, and five others about it."""
    noise = np.random.default_rng(3).standard_normal((5, 6))
    rows = np.concatenate([reference()[None], reference() + away * noise / np.linalg.norm(noise, axis=1)[:, None]])
    return Prototypes.made_of(name, rows, ["own", "one", "two", "three", "four", "five"])


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_bundle(tmp_path_factory.mktemp("pooled"))


@pytest.fixture(scope="module")
def encoder(root: Path) -> Iterator[fs_runtime.SmoothedEncoder]:
    with fs_runtime.load(root, threads=1) as made:
        yield made


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Iterator[fs_runtime.SmoothedEncoder]:
    with fs_runtime.load(tiny.write_bundle(tmp_path_factory.mktemp("tokens"), tap="tokens"), threads=1) as made:
        yield made


# --- against NumPy


@pytest.mark.parametrize("top_k", [1, 2])
def test_classify_equals_numpy_when_all_kinds_are_asked(encoder: fs_runtime.SmoothedEncoder, top_k: int) -> None:
    known = gallery()
    certificate = encoder.classify(IMAGE, known, draws=301, alpha=0.03, kinds=KINDS, top_k=top_k, seed=SEED)
    vector, drawn = reference(), features(Stream.CERTIFY, 301)
    scores = known.vectors @ vector
    best = np.argsort(-scores)[:top_k]
    assert certificate.label == "own"
    assert [label.index for label in certificate.labels] == best.tolist()
    assert certificate.cosines == pytest.approx(scores[best].tolist(), abs=1e-6)
    rivals = Rivals(known.vectors, tuple(best.tolist()))
    assert certificate.margin == pytest.approx(rivals.nearest(vector).margin, abs=1e-6)
    margins = rivals.margins(drawn)
    assert certificate.kinds == KINDS
    tails = certificate.claim("margin").evidence.tails  # type: ignore[union-attr]
    assert tails.counts == tuple(int((margins < math.cos(each) + 1e-6).sum()) for each in tails.thresholds)
    voted = certificate.claim("vote")
    sets = np.sort(np.argsort(-features(Stream.PILOT, 128) @ known.vectors.T)[:, :top_k])
    found, times = np.unique(sets, axis=0, return_counts=True)
    assert sorted(label.index for label in voted.labels) == found[times.argmax()].tolist()
    votes = Rivals(known.vectors, tuple(label.index for label in voted.labels)).margins(drawn) > 1e-6
    assert voted.evidence == VoteLaw(int(votes.sum()), 301, 0.01)
    assert certificate.feature is not None
    law = certificate.feature.curve.evidence
    assert isinstance(law, GramLaw)
    assert law.alpha == tails.alpha == pytest.approx(0.01)
    np.testing.assert_allclose(certificate.feature.reference, vector, atol=1e-6)
    assert (certificate.draws, certificate.binding.pilot, certificate.alpha) == (301, 128, 0.03)
    assert certificate.prototypes.sha256 == known.sha256


def test_classify_certifies_the_same_cone_as_certify_when_the_noise_is_the_same(
    encoder: fs_runtime.SmoothedEncoder,
) -> None:
    certificate = encoder.classify(IMAGE, gallery(), draws=200, alpha=0.02, kinds=("cone",), seed=SEED)
    feature = encoder.certify(IMAGE, draws=200, alpha=0.02, seed=SEED)
    assert certificate.feature is not None
    assert certificate.feature.to_json() == feature.to_json()


def test_classify_takes_the_kinds_that_the_graph_allows_when_none_are_named(
    encoder: fs_runtime.SmoothedEncoder, tokens: fs_runtime.SmoothedEncoder
) -> None:
    pooled = encoder.classify(IMAGE, gallery(), draws=200, alpha=0.02)
    poles = Prototypes.made_of("poles", [reference(), -reference()], ["own", "opposite"])
    flat = tokens.classify(IMAGE, poles, draws=1000, alpha=0.02)
    assert (pooled.kinds, pooled.binding.pilot) == (("margin", "vote"), 128)
    assert (flat.kinds, flat.binding.pilot) == (("cone",), 64)
    assert flat.feature is not None
    assert (flat.feature.bound, flat.label) == ("angle-law", "own")
    assert flat.radius > 0.0


@pytest.mark.parametrize("kinds", [("margin",), ("vote", "cone")])
def test_classify_refuses_kinds_of_features_when_the_graph_gives_none(
    tokens: fs_runtime.SmoothedEncoder, kinds: Any
) -> None:
    with pytest.raises(InputError, match=r"'tokens' does not give: use kinds cone"):
        tokens.classify(IMAGE, gallery(), draws=200, kinds=kinds)


def test_classify_names_the_bare_encoders_label_when_the_reference_is_clean(
    encoder: fs_runtime.SmoothedEncoder,
) -> None:
    silent = tiny.linear().features(prepare(IMAGE, PreprocessRule()).pixel_values, np.zeros((1, 3, 8, 8)))[0]
    certificate = encoder.classify(IMAGE, gallery(), draws=200, alpha=0.02, reference="clean", kinds=KINDS)
    scores = gallery().vectors @ silent
    assert certificate.labels[0].index == scores.argmax()
    assert certificate.cosines == pytest.approx([scores.max()], abs=1e-6)
    assert certificate.binding.reference_kind == "clean"


def test_classify_gives_the_same_when_the_seed_and_the_prototypes_are(
    encoder: fs_runtime.SmoothedEncoder, tmp_path: Path
) -> None:
    path, _ = write_prototypes(tmp_path, "gallery", gallery().vectors, gallery().labels)
    made = {
        encoder.classify(IMAGE, known, draws=200, alpha=0.02, seed=SEED).to_json()
        for known in (gallery(), path, str(path), gallery())
    }
    assert len(made) == 1


def test_classify_reads_the_prototypes_of_a_bundle_when_named(tmp_path: Path) -> None:
    root = with_prototypes(tmp_path / "bundle", gallery())
    with fs_runtime.load(root, threads=1) as encoder:
        certificate = encoder.classify(IMAGE, "gallery", draws=200, alpha=0.02)
        assert encoder.prototypes("gallery") is encoder.prototypes("gallery")
        with pytest.raises(BundleError, match=r"no prototypes named 'imagenet' \(it has gallery\)"):
            encoder.classify(IMAGE, "imagenet")
        assert encoder.classify(IMAGE, draws=200, alpha=0.02).prototypes.name == "gallery"
    assert (certificate.label, certificate.prototypes.name) == ("own", "gallery")


def with_prototypes(folder: Path, known: Prototypes) -> Path:
    root = tiny.write_bundle(folder)
    tiny.add_prototypes(root, known)
    return root


# --- settings


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kinds": "best"}, "kinds must be"),
        ({"kinds": ()}, "kinds must be"),
        ({"kinds": ("vote", "vote")}, "kinds must be"),
        ({"top_k": 0}, r"top_k must lie in 1 \.\. 5"),
        ({"top_k": 6}, r"top_k must lie in 1 \.\. 5"),
        ({"bound": "gram"}, 'of the kind "cone", which is not among margin, vote'),
        ({"kinds": ("cone",), "bound": "cone"}, "no angle to the reference"),
        ({"kinds": ("cone",), "bound": "best"}, "bound must be"),
        ({"reference": "mean"}, "reference must be"),
        ({"alpha": 0.0}, "alpha must lie"),
        ({"pilot": 0}, "pilot must be at least 1"),
        ({"seed": -1}, "seed must lie in"),
        ({"until": LabelTarget(9.0)}, "cannot be proved at radius 9"),
    ],
)
def test_classify_refuses_when_an_argument_is_out_of_range(
    encoder: fs_runtime.SmoothedEncoder, changes: dict[str, Any], message: str
) -> None:
    known = gallery()
    for call in (encoder.classify, encoder.classify_many):
        with pytest.raises((InputError, CertificationError), match=message):
            call(IMAGE, known, **({"draws": 200} | changes))


@pytest.mark.parametrize("kinds", [("margin",), ("vote",), ("cone",), KINDS])
def test_classify_says_how_many_draws_when_there_are_too_few(encoder: fs_runtime.SmoothedEncoder, kinds: Any) -> None:
    with pytest.raises(TooFewDrawsError) as caught:
        encoder.classify(IMAGE, gallery(), draws=3, kinds=kinds)
    needed = caught.value.needed
    with pytest.raises(TooFewDrawsError):
        encoder.classify(IMAGE, gallery(), draws=needed - 1, kinds=kinds)
    assert encoder.classify(IMAGE, gallery(), draws=needed, kinds=kinds).draws == needed


def test_classify_refuses_when_prototypes_are_of_another_dimension_or_all_equal(
    encoder: fs_runtime.SmoothedEncoder,
) -> None:
    other = Prototypes.made_of("other", np.eye(7), list("abcdefg"))
    with pytest.raises(InputError, match=r"prototypes 'other' have 7 dimensions, but the bundle's features have 6"):
        encoder.classify(IMAGE, other, draws=200)
    equal = Prototypes.made_of("equal", np.ones((4, 6)), list("abcd"))
    with pytest.raises(InputError, match="all prototypes of 'equal' are equal"):
        encoder.classify(IMAGE, equal, draws=200)


# --- targets


@pytest.mark.parametrize("kinds", [("margin",), ("vote",), ("cone",), KINDS])
def test_classify_stops_when_the_radius_is_proved(encoder: fs_runtime.SmoothedEncoder, kinds: Any) -> None:
    until = LabelTarget(0.05)
    certificate = encoder.classify(IMAGE, gallery(), draws=4000, alpha=0.05, kinds=kinds, until=until)
    assert (certificate.outcome, certificate.abstained, certificate.until) == ("proved", False, until)
    assert certificate.draws < certificate.most_draws == 4000
    assert certificate.radius >= until.radius - 1e-9
    assert PredictionCertificate.from_json(certificate.to_json()).to_json() == certificate.to_json()


@pytest.mark.parametrize("kinds", [("margin",), ("vote",), ("cone",), KINDS])
def test_classify_gives_up_when_the_radius_is_hopeless(encoder: fs_runtime.SmoothedEncoder, kinds: Any) -> None:
    close = gallery(away=0.05)
    certificate = encoder.classify(IMAGE, close, draws=20_000, alpha=0.05, kinds=kinds, until=LabelTarget(0.2))
    assert (certificate.outcome, certificate.abstained) == ("hopeless", True)
    assert certificate.draws < 1500
    assert PredictionCertificate.from_json(certificate.to_json()).to_json() == certificate.to_json()


def test_classify_is_undecided_when_the_draws_run_out(encoder: fs_runtime.SmoothedEncoder) -> None:
    until = LabelTarget(0.3)
    certificate = encoder.classify(IMAGE, gallery(), draws=40, alpha=0.05, kinds=("margin",), until=until)
    assert (certificate.outcome, certificate.abstained, certificate.draws) == ("undecided", True, 40)


# --- many images


def test_classify_many_keeps_the_order_and_goes_on_when_an_image_fails(
    encoder: fs_runtime.SmoothedEncoder, tmp_path: Path
) -> None:
    images: list[Any] = [IMAGE, tmp_path / "missing.png", tiny.image_array(seed=3)]
    seen: list[tuple[int, int, int]] = []
    results = list(
        encoder.classify_many(
            images, gallery(), draws=100, alpha=0.05, seed=SEED, progress=lambda *step: seen.append(step)
        )
    )
    assert [result.image is image for result, image in zip(results, images, strict=True)] == [True] * 3
    assert "missing.png" in str(results[1].error)
    assert results[1].certificate is None
    for result in (results[0], results[2]):
        alone = encoder.classify(result.image, gallery(), draws=100, alpha=0.05, seed=SEED)
        assert result.certificate is not None
        assert result.certificate.to_json() == alone.to_json()
    assert {number for number, _, _ in seen} == {0, 2}
    assert seen[-1][1] == seen[-1][2] == 228


@pytest.mark.parametrize("until", [None, LabelTarget(0.05)])
def test_classify_many_gives_what_each_image_gives_alone_when_batches_are_mixed(
    encoder: fs_runtime.SmoothedEncoder, tmp_path: Path, until: LabelTarget | None
) -> None:
    images = [tiny.image_array(seed=seed) for seed in range(4)]
    settings: dict[str, Any] = {"draws": 200, "alpha": 0.05, "kinds": KINDS, "seed": SEED, "until": until}
    with fs_runtime.load(tiny.write_bundle(tmp_path, images=3), threads=1) as mixing:
        mixed = [result.certificate for result in mixing.classify_many(images, gallery(), **settings)]
        for image, certificate in zip(images, mixed, strict=True):
            assert certificate is not None
            assert mixing.replay(certificate, image, prototypes=gallery()).differences == ()
    if until is None:
        for image, certificate in zip(images, mixed, strict=True):
            alone = encoder.classify(image, gallery(), **settings)
            assert certificate is not None
            assert certificate.labels == alone.labels
            assert certificate.claim("vote").evidence == alone.claim("vote").evidence
            assert certificate.radius == pytest.approx(alone.radius, abs=1e-4)


# --- replay


@pytest.mark.parametrize("kinds", [KINDS, ("margin", "vote"), ("vote",), ("cone",)])
@pytest.mark.parametrize("until", [None, LabelTarget(0.02), LabelTarget(0.6)])
@pytest.mark.parametrize("top_k", [1, 3])
def test_replay_is_equal_when_nothing_was_touched(
    encoder: fs_runtime.SmoothedEncoder, kinds: Any, until: LabelTarget | None, top_k: int
) -> None:
    known = gallery()
    certificate = encoder.classify(IMAGE, known, draws=600, alpha=0.05, kinds=kinds, top_k=top_k, until=until)
    again = encoder.replay(PredictionCertificate.from_json(certificate.to_json()), IMAGE, prototypes=known)
    assert again.differences == ()
    assert again.equal
    assert again.same_backend
    assert again.certificate.draws == certificate.draws


def test_replay_is_equal_when_there_are_tokens(tokens: fs_runtime.SmoothedEncoder) -> None:
    certificate = tokens.classify(IMAGE, gallery(), draws=300, alpha=0.05)
    assert tokens.replay(certificate, IMAGE, prototypes=gallery()).differences == ()


def test_replay_names_the_field_when_a_number_was_edited(encoder: fs_runtime.SmoothedEncoder) -> None:
    known = gallery()
    certificate = encoder.classify(IMAGE, known, draws=300, alpha=0.05)
    vote = certificate.claim("vote")
    assert isinstance(vote.evidence, VoteLaw)
    margin = certificate.claim("margin")
    assert isinstance(margin.evidence, MarginLaw)
    tails = margin.evidence.tails
    counts = (tails.counts[0] - 1, *tails.counts[1:])
    forged = {
        "claims[1].evidence.count": {
            "claims": (margin, replace(vote, evidence=replace(vote.evidence, count=vote.evidence.count + 1)))
        },
        "claims[0].evidence.tails.counts[0]": {
            "claims": (replace(margin, evidence=MarginLaw(replace(tails, counts=counts))), vote)
        },
        "cosines[0]": {"cosines": (certificate.cosines[0] - 1e-6,)},
        "margin": {"margin": certificate.margin + 1e-6},
    }
    for field, change in forged.items():
        again = encoder.replay(replace(certificate, **change), IMAGE, prototypes=known)
        assert [each.field for each in again.differences] == [field]
        assert not again.equal


def test_replay_allows_rounding_when_the_backend_is_another(encoder: fs_runtime.SmoothedEncoder) -> None:
    known = gallery()
    certificate = encoder.classify(IMAGE, known, draws=400, alpha=0.05, kinds=("vote",), top_k=2)
    vote = certificate.claim("vote")
    assert isinstance(vote.evidence, VoteLaw)

    def elsewhere(count: int) -> PredictionCertificate:
        assert isinstance(vote.evidence, VoteLaw)
        provenance = replace(certificate.provenance, backend=replace(certificate.provenance.backend, device="cuda:0"))
        claim = replace(
            vote, evidence=replace(vote.evidence, count=vote.evidence.count - count), labels=vote.labels[::-1]
        )
        return replace(
            certificate,
            claims=(claim,),
            labels=certificate.labels[::-1],
            binding=replace(certificate.binding, provenance=provenance),
        )

    near = encoder.replay(elsewhere(2), IMAGE, prototypes=known)
    assert (near.same_backend, near.differences) == (False, ())
    far = encoder.replay(elsewhere(3), IMAGE, prototypes=known)
    assert [each.field for each in far.differences] == ["claims[0].evidence.count"]


def test_replay_refuses_when_prototypes_or_image_are_others(encoder: fs_runtime.SmoothedEncoder) -> None:
    certificate = encoder.classify(IMAGE, gallery(), draws=200, alpha=0.05)
    with pytest.raises(InputError, match="not about 'others'"):
        encoder.replay(certificate, IMAGE, prototypes=gallery("others", away=1.0))
    with pytest.raises(BundleError, match="no prototypes named 'gallery'"):
        encoder.replay(certificate, IMAGE)
    with pytest.raises(InputError, match="other pixels"):
        encoder.replay(certificate, tiny.image_array(seed=3), prototypes=gallery())
    feature = encoder.certify(IMAGE, draws=200, alpha=0.05)
    with pytest.raises(InputError, match="needs no prototypes"):
        encoder.replay(feature, IMAGE, prototypes=gallery())


# --- end to end, against the truth


def test_classify_is_sound_when_the_truth_is_known(tmp_path: Path) -> None:
    """The first pixel alone decides; the label is lost where the smoothed feature crosses the boundary."""
    pixel, sigma, alpha, runs = 0.5, tiny.SIGMA, 0.1, 30
    angles = np.array([0.0, 0.5, 2.4])
    truth = tiny.KnownTruth((pixel + sigma, pixel + 2.0 * sigma), np.stack([np.cos(angles), np.sin(angles)], axis=-1))
    known = Prototypes.made_of("two", [[1.0, 0.0], [math.cos(0.9), math.sin(0.9)]], ["here", "there"])
    difference = known.vectors[0] - known.vectors[1]
    shifts = np.linspace(0.0, 3.0, 3001)
    lost = sigma * shifts[np.argmax([truth.smoothed(pixel, shift) @ difference <= 0.0 for shift in shifts])]
    failures = said = 0
    with fs_runtime.load(tiny.write_bundle(tmp_path, truth.encoder, noise_batch=64), threads=1) as encoder:
        image = np.full((2, 2, 3), pixel)
        for run in range(runs):
            certificate = encoder.classify(
                image, known, draws=512, alpha=alpha, kinds=("margin", "vote"), seed=run, until=LabelTarget(1.01 * lost)
            )
            assert certificate.label == "here"
            failures += certificate.radius_of("margin") > lost
            said += certificate.radius_of("margin") > 0.3 * lost
    # P(Binomial(30, 0.1) > 12) is below 1e-5.
    assert failures <= 12
    assert said > runs // 2, "too few certificates say anything: nothing was tested"
