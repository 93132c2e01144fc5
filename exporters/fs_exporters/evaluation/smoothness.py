"""One system's smoothed feature of one image, measured and certified from the same draws."""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from fs_exporters.evaluation.goals import Labels
from fs_exporters.evaluation.results import CertifiedAngle, Reference, Smoothness
from fs_exporters.evaluation.systems import System
from fs_runtime.certification import Bound, CertifiedCurve, FixedDrawsEstimator, reference_of
from fs_runtime.grid import radius_cost
from fs_runtime.noise import NoiseBlocks, Stream
from fs_runtime.preprocess import PreparedImage

Floats = npt.NDArray[np.float64]
SHARES = (0.25, 0.5, 1.0)
"""Radii that are certified, as shares of sigma."""


@dataclass(frozen=True)
class CertifyPlan:
    """How a certificate is made.

    Attributes:
        pilot: draws that the reference and the thresholds come from.
        draws: certifying draws, fixed beforehand.
        alpha: probability that a certificate fails.
        threads: for the noise.
    """

    pilot: int
    draws: int
    alpha: float
    threads: int


@dataclass(frozen=True, eq=False)
class Measured:
    """What is kept of an image's draws.

    Attributes:
        smoothness: for the results.
        mean: [D] of the unit features of all draws.
        reference: [D] the pilot's mean, normalised: the system's own certified feature.
        curves: certified angles by reference.
        grid_cost: what the grid takes from a radius (docs/theory.md section 8).
    """

    smoothness: Smoothness
    mean: Floats
    reference: Floats
    curves: dict[Reference, CertifiedCurve]
    grid_cost: float
    _known: dict[tuple[Reference, float], float] = field(default_factory=dict)

    def degrees(self, reference: Reference, radius: float) -> float:
        """Certified degrees at an l2 radius over the graph's pixels; 180: nothing is certified."""
        place = reference, radius
        if place not in self._known:  # every angle is an optimisation, and many attacks share a radius
            self._known[place] = float(np.degrees(self.curves[reference].angle(radius + self.grid_cost)))
        return self._known[place]


def measured(
    system: System,
    image: PreparedImage,
    clean: Floats,
    *,
    plan: CertifyPlan,
    seed: int,
    labels: Labels | None,
    label: int | None,
    progress: Callable[[int], None] = lambda _: None,
) -> Measured:
    """Draw, measure and certify; the noise is that of a certificate with the same seed.

    The bound is ``gram``, or ``angle-law`` for tokens, as the runtime's.

    Args:
        system: with noise.
        image: as the graph receives it.
        clean: [D] the bare encoder's unit feature of it.
        plan: of the certificates.
        seed: of the noise.
        labels: by which noisy copies are labelled.
        label: that counts as right.
        progress: called with a number of draws as they are done.
    """
    shape = (min(system.batch, plan.draws), *image.pixel_values.shape[1:])
    pixels = system.pixels(image.pixel_values)
    right = 0

    def blocks(noise: NoiseBlocks, stream: Stream, draws: int) -> Iterator[Floats]:
        nonlocal right
        with closing(noise.blocks(seed, stream, draws)) as made:
            for number, block in enumerate(made):
                rows = system.features(pixels + system.pixels(block[: draws - number * len(block)]))
                if labels is not None:
                    right += int((labels.of(rows) == label).sum())
                progress(len(rows))
                yield rows

    with NoiseBlocks(sigma=system.sigma, shape=shape, threads=plan.threads) as noise:
        pilot = np.concatenate(list(blocks(noise, Stream.PILOT, plan.pilot)))
        reference = reference_of(pilot.mean(axis=0))
        references: dict[Reference, Floats] = {"clean": clean, "smoothed": reference}
        bound: Bound = "gram" if system.graph.gives_features else "angle-law"
        estimators = {
            name: FixedDrawsEstimator(
                pilot @ vector,
                vector,
                sigma=system.sigma,
                alpha=plan.alpha,
                bound=bound,
                draws=plan.draws,
                pilot_features=pilot,
            )
            for name, vector in references.items()
        }
        total = pilot.sum(axis=0)
        for rows in blocks(noise, Stream.CERTIFY, plan.draws):
            for name, estimator in estimators.items():
                estimator.update(rows @ references[name], rows)
            total += rows.sum(axis=0)
    curves = {name: estimator.finish() for name, estimator in estimators.items()}
    draws = plan.pilot + plan.draws
    mean = total / draws
    length = float(np.linalg.norm(mean))
    cost = radius_cost(image.grid_distance, image.pixel_values.size)
    score = curves["clean"].score
    smoothness = Smoothness(
        score=score.estimate,
        score_lower=score.lower,
        score_upper=score.upper,
        cosine=float(mean @ clean) / length,
        resultant_length=length,
        certified=tuple(_certified(curves, system.sigma, cost)),
        draws_right=None if labels is None else right / draws,
    )
    return Measured(smoothness, mean, reference, curves, cost)


def _certified(curves: dict[Reference, CertifiedCurve], sigma: float, cost: float) -> Iterator[CertifiedAngle]:
    for reference, curve in curves.items():
        for share in SHARES:
            angle = curve.angle(share * sigma + cost)
            yield CertifiedAngle(reference, share, float(np.degrees(angle)), float(np.cos(angle)))
