"""Prediction certificates made in milliseconds: a tiny bundle's feature certificate, and draws about its reference."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from helpers import tiny

import fs_runtime
from fs_runtime import FeatureCertificate
from fs_runtime.bundle.prototypes import Prototypes
from fs_runtime.certificates.prediction import PredictionCertificate
from fs_runtime.certificates.prediction_parts import Binding
from fs_runtime.certification.prediction import (
    Kind,
    LabelCone,
    LabelTarget,
    PredictionEstimator,
    Rivals,
    best_labels,
    divided_alpha,
)

Floats = npt.NDArray[np.float64]

SIDE = 6
DRAWS = 400
ALPHA = 0.03


def feature_certificate(folder: Path, *, alpha: float, **options: Any) -> FeatureCertificate:
    """That of an image off the grid, so that the grid costs something."""
    tap, dimension = options.pop("tap", "pooled"), options.pop("dimension", 6)
    root = tiny.write_bundle(folder, tiny.linear(side=SIDE, dimension=dimension), tap=tap, noise_batch=32)
    image = np.random.default_rng(5).random((SIDE, SIDE, 3)) * 0.999
    with fs_runtime.load(root, threads=1) as encoder:
        return encoder.certify(image, draws=DRAWS, alpha=alpha, seed=2**127 + 3, **options)


def about(reference: Floats, count: int, seed: int, spread: float = 0.12) -> Floats:
    """[count, D] unit rows scattered about a reference."""
    noise = np.random.default_rng(seed).standard_normal((count, len(reference)))
    rows = reference + spread * noise / np.sqrt(len(reference))
    return np.asarray(rows / np.linalg.norm(rows, axis=1)[:, None])


def prototypes_for(reference: Floats, count: int = 5) -> Prototypes:
    """``count`` prototypes, the third of which the reference is well inside; the last is the same again."""
    rows = about(reference, count, 3, 2.0)
    rows[2] = reference + 0.1 * rows[0]
    rows = np.concatenate([rows, rows[2:3]])
    return Prototypes.made_of("tiny", rows, [f"label {number}" for number in range(count)] + ["label 2 again"])


def prediction_of(
    feature: FeatureCertificate,
    kinds: tuple[Kind, ...] = ("cone", "margin", "vote"),
    *,
    alpha: float = ALPHA,
    top_k: int = 1,
    pilot: Floats | None = None,
    drawn: Floats | None = None,
    prototypes: Prototypes | None = None,
) -> PredictionCertificate:
    """Claims about a feature certificate's reference, made of other draws, which nothing can tell."""
    prototypes = prototypes or prototypes_for(feature.reference)
    until = None if feature.until is None else LabelTarget(feature.until.radius)
    if until is not None:
        nearest = Rivals(prototypes.vectors, best_labels(feature.reference, prototypes.vectors, top_k))
        cone = LabelCone(nearest.nearest(feature.reference).margin)
        feature = replace(feature, until=cone.target(until.radius))
    asked: tuple[Kind, ...] = tuple(kind for kind in kinds if kind != "cone")
    claims: tuple[Any, ...] = ()
    if asked:
        estimator = PredictionEstimator(
            about(feature.reference, feature.pilot, 1) if pilot is None else pilot,
            prototypes.vectors,
            sigma=feature.sigma,
            # All kinds have the same share, the cone's being its feature certificate's.
            alpha=feature.alpha if "cone" in kinds else divided_alpha(alpha, kinds),
            draws=feature.most_draws,
            kinds=asked,
            top_k=top_k,
            reference=feature.reference,
            any_time=feature.until is not None,
        )
        estimator.update(about(feature.reference, feature.draws, 2) if drawn is None else drawn)
        claims = estimator.finish()
    return PredictionCertificate.made(
        prototypes,
        feature.reference,
        claims,
        alpha=alpha,
        binding=Binding.of(feature),
        feature=feature if "cone" in kinds else None,
        top_k=top_k,
        until=until,
    )
