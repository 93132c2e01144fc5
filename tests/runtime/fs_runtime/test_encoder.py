"""The smoothed encoder against NumPy, and against an encoder whose smoothed feature is known exactly."""

import gc
import math
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from helpers import tiny
from PIL import Image
from scipy import stats

import fs_runtime
from fs_runtime import Target
from fs_runtime.certificates.settings import CertifySettings
from fs_runtime.certification import AngleLaw, CertificationError, Fcsb, GramLaw, TooFewDrawsError
from fs_runtime.certification.laws.tails import COSINE_SLACK
from fs_runtime.errors import BackendError, BundleError, ImageError, InputError
from fs_runtime.noise import GENERATOR, GridNoise, Stream
from fs_runtime.preprocess import Exact, PreprocessRule, prepare

Floats = npt.NDArray[np.float64]
SEED = 0xC0FFEE
IMAGE = tiny.image_array()
FLOAT32 = 5e-7
"""What float32 leaves of a cosine's digits."""


@pytest.fixture(scope="module")
def pooled_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_bundle(tmp_path_factory.mktemp("pooled"))


@pytest.fixture(scope="module")
def token_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_bundle(tmp_path_factory.mktemp("tokens"), tap="tokens")


@pytest.fixture
def pooled(pooled_bundle: Path) -> Iterator[fs_runtime.SmoothedEncoder]:
    with fs_runtime.load(pooled_bundle, threads=1) as encoder:
        yield encoder


@pytest.fixture
def tokens(token_bundle: Path) -> Iterator[fs_runtime.SmoothedEncoder]:
    with fs_runtime.load(token_bundle, threads=1) as encoder:
        yield encoder


def _pixels() -> npt.NDArray[np.float32]:
    return prepare(IMAGE, PreprocessRule()).pixel_values


def _noise(stream: Stream, draws: int) -> npt.NDArray[np.float32]:
    """[draws, 3, 8, 8], draw by draw: the blocks must not matter."""
    made = np.empty((draws, 3 * 64), np.float32)
    for draw, row in enumerate(made):
        GridNoise(tiny.SIGMA, row.size).fill(row, SEED, stream, draw)
    return made.reshape(draws, 3, 8, 8)


def _features(stream: Stream, draws: int) -> Floats:
    return tiny.linear().features(_pixels(), _noise(stream, draws))


def _unit(vector: Floats) -> Floats:
    return vector / np.linalg.norm(vector)


def _thresholds(cosines: Floats) -> list[float]:
    """The pilot's quantiles and multiples, as docs/theory.md lists them, each 4e-6 of cosine beyond."""
    angles = np.arccos(np.clip(cosines, -1.0, 1.0))
    largest = angles.max()
    wanted = [*np.quantile(angles, [0.3, 0.6, 0.85]), largest, 1.15 * largest, 1.4 * largest]
    return sorted(np.arccos(np.cos(wanted) - 4e-6))


# ---- against NumPy


@pytest.mark.parametrize(("draws", "taken"), [(1, 4), (4, 4), (10, 12), (64, 64)])
@pytest.mark.parametrize("tap", ["pooled", "tokens"])
def test_smooth_equals_numpy_when_draws_fill_whole_batches(
    request: pytest.FixtureRequest, tap: str, draws: int, taken: int
) -> None:
    encoder: fs_runtime.SmoothedEncoder = request.getfixturevalue(tap)
    feature = encoder.smooth(IMAGE, draws=draws, seed=SEED)
    mean = _features(Stream.SMOOTH, taken).mean(axis=0)
    raw = tiny.linear().raw(_pixels(), _noise(Stream.SMOOTH, taken))
    np.testing.assert_allclose(feature.vector, _unit(mean), atol=FLOAT32)
    assert feature.vector.dtype == np.float64
    assert feature.resultant_length == pytest.approx(np.linalg.norm(mean), abs=FLOAT32)
    assert feature.mean_raw_norm == pytest.approx(np.linalg.norm(raw, axis=1).mean(), rel=1e-6)
    assert feature.draws == taken
    assert feature.seed == SEED


