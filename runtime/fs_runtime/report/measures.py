"""What the report shows of certificates: curves, medians and fractions, grouped by setting."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fs_runtime.backends import BackendInfo
from fs_runtime.certificates.feature import FeatureCertificate
from fs_runtime.certificates.prediction import PredictionCertificate
from fs_runtime.certificates.reading import AnyCertificate
from fs_runtime.certificates.settings import ReferenceKind
from fs_runtime.certification import AngleLaw, Bound, GramLaw
from fs_runtime.certification.prediction import Kind
from fs_runtime.plural import count
from fs_runtime.report.markup import shorten, visible
from fs_runtime.report.results import Failure, Results

SHIFTS = tuple(step / 16 for step in range(33))
"""The radii of every curve, in units of sigma: 0 to 2."""

COSINES = (0.5, 0.7, 0.9)
"""Thresholds of the certified fraction."""

QUOTED = ((0.25, "σ/4"), (0.5, "σ/2"), (1.0, "σ"))
"""The radii, in units of sigma, at which numbers are quoted."""

RADIUS_COSINE = 0.9


@dataclass(frozen=True)
class Setting:
    """What certificates must share to be shown together."""

    graph_sha256: str
    backend: BackendInfo
    sigma: float
    alpha: float
    draws: int
    pilot: int
    bound: Bound
    reference_kind: ReferenceKind


@dataclass(frozen=True)
class Curve:
    """A bound's certified angles.

    Attributes:
        bound: which theorem.
        angles: radians, one for each of SHIFTS; pi where nothing is certified.
    """

    bound: Bound
    angles: tuple[float, ...]

    @property
    def cosines(self) -> tuple[float, ...]:
        """Certified cosines; -1 where nothing is certified."""
        return tuple(math.cos(angle) for angle in self.angles)

    def cosine(self, shift: float) -> float:
        """Certified cosine at one of SHIFTS."""
        return math.cos(self.angles[SHIFTS.index(shift)])


@dataclass(frozen=True)
class ImageMeasures:
    """One certificate and its curves: its own bound first, then the weaker ones from the same draws."""

    certificate: FeatureCertificate
    label: str
    """The image's name: short, and every character of it visible."""
    curves: tuple[Curve, ...]
    radius: float
    """Certified l2 radius of cosine 0.9, at the graph's input."""

    @property
    def rank(self) -> tuple[float, ...]:
        """Orders images from the least to the best certified."""
        own = self.curves[0]
        return (*(own.cosine(shift) for shift in (0.5, 0.25, 1.0)), self.certificate.score.estimate)


