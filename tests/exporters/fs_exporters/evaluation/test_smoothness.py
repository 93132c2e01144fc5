"""What is measured of a smoothed feature, against closed forms and against the runtime's own certificate."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import tiny_torch
from helpers.known_torch import Blur, Phase

import fs_runtime
from fs_exporters.evaluation.goals import Labels
from fs_exporters.evaluation.smoothness import CertifyPlan, Measured, measured
from fs_exporters.evaluation.systems import System, systems_of
from fs_exporters.pipeline import ExportResult
from fs_models.gsb import Booster
from fs_runtime.preprocess import PreparedImage, prepare

SIGMA = 0.25
PLAN = CertifyPlan(pilot=64, draws=256, alpha=1e-3, threads=1)


def image(side: int, seed: int = 0) -> PreparedImage:
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    return prepare(pixels, Phase(side=side).spec.preprocess)


def phase_system(speed: float, batch: int = 32, boosters: dict[float, Booster] | None = None) -> System:
    return systems_of(Phase(speed=speed), boosters or {}, sigmas=(SIGMA,), device="cpu", batch=batch).at(SIGMA)[-1]


def clean_of(system: System, prepared: PreparedImage) -> np.ndarray:
    encoder = system.graph.encoder
    return encoder(torch.from_numpy(prepared.pixel_values))[0].double().numpy()


def of_phase(speed: float, labels: Labels | None = None, **changes: int) -> Measured:
    system = phase_system(speed, **changes)
    prepared = image(4)
    return measured(
        system,
        prepared,
        clean_of(system, prepared),
        plan=PLAN,
        seed=1,
        labels=labels,
        label=None if labels is None else 0,
    )


@pytest.mark.parametrize("speed", [0.5, 2.0, 4.0])
def test_measured_gives_score_and_length_of_the_closed_form_when_the_encoder_is_a_phase(speed: float) -> None:
    found = of_phase(speed).smoothness
    length = math.exp(-0.5 * (SIGMA * speed) ** 2)
    slack = 4.0 * math.sqrt(0.5 / 320)
    assert found.resultant_length == pytest.approx(length, abs=slack)
    assert found.score == pytest.approx(0.5 * (1.0 + length), abs=slack)
    assert found.score_lower < found.score < found.score_upper
    assert found.cosine == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("speed", [0.5, 2.0])
def test_measured_certifies_no_less_than_the_true_turn_when_it_is_known(speed: float) -> None:
    found = of_phase(speed)
    for reference in ("clean", "smoothed"):
        for share in (0.25, 0.5, 1.0):
            # One of both ways round ends at least that far from any reference.
            true = math.degrees(speed * share * SIGMA)
            certified = found.degrees(reference, share * SIGMA)  # type: ignore[arg-type]
            assert certified >= true
    assert [(each.reference, each.share) for each in found.smoothness.certified] == [
        (reference, share) for reference in ("clean", "smoothed") for share in (0.25, 0.5, 1.0)
    ]
    each = found.smoothness.certified[1]
    assert each.degrees == found.degrees("clean", 0.5 * SIGMA)
    assert each.cosine == pytest.approx(math.cos(math.radians(each.degrees)))


def test_measured_certifies_nothing_when_noise_scatters_the_feature() -> None:
    found = of_phase(60.0).smoothness
    assert {(each.degrees, each.cosine) for each in found.certified} == {(180.0, -1.0)}


@pytest.mark.parametrize("batch", [1, 7, 32, 1000])
def test_measured_is_the_same_when_the_batch_is_another(batch: int) -> None:
    expected, found = of_phase(2.0), of_phase(2.0, batch=batch)
    np.testing.assert_allclose(found.mean, expected.mean, atol=1e-6)
    assert found.smoothness.score_lower == pytest.approx(expected.smoothness.score_lower, abs=1e-6)


def test_measured_counts_draws_whose_label_is_right_when_there_are_labels() -> None:
    """Two prototypes a quarter turn apart on either side: half of the draws are on the right side of the middle."""
    prepared = image(4)
    clean = clean_of(phase_system(2.0), prepared)
    aside = np.array([-clean[1], clean[0]])
    labels = Labels(np.stack([clean + aside, clean - aside]) / math.sqrt(2.0), ("left", "right"))
    found = of_phase(2.0, labels).smoothness
    assert found.draws_right == pytest.approx(0.5, abs=4.0 * math.sqrt(0.25 / 320))
    assert of_phase(2.0).smoothness.draws_right is None


def test_measured_goes_through_the_booster_when_there_is_one() -> None:
    """A blur shortens the phase's direction, so the noise turns the feature less; the clean reference stays bare."""
    booster = Booster(Blur(), torch.nn.Identity())
    system = phase_system(4.0, boosters={SIGMA: booster})
    assert system.name == "fs+gsb"
    prepared = image(4)
    pixels = torch.zeros(1, 3, 4, 4, requires_grad=True)
    (Blur()(pixels).flatten() @ Phase(speed=4.0).weights).backward()  # type: ignore[arg-type]
    assert pixels.grad is not None
    length = math.exp(-0.5 * SIGMA**2 * float(pixels.grad.square().sum()))
    found = measured(
        system, prepared, clean_of(system, prepared), plan=PLAN, seed=1, labels=None, label=None
    ).smoothness
    assert length > math.exp(-0.5 * (SIGMA * 4.0) ** 2) + 0.1
    assert found.resultant_length == pytest.approx(length, abs=4.0 * math.sqrt(0.5 / 320))
    assert found.cosine < 0.999


def test_measured_is_the_runtimes_certificate_when_seed_and_draws_are(pooled_export: ExportResult) -> None:
    adapter = tiny_torch.tiny_adapter()
    system = systems_of(adapter, {}, sigmas=(SIGMA,), device="cpu", batch=16).at(SIGMA)[1]
    pixels = np.random.default_rng(3).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    prepared = prepare(pixels, adapter.spec.preprocess)
    clean = system.features(system.pixels(prepared.pixel_values))[0]
    # The runtime rounds the pilot up to whole noise batches, of 3.
    plan = CertifyPlan(pilot=66, draws=256, alpha=1e-3, threads=1)
    found = measured(system, prepared, clean, plan=plan, seed=9, labels=None, label=None)
    with fs_runtime.load(pooled_export.path, threads=1) as encoder:
        for reference in ("clean", "smoothed"):
            certificate = encoder.certify(pixels, draws=256, pilot=66, seed=9, reference=reference)  # type: ignore[arg-type]
            for share in (0.25, 0.5, 1.0):
                expected = math.degrees(certificate.angle(share * SIGMA))
                assert found.degrees(reference, share * SIGMA) == pytest.approx(expected, abs=1e-3)  # type: ignore[arg-type]
            if reference == "clean":
                assert found.smoothness.score_lower == pytest.approx(certificate.score.lower, abs=1e-5)


def test_measured_takes_the_angle_law_when_the_tap_is_tokens(tmp_path: Path) -> None:
    adapter = tiny_torch.tiny_adapter("tokens")
    system = systems_of(adapter, {}, sigmas=(SIGMA,), device="cpu", batch=16).at(SIGMA)[1]
    prepared = image(8)
    clean = system.features(system.pixels(prepared.pixel_values))[0]
    found = measured(system, prepared, clean, plan=PLAN, seed=1, labels=None, label=None)
    assert {curve.bound for curve in found.curves.values()} == {"angle-law"}