def test_certify_equals_numpy_when_the_bound_is_gram(pooled: fs_runtime.SmoothedEncoder) -> None:
    pilot, drawn = _features(Stream.PILOT, 32), _features(Stream.CERTIFY, 101)
    certificate = pooled.certify(IMAGE, draws=101, alpha=0.01, pilot=30, bound="gram", seed=SEED)
    reference = _unit(pilot.mean(axis=0))
    np.testing.assert_allclose(certificate.reference, reference, atol=FLOAT32)
    law = certificate.curve.evidence
    assert isinstance(law, GramLaw)
    assert (law.alpha, law.tails.alpha) == (0.01, 0.005)
    assert (certificate.draws, law.tails.draws, certificate.pilot) == (101, 101, 32)
    np.testing.assert_allclose(law.tails.thresholds, _thresholds(pilot @ reference), atol=2e-6)

    cosines = drawn @ certificate.reference
    counts = [int((cosines < math.cos(threshold) + 1e-6).sum()) for threshold in law.tails.thresholds]
    assert list(law.tails.counts) == counts
    assert counts[0] > counts[-1] == 0
    inside = cosines >= math.cos(law.tails.thresholds[law.cut])
    off_axis = (drawn - np.outer(cosines, certificate.reference)) * inside[:, None]
    eigenvalues = np.linalg.eigvalsh(off_axis.T @ off_axis / 101)
    assert law.largest_eigenvalue == pytest.approx(eigenvalues[-1], rel=1e-5)
    assert law.mean_norm == pytest.approx(np.linalg.norm(off_axis.mean(axis=0)), rel=1e-5)
    assert certificate.score.estimate == pytest.approx((1.0 + cosines.mean()) / 2.0, abs=FLOAT32)
    assert certificate.sigma == tiny.SIGMA
    assert certificate.reference_kind == "smoothed"


@pytest.mark.parametrize("tap", ["pooled", "tokens"])
def test_certify_equals_numpy_when_the_bound_is_the_angle_law(request: pytest.FixtureRequest, tap: str) -> None:
    encoder: fs_runtime.SmoothedEncoder = request.getfixturevalue(tap)
    pilot, drawn = _features(Stream.PILOT, 64), _features(Stream.CERTIFY, 102)
    certificate = encoder.certify(IMAGE, draws=102, alpha=0.01, bound="angle-law", seed=SEED)
    reference = _unit(pilot.mean(axis=0))
    np.testing.assert_allclose(certificate.reference, reference, atol=FLOAT32)
    law = certificate.curve.evidence
    assert isinstance(law, AngleLaw)
    assert (certificate.draws, certificate.pilot, law.tails.alpha) == (102, 64, 0.01)
    np.testing.assert_allclose(law.tails.thresholds, _thresholds(pilot @ reference), atol=2e-6)
    cosines = drawn @ reference
    counts = [int((cosines < math.cos(threshold) + 1e-6).sum()) for threshold in law.tails.thresholds]
    assert list(law.tails.counts) == counts
    assert counts[0] > counts[-1]


def test_certify_equals_numpy_when_the_bound_is_fcsb(pooled: fs_runtime.SmoothedEncoder) -> None:
    certificate = pooled.certify(IMAGE, draws=99, alpha=0.01, bound="fcsb", seed=SEED)
    law = certificate.curve.evidence
    assert isinstance(law, Fcsb)
    mean = float((_features(Stream.CERTIFY, 99) @ certificate.reference).mean())
    assert law.mean_cosine == pytest.approx(mean, abs=FLOAT32)
    lower = (1.0 + mean - COSINE_SLACK) / 2.0 - math.sqrt(math.log(1.0 / 0.01) / (2.0 * 99))
    expected = 2.0 * stats.norm.cdf(stats.norm.ppf(lower) - 0.25) - 1.0
    assert certificate.curve.cosine(0.25 * tiny.SIGMA) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("tap", ["pooled", "tokens"])