@dataclass(frozen=True)
class Section:
    """The images of one setting, in the order of the results."""

    setting: Setting
    images: tuple[ImageMeasures, ...]
    floor: tuple[float, ...]
    """Radians for each of SHIFTS: below it no certificate from as many draws can go."""

    @property
    def bounds(self) -> tuple[Bound, ...]:
        """Every bound that is shown, the certificates' own first."""
        return tuple(curve.bound for curve in self.images[0].curves)

    @property
    def abstained(self) -> int:
        """Images for which nothing is certified at all."""
        return sum(image.certificate.abstained for image in self.images)

    @property
    def certified(self) -> int:
        """Images for which something is certified."""
        return len(self.images) - self.abstained

    @property
    def worst(self) -> ImageMeasures:
        """The least certified image."""
        return min(self.images, key=lambda image: image.rank)

    def median(self, bound: Bound) -> Curve:
        """At least half of the images are certified as well as this; of an even number, the worse of the middle two."""
        return self._across(bound, lambda angles: sorted(angles)[len(angles) // 2], self.images)

    def band(self, bound: Bound) -> tuple[Curve, Curve]:
        """The smallest and the largest angle of any image that did not abstain, at each radius."""
        images = [image for image in self.images if not image.certificate.abstained]
        return self._across(bound, min, images), self._across(bound, max, images)

    def fractions(self, cosine: float) -> tuple[float, ...]:
        """The fraction of images whose own bound certifies at least ``cosine``, at each of SHIFTS."""
        curves = [image.curves[0].cosines for image in self.images]
        return tuple(sum(value >= cosine for value in values) / len(curves) for values in zip(*curves, strict=True))

    def _across(self, bound: Bound, choose: Callable[[list[float]], float], images: Sequence[ImageMeasures]) -> Curve:
        index = self.bounds.index(bound)
        columns = zip(*(image.curves[index].angles for image in images), strict=True)
        return Curve(bound, tuple(choose(list(column)) for column in columns))


@dataclass(frozen=True)
class LabelSetting:
    """What predictions must share to be shown together.

    Attributes:
        graph_sha256: hash of the graph.
        prototypes: name of the set, every character of it visible.
        prototypes_sha256: of its numbers.
        labels: how many there are.
        top_k: how many of them each prediction is about.
        kinds: which theorems.
        sigma: of the noise.
        alpha: of each prediction.
        draws: their number, or the most of them and the target, in words.
        reference_kind: whose labels.
    """

    graph_sha256: str
    prototypes: str
    prototypes_sha256: str
    labels: int
    top_k: int
    kinds: tuple[Kind, ...]
    sigma: float
    alpha: float
    draws: str
    reference_kind: ReferenceKind


@dataclass(frozen=True)
class LabelSection:
    """The predictions of one setting, in the order of the results, each with its image's name: short and visible."""

    setting: LabelSetting
    predictions: tuple[tuple[str, PredictionCertificate], ...]


@dataclass(frozen=True)
class Measures:
    """All that a report shows."""

    sections: tuple[Section, ...]
    failures: tuple[Failure, ...]
    torn: bool
    label_sections: tuple[LabelSection, ...] = ()

    @property
    def images(self) -> tuple[ImageMeasures, ...]:
        """Of all sections."""
        return tuple(image for section in self.sections for image in section.images)

    @property
    def predictions(self) -> tuple[PredictionCertificate, ...]:
        """Of all settings."""
        return tuple(each for section in self.label_sections for _, each in section.predictions)

    @property
    def certificates(self) -> tuple[AnyCertificate, ...]:
        """Of features and of labels."""
        return (*(image.certificate for image in self.images), *self.predictions)

    @property
    def failing(self) -> float:
        """Bound of the probability that some certificate is wrong: the sum of their alphas."""
        return min(1.0, math.fsum(certificate.alpha for certificate in self.certificates))


def measure(results: Results, progress: Callable[[], None] = lambda: None) -> Measures:
    """Evaluate every certificate's curves; ``progress`` is called after each. About a second an image for ``gram``."""
    both: tuple[AnyCertificate, ...] = (*results.certificates, *results.predictions)
    labels = _labels(certificate.image.name for certificate in both)
    groups: dict[Setting, list[ImageMeasures]] = {}
    for certificate in results.certificates:
        measured = ImageMeasures(
            certificate=certificate,
            label=shorten(visible(labels[certificate.image.name])),
            curves=tuple(_curve(each) for each in _bounds(certificate)),
            radius=certificate.radius(RADIUS_COSINE),
        )
        groups.setdefault(_setting(certificate), []).append(measured)
        progress()
    predicted: dict[LabelSetting, list[tuple[str, PredictionCertificate]]] = {}
    for prediction in results.predictions:
        label = shorten(visible(labels[prediction.image.name]))
        predicted.setdefault(_label_setting(prediction), []).append((label, prediction))
    return Measures(
        tuple(_section(*group) for group in groups.items()),
        results.failures,
        results.torn,
        tuple(LabelSection(setting, tuple(each)) for setting, each in predicted.items()),
    )


def _section(setting: Setting, images: list[ImageMeasures]) -> Section:
    certificate = images[0].certificate
    floor = tuple(certificate.floor(shift * setting.sigma) for shift in SHIFTS)
    return Section(setting, tuple(images), floor)


def _setting(certificate: FeatureCertificate) -> Setting:
    return Setting(
        graph_sha256=certificate.provenance.graph_sha256,
        backend=certificate.provenance.backend,
        sigma=certificate.sigma,
        alpha=certificate.alpha,
        draws=certificate.draws,
        pilot=certificate.pilot,
        bound=certificate.bound,
        reference_kind=certificate.reference_kind,
    )


def _label_setting(prediction: PredictionCertificate) -> LabelSetting:
    most = count(prediction.most_draws, "draw")
    return LabelSetting(
        graph_sha256=prediction.provenance.graph_sha256,
        prototypes=shorten(visible(prediction.prototypes.name)),
        prototypes_sha256=prediction.prototypes.sha256,
        labels=prediction.prototypes.count,
        top_k=len(prediction.labels),
        kinds=prediction.kinds,
        sigma=prediction.binding.sigma,
        alpha=prediction.alpha,
        draws=most if prediction.until is None else f"until {prediction.until}, at most {most}",
        reference_kind=prediction.binding.reference_kind,
    )


def _bounds(certificate: FeatureCertificate) -> list[FeatureCertificate]:
    """The certificate, and what weaker bounds say from the same draws."""
    evidence = certificate.curve.evidence
    made = [certificate]
    if isinstance(evidence, GramLaw):
        # The Gram law's tails hold at level alpha / 2, so the angle law follows at that level.
        curve = replace(
            certificate.curve, bound="angle-law", alpha=evidence.tails.alpha, evidence=AngleLaw(evidence.tails)
        )
        made.append(replace(certificate, curve=curve))
    if certificate.bound != "fcsb":
        made.append(certificate.baseline())
    return made


def _curve(certificate: FeatureCertificate) -> Curve:
    return Curve(certificate.bound, tuple(certificate.angle(shift * certificate.sigma) for shift in SHIFTS))


def _labels(names: Iterable[str]) -> dict[str, str]:
    """File names without their folders, except where two would read the same."""
    short: dict[str, set[str]] = {}
    for name in names:
        short.setdefault(Path(name).name or name, set()).add(name)
    return {name: label if len(full) == 1 else name for label, full in short.items() for name in full}
