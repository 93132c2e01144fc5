"""What the images say together."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median_high

import numpy as np
import numpy.typing as npt

from fs_exporters.evaluation.results import AttackResult, CertifiedAngle, ImageResult, Reference, SystemResult
from fs_exporters.evaluation.systems import SystemName

Floats = npt.NDArray[np.float64]
ANY = "any"
"""In a goal's place: whichever attack of that norm and radius changed the label, made in either way."""


@dataclass(frozen=True)
class Count:
    """A share, as a count.

    Attributes:
        of: the images that count.
        hits: how many of them.
    """

    hits: int
    of: int

    @property
    def share(self) -> float | None:
        """Hits by all; None where no image counts."""
        return self.hits / self.of if self.of else None

    @classmethod
    def made(cls, outcomes: Iterable[bool | None]) -> "Count":
        """Of outcomes, None where an image does not count."""
        counted = [outcome for outcome in outcomes if outcome is not None]
        return cls(hits=sum(counted), of=len(counted))


@dataclass(frozen=True)
class CertifiedSummary:
    """Certified angles over the images.

    Attributes:
        reference: what they are to.
        share: radius / sigma.
        median_cosine: -1: at least half certify nothing.
        median_degrees: 180 likewise.
    """

    reference: Reference
    share: float
    median_cosine: float
    median_degrees: float


@dataclass(frozen=True)
class SystemSummary:
    """One system at one sigma, without attack.

    Attributes:
        system: which.
        sigma: of the noise that it is compared at; the bare encoder's feature has none.
        images: how many.
        score: mean Gaussian robustness score against the clean feature; None: the bare encoder.
        score_lower: mean of the lower confidence bounds of the images' scores; each holds by itself.
        cosine: mean cosine of the smoothed feature to the clean feature.
        resultant_length: mean.
        certified: none for the bare encoder.
        right: top-1: images whose label is right.
        draws_right: mean share of single noisy copies whose label is right; of the bare encoder those of FS.
        between: mean cosine between the features of different images; near 1, all images are alike to the system.
    """

    system: SystemName
    sigma: float
    images: int
    score: float | None
    score_lower: float | None
    cosine: float | None
    resultant_length: float | None
    certified: tuple[CertifiedSummary, ...]
    right: Count
    draws_right: float | None
    between: float


@dataclass(frozen=True)
class AttackSummary:
    """One kind of attack on one system.

    Attributes:
        system: which.
        sigma: of the noise that it is compared at.
        norm: ``l2`` or ``linf``; ``none``: no attack, measured as attacks are.
        radius: the largest norm.
        goal: what was wanted; ``any``: a changed label, by any goal and source.
        source: where attacks were made; ``any`` likewise.
        success: among the images that count.
        right: images whose label is right under attack, of all.
        cosine: mean cosine of the attacked feature to the clean feature; for ``any`` of each image's smallest.
        cosine_other: mean cosine to the other image's clean feature; for ``any`` of each image's largest.
        median_degrees: angle to the clean feature; for ``any`` of each image's largest.
        median_certified: certified angle to the clean feature at the radius; None: no certificate is about it.
        median_degrees_smoothed: angle to the system's own feature.
        median_certified_smoothed: certified angle to the system's own feature.
        broken: attacks whose angle exceeds the certified one even by a lower confidence bound.
        checked: attacks that were held against a certificate.
    """

    system: SystemName
    sigma: float
    norm: str
    radius: float
    goal: str
    source: str
    success: Count
    right: Count
    cosine: float
    cosine_other: float
    median_degrees: float
    median_certified: float | None
    median_degrees_smoothed: float | None
    median_certified_smoothed: float | None
    broken: int
    checked: int


@dataclass(frozen=True)
class Summary:
    """All of it.

    Attributes:
        systems: without attack.
        attacks: under attack.
    """

    systems: tuple[SystemSummary, ...]
    attacks: tuple[AttackSummary, ...]


def summarised(images: Sequence[ImageResult], features: Sequence[dict[str, Floats]]) -> Summary:
    """The summary of images, with each one's unit features by system, as the results' folder holds them."""
    systems, attacks = [], []
    for number, first in enumerate(images[0].systems):
        results = [image.systems[number] for image in images]
        name = "encoder" if first.system == "encoder" else f"{first.system} {first.sigma!r}"
        noisy = [image.systems[number + 1] for image in images] if first.system == "encoder" else results
        systems.append(_system(results, noisy, between=mean_cosine_between([rows[name] for rows in features])))
        attacks += _attacks(results)
    return Summary(tuple(systems), tuple(attacks))