def test_certify_refers_to_the_feature_without_noise_when_the_reference_is_clean(
    request: pytest.FixtureRequest, tap: str
) -> None:
    encoder: fs_runtime.SmoothedEncoder = request.getfixturevalue(tap)
    certificate = encoder.certify(IMAGE, draws=101, alpha=0.01, reference="clean", bound="angle-law", seed=SEED)
    silent = tiny.linear().features(_pixels(), np.zeros((1, 3, 8, 8)))[0]
    np.testing.assert_allclose(certificate.reference, silent, atol=FLOAT32)
    assert certificate.reference_kind == "clean"
    smoothed = encoder.certify(IMAGE, draws=101, alpha=0.01, bound="angle-law", seed=SEED).reference
    assert np.abs(certificate.reference - smoothed).max() > 1e-3
    law = certificate.curve.evidence
    assert isinstance(law, AngleLaw)
    np.testing.assert_allclose(law.tails.thresholds, _thresholds(_features(Stream.PILOT, 64) @ silent), atol=2e-6)
    cosines = _features(Stream.CERTIFY, 101) @ silent
    assert law.tails.counts == tuple(
        int((cosines < math.cos(threshold) + 1e-6).sum()) for threshold in law.tails.thresholds
    )


def test_certify_refuses_the_clean_reference_when_a_booster_has_no_bare_encoder_beside_it(tmp_path: Path) -> None:
    root = tiny.write_bundle(tmp_path)
    tiny.edit_manifest(root, lambda manifest: manifest.update(gsb={"kind": "default", "sha256": "0" * 64}))
    with fs_runtime.load(root) as encoder:
        with pytest.raises(BundleError, match="no graph of role 'clean'"):
            encoder.certify(IMAGE, draws=100, reference="clean")
        with pytest.raises(BundleError, match="no graph of role 'clean'"):
            encoder.certify_many([IMAGE], draws=100, reference="clean")


def test_certify_takes_the_bare_encoders_feature_when_the_graph_has_a_booster(tmp_path: Path) -> None:
    root = tiny.write_bundle(tmp_path, tiny.scattering())
    tiny.add_clean(root)
    with fs_runtime.load(root, threads=1) as encoder:
        certificate = encoder.certify(IMAGE, draws=100, alpha=0.05, reference="clean")
    expected = tiny.linear().features(_pixels(), np.zeros((1, 3, 8, 8)))[0]
    np.testing.assert_allclose(certificate.reference, expected, atol=FLOAT32)


# ---- draws, batches, seeds, threads


@pytest.mark.parametrize("draws", [100, 101, 102, 103])
@pytest.mark.parametrize("bound", ["gram", "angle-law", "fcsb"])
def test_certify_counts_exactly_the_draws_when_they_do_not_fill_a_batch(
    pooled: fs_runtime.SmoothedEncoder, bound: Any, draws: int
) -> None:
    certificate = pooled.certify(IMAGE, draws=draws, alpha=0.01, bound=bound, seed=SEED)
    assert certificate.draws == draws
    cosines = _features(Stream.CERTIFY, draws) @ certificate.reference
    assert certificate.score.estimate == pytest.approx((1.0 + cosines.mean()) / 2.0, abs=FLOAT32)


@pytest.mark.parametrize(("pilot", "taken"), [(1, 4), (4, 4), (5, 8), (64, 64)])
@pytest.mark.parametrize("tap", ["pooled", "tokens"])
def test_certify_rounds_the_pilot_up_when_it_does_not_fill_a_batch(
    request: pytest.FixtureRequest, tap: str, pilot: int, taken: int
) -> None:
    encoder: fs_runtime.SmoothedEncoder = request.getfixturevalue(tap)
    certificate = encoder.certify(IMAGE, draws=100, alpha=0.01, pilot=pilot, seed=SEED)
    assert (certificate.pilot, certificate.draws) == (taken, 100)
    expected = _unit(_features(Stream.PILOT, taken).mean(axis=0))
    np.testing.assert_allclose(certificate.reference, expected, atol=FLOAT32)


