"""Certification of smoothed features: pure statistics, no encoder, NumPy alone.

``certify_cosines`` and ``certify_features`` turn draws into a :class:`CertifiedCurve`. The mathematics is in
docs/theory.md. ``laws/`` holds the bounds, one file a theorem; ``confidence/`` what turns counts and means into
numbers that hold with a stated probability; ``estimation/`` what takes the draws.
"""

from fs_runtime.certification.certify import certify_cosines, certify_features
from fs_runtime.certification.confidence.mixture import BetaPrior
from fs_runtime.certification.confidence.score import RobustnessScore
from fs_runtime.certification.curve import BOUNDS, Bound, CertifiedCurve, Evidence
from fs_runtime.certification.errors import CertificationError, TooFewDrawsError
from fs_runtime.certification.estimation.any_time import AnyTimeEstimator
from fs_runtime.certification.estimation.checks import check_draws, smallest_draws, unit_rows
from fs_runtime.certification.estimation.fixed import FixedDrawsEstimator
from fs_runtime.certification.estimation.pilot import reference_of
from fs_runtime.certification.estimation.target import Target
from fs_runtime.certification.laws.angle_law import AngleLaw
from fs_runtime.certification.laws.cone import Cone, closed_cone_angle, cone_angle
from fs_runtime.certification.laws.fcsb import Fcsb
from fs_runtime.certification.laws.gram_law import GramLaw, MomentBets
from fs_runtime.certification.laws.tails import TailBounds

__all__ = [
    "BOUNDS",
    "AngleLaw",
    "AnyTimeEstimator",
    "BetaPrior",
    "Bound",
    "CertificationError",
    "CertifiedCurve",
    "Cone",
    "Evidence",
    "Fcsb",
    "FixedDrawsEstimator",
    "GramLaw",
    "MomentBets",
    "RobustnessScore",
    "TailBounds",
    "Target",
    "TooFewDrawsError",
    "certify_cosines",
    "certify_features",
    "check_draws",
    "closed_cone_angle",
    "cone_angle",
    "reference_of",
    "smallest_draws",
    "unit_rows",
]
