"""Draws of several images in one batch: full blocks, the images' order, and the same numbers as alone."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import tiny

import fs_runtime
from fs_runtime.backends import Block, BlockResult
from fs_runtime.backends.onnxruntime.cpu import OnnxRuntimeBackend
from fs_runtime.certification import CertificationError, FixedDrawsEstimator
from fs_runtime.errors import BackendError, ImageError, InputError

IMAGES = [tiny.image_array(seed=seed) for seed in range(7)]
SETTINGS: dict[str, Any] = {"draws": 101, "alpha": 0.01, "pilot": 12, "seed": 5}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("bundles")
    for tap in ("pooled", "tokens"):
        for images in (1, 2, 3):
            tiny.write_bundle(made / f"{tap}{images}", tap=tap, images=images)
    return made


def numbers(certificate: fs_runtime.FeatureCertificate) -> tuple[Any, ...]:
    tails = certificate.curve.evidence.tails  # type: ignore[union-attr]  # gram and angle-law have them
    return certificate.draws, certificate.pilot, tails.counts


@pytest.mark.parametrize("tap", ["pooled", "tokens"])
@pytest.mark.parametrize("images", [2, 3])
def test_certify_many_gives_what_each_image_gives_alone_when_batches_are_mixed(
    folder: Path, tap: str, images: int
) -> None:
    with fs_runtime.load(folder / f"{tap}1", threads=1) as encoder:
        alone = [encoder.certify(image, **SETTINGS) for image in IMAGES]
    with fs_runtime.load(folder / f"{tap}{images}", threads=1) as encoder:
        mixed = [result.certificate for result in encoder.certify_many(IMAGES, **SETTINGS)]
    for first, second in zip(alone, mixed, strict=True):
        assert second is not None
        assert numbers(first) == numbers(second)
        thresholds = [each.curve.evidence.tails.thresholds for each in (first, second)]  # type: ignore[union-attr]
        np.testing.assert_allclose(*thresholds, atol=2e-6)
        np.testing.assert_allclose(first.reference, second.reference, atol=1e-6)
        assert first.angle(0.1) == pytest.approx(second.angle(0.1), abs=1e-5)


@pytest.mark.parametrize("tap", ["pooled", "tokens"])
def test_smooth_is_the_same_when_the_graph_mixes_images(folder: Path, tap: str) -> None:
    made = []
    for images in (1, 3):
        with fs_runtime.load(folder / f"{tap}{images}", threads=1) as encoder:
            made.append(encoder.smooth(IMAGES[0], draws=8, seed=5))
    np.testing.assert_allclose(made[0].vector, made[1].vector, atol=1e-6)
    assert made[0].mean_raw_norm == pytest.approx(made[1].mean_raw_norm, rel=1e-6)


def test_smooth_takes_exactly_the_draws_when_the_graph_mixes_images(folder: Path) -> None:
    with fs_runtime.load(folder / "pooled3", threads=1) as encoder:
        assert encoder.smooth(IMAGES[0], draws=5, seed=5).draws == 5
        feature = encoder.smooth(IMAGES[0], draws=1, seed=5)
    assert feature.resultant_length == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("bundle", ["pooled1", "pooled3"])
@pytest.mark.parametrize("reference", ["smoothed", "clean"])
def test_certify_many_keeps_the_order_and_goes_on_when_an_image_fails(
    folder: Path, bundle: str, reference: Any, tmp_path: Path
) -> None:
    images: list[Any] = [tmp_path / "missing.png", *IMAGES[:2], tmp_path / "missing too.png", IMAGES[2]]
    with fs_runtime.load(folder / bundle, threads=1) as encoder:
        results = list(encoder.certify_many(images, **SETTINGS, reference=reference))
        assert [result.image is image for result, image in zip(results, images, strict=True)] == [True] * 5
        assert [type(result.error) for result in results] == [
            ImageError,
            type(None),
            type(None),
            ImageError,
            type(None),
        ]
        for result, image in zip(results, images, strict=True):
            if result.certificate is not None:
                assert result.certificate.image.sha256 == encoder.certify(image, **SETTINGS).image.sha256


def test_certify_many_goes_on_when_a_certificate_cannot_be_made(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finish, calls = FixedDrawsEstimator.finish, count()

    def second_fails(estimator: FixedDrawsEstimator) -> Any:
        if next(calls) == 1:
            raise CertificationError("its moments contradict one another")
        return finish(estimator)

    monkeypatch.setattr(FixedDrawsEstimator, "finish", second_fails)
    with fs_runtime.load(folder / "pooled1", threads=1) as encoder:
        first, second, third = encoder.certify_many(IMAGES[:3], **SETTINGS)
    assert first.certificate is not None
    assert third.certificate is not None
    assert isinstance(second.error, CertificationError)
    assert second.drawn_sha256 is not None  # its draws are spent: they must not be made again


def test_certify_many_takes_images_as_there_is_room(folder: Path) -> None:
    taken: list[int] = []

    def images() -> Iterator[Any]:
        for number in range(50):
            taken.append(number)
            yield IMAGES[number % 7]

    with fs_runtime.load(folder / "pooled2", threads=1) as encoder:
        ahead = []
        for done, _ in enumerate(encoder.certify_many(images(), **SETTINGS)):
            ahead.append(len(taken) - done)
    assert len(ahead) == 50
    assert max(ahead) <= 6


def test_certify_many_fills_batches_when_the_graph_mixes_images(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = count_blocks(monkeypatch)
    with fs_runtime.load(folder / "pooled1", threads=1) as encoder:
        list(encoder.certify_many(IMAGES, **SETTINGS))
    in_turn = len(blocks)
    with fs_runtime.load(folder / "pooled2", threads=1) as encoder:
        list(encoder.certify_many(IMAGES, **SETTINGS))
    assert in_turn == 7 * (3 + 26)
    # One more than 7 * 113 / 4: the last image has nothing to share a block with between pilot and certifying draws.
    assert len(blocks) - in_turn == -(-7 * (12 + 101) // 4) + 1


@pytest.mark.parametrize("bundle", ["pooled1", "pooled2", "tokens3"])
def test_certify_many_with_a_target_equals_one_after_another(folder: Path, bundle: str) -> None:
    settings: dict[str, Any] = {"draws": 5000, "alpha": 0.01, "until": fs_runtime.Target(0.05, 0.6), "seed": 5}
    with fs_runtime.load(folder / bundle, threads=1) as encoder:
        many = [result.certificate for result in encoder.certify_many(IMAGES, **settings)]
        assert len(many) == len(IMAGES)
        for certificate in many:
            assert certificate is not None
            assert certificate.outcome == "proved"
            assert certificate.cosine(0.05) >= 0.6
            assert certificate.draws < 1000
        if bundle == "pooled1":
            assert [encoder.certify(image, **settings).draws for image in IMAGES] == [c.draws for c in many if c]


def test_certify_many_keeps_what_is_done_when_the_backend_is_lost(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, calls = OnnxRuntimeBackend.run, []

    def lost(self: OnnxRuntimeBackend, block: Block) -> BlockResult:
        calls.append(1)
        if len(calls) > 70:
            raise BackendError("the device is gone")
        return run(self, block)

    monkeypatch.setattr(OnnxRuntimeBackend, "run", lost)
    done = []
    with (  # noqa: PT012  # it is raised in the middle
        fs_runtime.load(folder / "pooled1", threads=1) as encoder,
        pytest.raises(BackendError, match="gone"),
    ):
        for result in encoder.certify_many(IMAGES, **SETTINGS):
            done.append(result)  # noqa: PERF402  # an extend would lose them
    assert len(done) == 2


def test_certify_fails_when_a_graph_of_several_images_gives_no_numbers(tmp_path: Path) -> None:
    bundle = tiny.write_bundle(tmp_path, tiny.not_a_number(), images=2)
    with fs_runtime.load(bundle, threads=1) as encoder:
        results = list(encoder.certify_many(IMAGES[:3], **SETTINGS))
    assert all(result.certificate is None for result in results)


def count_blocks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    run, blocks = OnnxRuntimeBackend.run, []

    def counted(self: OnnxRuntimeBackend, block: Block) -> BlockResult:
        blocks.append(1)
        return run(self, block)

    monkeypatch.setattr(OnnxRuntimeBackend, "run", counted)
    return blocks


@pytest.mark.parametrize("bundle", ["pooled1", "pooled2"])
def test_encoder_refuses_another_call_when_certify_many_is_not_finished(folder: Path, bundle: str) -> None:
    with fs_runtime.load(folder / bundle, threads=1) as encoder:
        results = encoder.certify_many(IMAGES, **SETTINGS)
        next(results)
        for call in (encoder.certify, encoder.smooth):
            with pytest.raises(InputError, match="in the middle of certify_many"):
                call(IMAGES[0])
        results.close()
        assert encoder.certify(IMAGES[0], **SETTINGS).draws == 101