def test_certify_takes_the_default_pilot_when_none_is_given(pooled: fs_runtime.SmoothedEncoder) -> None:
    taken = {bound: pooled.certify(IMAGE, draws=100, alpha=0.01, bound=bound).pilot for bound in _BOUNDS}
    assert taken == {"auto": 128, "gram": 128, "angle-law": 64, "fcsb": 64}


@pytest.mark.parametrize(("draws", "taken"), [(1023, 128), (2048, 256), (20_000, 1024)])
def test_settings_take_a_pilot_that_suits_the_draws_when_their_number_is_fixed(
    pooled: fs_runtime.SmoothedEncoder, draws: int, taken: int
) -> None:
    asked = {"draws": draws, "alpha": 0.01, "pilot": None, "reference": "smoothed"}
    assert CertifySettings.checked(pooled.manifest, **asked, bound="gram", until=None).pilot == taken
    assert CertifySettings.checked(pooled.manifest, **asked, bound="gram", until=Target(0.05, 0.5)).pilot == 128
    assert CertifySettings.checked(pooled.manifest, **asked, bound="angle-law", until=None).pilot == 64


_BOUNDS: tuple[Any, ...] = ("auto", "gram", "angle-law", "fcsb")


@pytest.mark.parametrize("bound", ["gram", "angle-law", "fcsb"])
def test_certify_gives_the_same_json_when_the_seed_is_the_same(pooled_bundle: Path, bound: Any) -> None:
    texts = set()
    for threads in (1, 2, 3, 8):
        with fs_runtime.load(pooled_bundle, threads=threads) as encoder:
            for _ in range(2):
                texts.add(encoder.certify(IMAGE, draws=333, bound=bound, seed=SEED).to_json())
    assert len(texts) == 1


def test_certify_gives_another_certificate_when_the_seed_is_another(pooled: fs_runtime.SmoothedEncoder) -> None:
    first, second = (pooled.certify(IMAGE, draws=200, seed=seed) for seed in (SEED, SEED + 1))
    assert first.curve.evidence != second.curve.evidence
    assert not np.array_equal(first.reference, second.reference)
    third = pooled.certify(IMAGE, draws=200, seed=SEED | 1 << 127)
    assert not np.array_equal(first.reference, third.reference)


def test_certify_draws_a_fresh_seed_when_none_is_given(pooled: fs_runtime.SmoothedEncoder) -> None:
    seeds = [pooled.certify(IMAGE, draws=100, alpha=0.01).provenance.seed for _ in range(4)]
    assert {seed.source for seed in seeds} == {"os-entropy"}
    assert len({seed.value for seed in seeds}) == 4
    assert max(seed.value for seed in seeds).bit_length() > 64
    assert pooled.smooth(IMAGE).seed != pooled.smooth(IMAGE).seed


def test_certify_labels_the_seed_when_the_caller_gives_it(pooled: fs_runtime.SmoothedEncoder) -> None:
    provenance = pooled.certify(IMAGE, draws=100, alpha=0.01, seed=SEED).provenance
    assert (provenance.seed.value, provenance.seed.source) == (SEED, "caller")
    assert provenance.generator == GENERATOR
    assert provenance.graph_sha256 == pooled.manifest.graphs[0].sha256
    assert provenance.runtime == fs_runtime.__version__


def test_smooth_and_certify_draw_differently_when_the_seed_is_the_same(pooled: fs_runtime.SmoothedEncoder) -> None:
    smooth = pooled.smooth(IMAGE, draws=64, seed=SEED)
    certificate = pooled.certify(IMAGE, draws=100, alpha=0.01, pilot=64, seed=SEED)
    assert not np.allclose(smooth.vector, certificate.reference, atol=1e-4)