def mean_cosine_between(features: Sequence[Floats]) -> float:
    """Mean cosine between different ones of two or more unit features [D]."""
    count = len(features)
    total = np.sum(features, axis=0)
    own = sum(float(feature @ feature) for feature in features)
    return (float(total @ total) - own) / (count * (count - 1))


def _system(results: Sequence[SystemResult], noisy: Sequence[SystemResult], *, between: float) -> SystemSummary:
    found = [result.smoothness for result in results if result.smoothness is not None]
    draws = [result.smoothness.draws_right for result in noisy if result.smoothness is not None]
    smooth = bool(found)
    return SystemSummary(
        system=results[0].system,
        sigma=results[0].sigma,
        images=len(results),
        score=_mean(each.score for each in found) if smooth else None,
        score_lower=_mean(each.score_lower for each in found) if smooth else None,
        cosine=_mean(each.cosine for each in found) if smooth else None,
        resultant_length=_mean(each.resultant_length for each in found) if smooth else None,
        certified=_certified([each.certified for each in found]) if smooth else (),
        right=Count.made(result.right for result in results),
        draws_right=_mean_or_none(draws),
        between=between,
    )


def _certified(images: Sequence[tuple[CertifiedAngle, ...]]) -> tuple[CertifiedSummary, ...]:
    made = []
    for each in zip(*images, strict=True):
        # The higher one of two: a mean of something and of nothing certified would be neither.
        degrees = median_high(angle.degrees for angle in each)
        made.append(CertifiedSummary(each[0].reference, each[0].share, float(np.cos(np.radians(degrees))), degrees))
    return tuple(made)


def _attacks(results: Sequence[SystemResult]) -> list[AttackSummary]:
    made = [
        _attack(results, each[0].goal, each[0].source, [(attack,) for attack in each])
        for each in zip(*(result.attacks for result in results), strict=True)
    ]
    radii = dict.fromkeys((attack.norm, attack.radius) for attack in results[0].attacks if attack.norm != "none")
    for norm, radius in radii:
        of_norm = [
            tuple(attack for attack in result.attacks if (attack.norm, attack.radius) == (norm, radius))
            for result in results
        ]
        made.append(_attack(results, ANY, ANY, of_norm))
    return made


def _attack(
    results: Sequence[SystemResult], goal: str, source: str, attacks: Sequence[tuple[AttackResult, ...]]
) -> AttackSummary:
    """Of one or several attacks an image: the strongest of them counts."""
    first = attacks[0][0]
    every = [attack for each in attacks for attack in each]
    right = [_all_right(each) for each in attacks]
    if goal == ANY:
        success = Count.made(
            not still if result.right and still is not None else None
            for result, still in zip(results, right, strict=True)
        )
    else:
        success = Count.made(attack.succeeded for attack in every)

    def median(value: Callable[[AttackResult], float | None]) -> float | None:
        largest = [[found for attack in each if (found := value(attack)) is not None] for each in attacks]
        return float(median_high(max(each) for each in largest)) if all(largest) else None

    degrees = median(lambda attack: attack.degrees)
    assert degrees is not None
    return AttackSummary(
        system=results[0].system,
        sigma=results[0].sigma,
        norm=first.norm,
        radius=first.radius,
        goal=goal,
        source=source,
        success=success,
        right=Count.made(right),
        cosine=_mean(min(attack.cosine for attack in each) for each in attacks),
        cosine_other=_mean(max(attack.cosine_other for attack in each) for each in attacks),
        median_degrees=degrees,
        median_certified=median(lambda attack: attack.certified),
        median_degrees_smoothed=median(lambda attack: attack.degrees_smoothed),
        median_certified_smoothed=median(lambda attack: attack.certified_smoothed),
        broken=sum(attack.broken for attack in every),
        checked=sum(attack.certified is not None for attack in every),
    )


def _all_right(attacks: tuple[AttackResult, ...]) -> bool | None:
    """Whether the label is right under every one of the attacks; None: there are no labels."""
    return None if any(attack.right is None for attack in attacks) else all(attack.right for attack in attacks)


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))


def _mean_or_none(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return _mean(known) if known else None
