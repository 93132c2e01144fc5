"""Certification of smoothed features: pure statistics, no encoder, NumPy alone.

``certify_cosines`` and ``certify_features`` turn draws into a :class:`CertifiedCurve`. The mathematics is in
docs/theory.md; each bound has a file of its own.
"""

from fs_runtime.certification.angle_law import AngleLaw
from fs_runtime.certification.curve import Bound, CertifiedCurve, Evidence
from fs_runtime.certification.errors import CertificationError, TooFewDrawsError
from fs_runtime.certification.estimate import (
    FixedDrawsEstimator,
    certify_cosines,
    certify_features,
    check_draws,
    smallest_draws,
    unit_rows,
)
from fs_runtime.certification.fcsb import Fcsb
from fs_runtime.certification.gram_law import GramLaw
from fs_runtime.certification.pilot import reference_of
from fs_runtime.certification.score import RobustnessScore
from fs_runtime.certification.tails import TailBounds

__all__ = [
    "AngleLaw",
    "Bound",
    "CertificationError",
    "CertifiedCurve",
    "Evidence",
    "Fcsb",
    "FixedDrawsEstimator",
    "GramLaw",
    "RobustnessScore",
    "TailBounds",
    "TooFewDrawsError",
    "certify_cosines",
    "certify_features",
    "check_draws",
    "reference_of",
    "smallest_draws",
    "unit_rows",
]
