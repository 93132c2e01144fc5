"""What was measured of one image; one line of JSON each. Angles are in degrees, radii l2 over [0, 1] pixels."""

from dataclasses import dataclass
from typing import Literal

from fs_exporters.evaluation.goals import Goal
from fs_exporters.evaluation.systems import SystemName

IMAGE_SCHEMA = "fs-export/evaluation-image/1"

Reference = Literal["clean", "smoothed"]
"""The bare encoder's feature without noise, or the system's own: the pilot's mean."""
Source = Literal["white-box", "transfer", "none"]
"""Through the system that is attacked, booster included; made on the bare encoder; or no attack: the image measured as
attacked ones are, which shows how often so few draws change a label by themselves."""


@dataclass(frozen=True)
class CertifiedAngle:
    """How far an attack can turn the smoothed feature from a reference.

    Attributes:
        reference: which.
        share: radius / sigma.
        degrees: certified angle; 180: nothing is certified.
        cosine: its cosine; -1: nothing is certified.
    """

    reference: Reference
    share: float
    degrees: float
    cosine: float


@dataclass(frozen=True)
class Smoothness:
    """A smoothed feature without any attack.

    Attributes:
        score: Gaussian robustness score against the clean feature, estimated.
        score_lower: its lower confidence bound.
        score_upper: its upper confidence bound.
        cosine: of the smoothed feature to the clean feature.
        resultant_length: of the mean of the draws' unit features.
        certified: at several radii.
        draws_right: share of the noisy copies whose own label is right; None: there are no labels.
    """

    score: float
    score_lower: float
    score_upper: float
    cosine: float
    resultant_length: float
    certified: tuple[CertifiedAngle, ...]
    draws_right: float | None


@dataclass(frozen=True)
class AttackResult:
    """One attack on one system.

    Attributes:
        norm: ``l2`` or ``linf``; ``none``: no attack.
        radius: the largest norm allowed.
        size: the norm that the attacked pixels have.
        goal: what the attack wanted; ``none``: no attack.
        source: where it was made.
        cosine: of the attacked smoothed feature to the clean feature.
        cosine_other: of it to the other image's clean feature.
        degrees: its angle to the clean feature, the draws' scatter taken out.
        degrees_lower: a lower confidence bound of that angle.
        degrees_smoothed: its angle to the system's own feature before the attack; None: the bare encoder, where that is
            the clean feature.
        degrees_smoothed_lower: a lower confidence bound of that angle.
        certified: certified degrees to the clean feature at the radius; None: no certificate is about it.
        certified_smoothed: certified degrees to the system's own feature.
        label: after the attack.
        right: whether that is the true label; None: there are no labels.
        succeeded: whether the goal was reached; None: the image does not count for it.
    """

    norm: str
    radius: float
    size: float
    goal: Goal | Literal["none"]
    source: Source
    cosine: float
    cosine_other: float
    degrees: float
    degrees_lower: float
    degrees_smoothed: float | None
    degrees_smoothed_lower: float | None
    certified: float | None
    certified_smoothed: float | None
    label: str | None
    right: bool | None
    succeeded: bool | None

    @property
    def broken(self) -> bool:
        """Whether even a lower bound of an angle exceeds what was certified."""
        pairs = ((self.degrees_lower, self.certified), (self.degrees_smoothed_lower, self.certified_smoothed))
        return any(lower is not None and most is not None and lower > most for lower, most in pairs)


@dataclass(frozen=True)
class SystemResult:
    """One system on one image.

    Attributes:
        system: which.
        sigma: of the noise that it is compared at; the bare encoder sees none.
        smoothness: of the smoothed feature; None: the bare encoder.
        label: without attack.
        right: whether that is the true label; None: there are no labels.
        attacks: on it.
    """

    system: SystemName
    sigma: float
    smoothness: Smoothness | None
    label: str | None
    right: bool | None
    attacks: tuple[AttackResult, ...]


@dataclass(frozen=True)
class ImageResult:
    """One image.

    Attributes:
        name: of the file, below the folder.
        sha256: of its decoded pixels.
        truth: the label that counts as right: the true one, or the bare encoder's; None: there are no labels.
        other: the image whose feature and label attacks aim at.
        seconds: that it took.
        systems: at every sigma.
        schema: of this line.
    """

    name: str
    sha256: str
    truth: str | None
    other: str
    seconds: float
    systems: tuple[SystemResult, ...]
    schema: str = IMAGE_SCHEMA
