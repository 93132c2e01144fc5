"""Pilot draws, which fix the reference, and certifying draws, which an estimator counts."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from fs_runtime.certification import reference_of, unit_rows
from fs_runtime.drawing.job import Floats, Job, Measured, Phase, Progress
from fs_runtime.noise import Seed, Stream
from fs_runtime.preprocess import PreparedImage


@dataclass(frozen=True)
class Pilot:
    """What the pilot fixes before the certifying draws.

    Attributes:
        reference: [D] the certified unit vector.
        cosines: [n0] the pilot's cosines to it.
        features: [n0, D] the pilot's unit features, where the graph gives them.
    """

    reference: Floats
    cosines: Floats
    features: Floats | None


class Estimator(Protocol):
    """What takes the certifying draws."""

    @property
    def decided(self) -> str | None:
        """Why no more draws are needed; None while they are."""

    def update(self, cosines: Floats, features: Floats | None = None) -> None:
        """Add draws: cosines [n] to the reference, and unit features [n, D] where the graph gives them."""


class CertifyJob(Job):
    """Draws for one certificate.

    Without features in the graph the pilot's noise runs twice: once for the reference, once for the cosines to it.
    """

    def __init__(
        self,
        prepared: PreparedImage,
        seed: Seed,
        *,
        pilot: int,
        draws: int,
        dimension: int,
        gives_features: bool,
        reference: Floats | None,
        estimator: Callable[[Pilot], Estimator],
        sequential: bool,
        progress: Progress | None,
    ) -> None:
        """Plan the draws.

        Args:
            prepared: the image.
            seed: of its noise.
            pilot: pilot draws.
            draws: certifying draws, at most.
            dimension: D.
            gives_features: whether the graph gives unit features.
            reference: [D] where it is known beforehand; None: the pilot's mean feature.
            estimator: made from the pilot, takes the certifying draws.
            sequential: whether to stop when the estimator has decided; a replay makes all draws.
            progress: called after every block.
        """
        first = Phase(Stream.PILOT, pilot)
        summing = (first,) if reference is None and not gives_features else ()
        super().__init__(prepared, seed, (*summing, first, Phase(Stream.CERTIFY, draws)), progress)
        self.greedy = not sequential
        self._sequential = sequential
        self.pilot: Pilot | None = None
        self.estimator: Estimator | None = None
        self._make_estimator = estimator
        self._gives_features = gives_features
        self._summing = bool(summing)
        self._vector = None if reference is None else self._exact(reference)
        self._sum = np.zeros(dimension)
        self._kept: list[Floats] = []

    @property
    def reference(self) -> Floats:
        """[D] the certified vector, as soon as there is one."""
        return np.zeros_like(self._sum) if self._vector is None else self._vector

    def _take(self, phase: int, last: bool, measured: Measured) -> None:
        if phase == len(self.phases) - 1:
            self._certify(measured)
        elif self._summing and phase == 0:
            self._sum += measured.feature_sum
            if last:
                self._vector = self._exact(reference_of(self._sum))
        else:
            self._kept.append(
                unit_rows(measured.features, "features") if self._gives_features else self._cosines(measured)
            )
            if last:
                self.pilot = self._finished_pilot()
                self.estimator = self._make_estimator(self.pilot)

    def _certify(self, measured: Measured) -> None:
        assert self.estimator is not None  # made with the last pilot draws
        features = unit_rows(measured.features, "features") if self._gives_features else None
        # Features are normalised again and multiplied in float64: only cosines from inside a graph carry its rounding
        # (docs/theory.md section 8.4).
        cosines = self._cosines(measured) if features is None else features @ self.reference
        self.estimator.update(cosines, features)
        if self._sequential and self.estimator.decided is not None:
            self.stop()

    def _finished_pilot(self) -> Pilot:
        kept = np.concatenate(self._kept)
        self._kept = []
        if not self._gives_features:
            return Pilot(self.reference, kept, None)
        if self._vector is None:
            self._vector = reference_of(kept.mean(axis=0))
        return Pilot(self._vector, kept @ self._vector, kept)

    def _cosines(self, measured: Measured) -> Floats:
        return np.asarray(measured.cosine.astype(np.float64) / np.linalg.norm(self.reference))

    def _exact(self, vector: Floats) -> Floats:
        # A graph without features takes the reference in float32, and what it takes is what is certified.
        return vector if self._gives_features else vector.astype(np.float32).astype(np.float64)