def test_certify_is_unmoved_when_another_image_came_between(pooled: fs_runtime.SmoothedEncoder) -> None:
    before = pooled.certify(IMAGE, draws=100, alpha=0.01, seed=SEED).to_json()
    pooled.certify(tiny.image_array(seed=9), draws=50, alpha=0.1)
    pooled.smooth(IMAGE, draws=7)
    assert pooled.certify(IMAGE, draws=100, alpha=0.01, seed=SEED).to_json() == before


def test_certify_gives_the_same_numbers_when_the_image_comes_as_file_or_array(
    pooled: fs_runtime.SmoothedEncoder, tmp_path: Path
) -> None:
    path = tmp_path / "image.png"
    Image.fromarray(IMAGE).save(path)
    certificates = [
        pooled.certify(image, draws=100, alpha=0.01, seed=SEED)
        for image in (IMAGE, path, str(path), Image.fromarray(IMAGE))
    ]
    assert len({certificate.image.sha256 for certificate in certificates}) == 1
    assert [certificate.image.name for certificate in certificates] == ["<array>", str(path), str(path), "<PIL image>"]
    assert len({repr(certificate.curve) for certificate in certificates}) == 1


def test_image_sha256_is_the_certificates_and_keeps_to_the_encoders_limit(pooled_bundle: Path) -> None:
    with fs_runtime.load(pooled_bundle, threads=1) as encoder:
        assert encoder.image_sha256(IMAGE) == encoder.certify(IMAGE, draws=100, alpha=0.01).image.sha256
    with fs_runtime.load(pooled_bundle, threads=1, max_pixels=63) as encoder, pytest.raises(ImageError, match="63"):
        encoder.image_sha256(IMAGE)


# ---- the token tap


def test_certify_uses_the_angle_law_when_the_graph_gives_no_features(tokens: fs_runtime.SmoothedEncoder) -> None:
    certificate = tokens.certify(IMAGE, draws=100, alpha=0.01)
    assert certificate.bound == "angle-law"
    assert certificate.reference.shape == (6,)
    assert not certificate.abstained


def test_certify_uses_gram_when_the_graph_gives_features(pooled: fs_runtime.SmoothedEncoder) -> None:
    assert pooled.certify(IMAGE, draws=100, alpha=0.01).bound == "gram"


def test_certify_refuses_gram_when_the_graph_gives_no_features(tokens: fs_runtime.SmoothedEncoder) -> None:
    with pytest.raises(InputError, match=r"'tokens' does not give: use \"angle-law\""):
        tokens.certify(IMAGE, draws=100, bound="gram")


# ---- arguments


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"alpha": 0.0}, "alpha must lie strictly between 0 and 1"),
        ({"alpha": 1.0}, "alpha must lie"),
        ({"alpha": -0.1}, "alpha must lie"),
        ({"alpha": math.nan}, "alpha must lie"),
        ({"bound": "best"}, "bound must be .*'best'"),
        ({"bound": ""}, "bound must be"),
        ({"reference": "mean"}, "reference must be .*'mean'"),
        ({"seed": -1}, "seed must lie in"),
        ({"seed": 2**128}, "seed must lie in"),
        ({"pilot": 0}, "pilot must be at least 1, not 0"),
        ({"pilot": -4}, "pilot must be at least 1"),
    ],
)
def test_certify_refuses_when_an_argument_is_out_of_range(
    pooled: fs_runtime.SmoothedEncoder, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises((InputError, CertificationError), match=message):
        pooled.certify(IMAGE, **arguments)


@pytest.mark.parametrize("draws", [0, -1])
def test_smooth_refuses_when_there_are_no_draws(pooled: fs_runtime.SmoothedEncoder, draws: int) -> None:
    with pytest.raises(InputError, match="draws must be at least 1"):
        pooled.smooth(IMAGE, draws=draws)


@pytest.mark.parametrize("seed", [-1, 2**128])
def test_smooth_refuses_when_the_seed_is_out_of_range(pooled: fs_runtime.SmoothedEncoder, seed: int) -> None:
    with pytest.raises(InputError, match="seed must lie in"):
        pooled.smooth(IMAGE, seed=seed)


@pytest.mark.parametrize("bound", ["gram", "angle-law", "fcsb"])
@pytest.mark.parametrize("draws", [-1, 0, 1, 12])
def test_certify_says_how_many_draws_when_there_are_too_few(
    pooled: fs_runtime.SmoothedEncoder, bound: Any, draws: int
) -> None:
    with pytest.raises(TooFewDrawsError, match=r"use at least \d+ draws") as caught:
        pooled.certify(IMAGE, draws=draws, alpha=1e-3, bound=bound)
    needed = caught.value.needed
    assert f"at least {needed} draws" in str(caught.value)
    with pytest.raises(TooFewDrawsError):
        pooled.certify(IMAGE, draws=needed - 1, alpha=1e-3, bound=bound)
    assert pooled.certify(IMAGE, draws=needed, alpha=1e-3, bound=bound).draws == needed


def test_certify_refuses_before_drawing_when_the_image_is_of_another_size(pooled: fs_runtime.SmoothedEncoder) -> None:
    with pytest.raises(InputError, match=r"<array> becomes \(1, 3, 8, 9\).*hand in an image of 8 x 8 pixels"):
        pooled.certify(np.zeros((8, 9, 3), np.uint8), draws=100)
    with pytest.raises(InputError, match="8 x 8 pixels"):
        pooled.smooth(np.zeros((16, 16, 3), np.uint8))


def test_certify_resizes_when_the_rule_says_so(tmp_path: Path) -> None:
    root = tiny.write_bundle(tmp_path, preprocess=PreprocessRule(resize=Exact(8, 8, "bilinear")))
    with fs_runtime.load(root) as encoder:
        certificate = encoder.certify(tiny.image_array(side=23), draws=100, alpha=0.01)
    assert (certificate.image.height, certificate.image.width, certificate.image.values) == (23, 23, 192)
    assert 0.0 < certificate.image.operator_norm < 1.0


def test_certify_refuses_when_the_image_is_larger_than_allowed(pooled_bundle: Path) -> None:
    with fs_runtime.load(pooled_bundle, max_pixels=63) as encoder, pytest.raises(ImageError, match="max_pixels = 63"):
        encoder.certify(IMAGE, draws=100)


@pytest.mark.parametrize("arguments", [{"threads": 0}, {"threads": -1}, {"max_pixels": 0}, {"max_pixels": -5}])
def test_load_refuses_when_a_number_is_not_positive(pooled_bundle: Path, arguments: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="must be a positive whole number") as caught:
        fs_runtime.load(pooled_bundle, **arguments)
    assert next(iter(arguments)) in str(caught.value)


def test_load_refuses_when_backend_device_or_hash_is_wrong(pooled_bundle: Path) -> None:
    with pytest.raises(BackendError, match="no backend 'triton'"):
        fs_runtime.load(pooled_bundle, backend="triton")
    with pytest.raises(BackendError, match="cuda:99"):
        fs_runtime.load(pooled_bundle, device="cuda:99")
    with pytest.raises(BundleError, match="SHA-256"):
        fs_runtime.load(pooled_bundle, expect_sha256="0" * 64)


def test_load_names_the_role_when_the_bundle_has_only_a_clean_graph(tmp_path: Path) -> None:
    root = tiny.write_bundle(tmp_path, noise_batch=1, graph={"role": "clean"})
    with pytest.raises(BundleError, match="no graph of role 'smoothed'"):
        fs_runtime.load(root)


# ---- numbers that are no features


@pytest.mark.parametrize("tap", ["pooled", "tokens"])
@pytest.mark.parametrize("reference", ["smoothed", "clean"])
def test_certify_says_so_when_every_feature_is_nan(tmp_path: Path, tap: tiny.Tap, reference: Any) -> None:
    with (
        fs_runtime.load(tiny.write_bundle(tmp_path, tiny.not_a_number(), tap=tap)) as encoder,
        pytest.raises(CertificationError, match="norm nan"),
    ):
        encoder.certify(IMAGE, draws=100, alpha=0.01, reference=reference)


@pytest.mark.parametrize("tap", ["pooled", "tokens"])
def test_certify_says_so_when_a_certifying_feature_is_nan(tmp_path: Path, tap: tiny.Tap) -> None:
    # The seed is one whose pilot is free of NaN and whose draws are not.
    above, first = 0.9, _pixels()[0, 0, 0, 0]
    assert not (first + _noise(Stream.PILOT, 8)[:, 0, 0, 0] > above).any()
    assert (first + _noise(Stream.CERTIFY, 400)[:, 0, 0, 0] > above).any()
    root = tiny.write_bundle(tmp_path, tiny.not_a_number(above=above), tap=tap)
    with fs_runtime.load(root) as encoder, pytest.raises(CertificationError, match=r"not finite|norm nan"):
        encoder.certify(IMAGE, draws=400, alpha=0.01, pilot=8, seed=SEED)


def test_smooth_says_so_when_features_are_nan(tmp_path: Path) -> None:
    with (
        fs_runtime.load(tiny.write_bundle(tmp_path, tiny.not_a_number())) as encoder,
        pytest.raises(CertificationError, match="norm nan"),
    ):
        encoder.smooth(IMAGE)


@pytest.mark.parametrize("bound", ["gram", "angle-law", "fcsb"])
def test_certify_abstains_when_features_point_everywhere(tmp_path: Path, bound: Any) -> None:
    with fs_runtime.load(tiny.write_bundle(tmp_path, tiny.scattering())) as encoder:
        certificate = encoder.certify(IMAGE, draws=200, alpha=0.01, bound=bound, seed=SEED)
    assert certificate.abstained
    assert certificate.angle(0.0) == math.pi
    assert certificate.cosine(0.1) == -1.0
    assert certificate.radius(0.5) == 0.0


# ---- progress and memory


@pytest.mark.parametrize("tap", ["pooled", "tokens"])
@pytest.mark.parametrize("reference", ["smoothed", "clean"])
def test_certify_reports_progress_when_asked(request: pytest.FixtureRequest, tap: str, reference: Any) -> None:
    encoder: fs_runtime.SmoothedEncoder = request.getfixturevalue(tap)
    seen: list[tuple[int, int]] = []
    encoder.certify(
        IMAGE,
        draws=100,
        alpha=0.01,
        pilot=40,
        reference=reference,
        progress=lambda done, total: seen.append((done, total)),
    )
    done = [step for step, _ in seen]
    assert len({total for _, total in seen}) == 1
    assert done == sorted(set(done)), "progress stands still or goes back"
    assert done[-1] == seen[-1][1]


@pytest.mark.parametrize("tap", ["pooled", "tokens"])
def test_certify_ends_progress_at_the_total_when_batches_are_rounded_up(
    request: pytest.FixtureRequest, tap: str
) -> None:
    encoder: fs_runtime.SmoothedEncoder = request.getfixturevalue(tap)
    seen: list[tuple[int, int]] = []
    encoder.certify(IMAGE, draws=101, alpha=0.01, pilot=5, progress=lambda done, total: seen.append((done, total)))
    done = [step for step, _ in seen]
    assert done == sorted(done)
    assert done[-1] == seen[-1][1] == max(done)


def test_smooth_reports_progress_when_asked(pooled: fs_runtime.SmoothedEncoder) -> None:
    seen: list[tuple[int, int]] = []
    pooled.smooth(IMAGE, draws=10, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(4, 12), (8, 12), (12, 12)]


def _peak(root: Path, draws: int) -> int:
    """Bytes that Python and NumPy hold at most, the noise buffers included."""
    gc.collect()
    tracemalloc.start()
    try:
        with fs_runtime.load(root, threads=1) as encoder:
            tracemalloc.reset_peak()
            encoder.certify(tiny.image_array(side=16), draws=draws, bound="angle-law", seed=SEED)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("tap", ["pooled", "tokens"])
def test_certify_takes_no_more_memory_when_there_are_more_draws(tmp_path: Path, tap: tiny.Tap) -> None:
    root = tiny.write_bundle(tmp_path, tiny.linear(side=16), tap=tap, noise_batch=64)
    _peak(root, 500)
    few, many = _peak(root, 500), _peak(root, 10_000)
    assert few < 760_000, "10% of it must stay below one float64 kept per draw, 76,000 bytes"
    assert many <= 1.1 * few, (few, many)


# ---- end to end, against the truth


def _truths() -> dict[str, tiny.KnownTruth]:
    def planar(edges: tuple[float, ...], angles: list[float]) -> tiny.KnownTruth:
        return tiny.KnownTruth(edges, np.stack([np.cos(angles), np.sin(angles)], axis=-1))

    pixel, sigma = 0.5, tiny.SIGMA
    rare = pixel + sigma * stats.norm.isf(1.0 / 128)
    return {
        "halves": planar((pixel,), [-0.4, 0.4]),
        "steps": planar(tuple(pixel + sigma * np.array([-1.0, 0.0, 0.7, 1.5])), [0.0, 0.1, 0.25, 0.6, 1.4]),
        "rare-turn": planar((float(rare),), [0.0, 1.9]),
    }


_SHIFTS = (0.0, 0.25, 0.5, 1.0, 2.0)


def _angle(first: Floats, second: Floats) -> float:
    u, v = _unit(first), _unit(second)
    return 2.0 * math.atan2(float(np.linalg.norm(u - v)), float(np.linalg.norm(u + v)))


def _worst(truth: tiny.KnownTruth, reference: Floats, shift: float) -> float:
    return max(_angle(truth.smoothed(0.5, sign * shift), reference) for sign in (-1.0, 1.0))


@pytest.mark.parametrize(
    ("bound", "reference"),
    [("gram", "smoothed"), ("angle-law", "smoothed"), ("fcsb", "smoothed"), ("gram", "clean")],
)
@pytest.mark.parametrize("name", ["halves", "steps", "rare-turn"])
def test_certify_is_sound_when_the_truth_is_known(tmp_path: Path, name: str, bound: Any, reference: Any) -> None:
    truth, alpha, runs = _truths()[name], 0.1, 80
    image = np.full((2, 2, 3), 0.5)
    failures = said = caught = 0
    with fs_runtime.load(tiny.write_bundle(tmp_path, truth.encoder, noise_batch=64), threads=1) as encoder:
        for run in range(runs):
            certificate = encoder.certify(
                image, draws=128, alpha=alpha, pilot=64, bound=bound, reference=reference, seed=run
            )
            worst = [_worst(truth, certificate.reference, shift) for shift in _SHIFTS]
            angles = [certificate.angle(shift * tiny.SIGMA) for shift in _SHIFTS]
            failures += any(angle < true - 1e-7 for angle, true in zip(angles, worst, strict=True))
            said += angles[0] < math.pi
            # The same test with attacks three times as large must see failures, or it sees nothing.
            caught += certificate.angle(0.5 * tiny.SIGMA) < _worst(truth, certificate.reference, 3.0)
    assert stats.binomtest(failures, runs, alpha, alternative="greater").pvalue > 1e-6, f"{failures} of {runs} failed"
    assert said > runs // 2, "too few certificates say anything: nothing was tested"
    if name != "halves":
        assert stats.binomtest(caught, runs, alpha, alternative="greater").pvalue < 1e-6, "the test has no power"
