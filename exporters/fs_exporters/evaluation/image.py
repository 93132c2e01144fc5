"""Everything that is done with one image."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fs_exporters.evaluation.attack import random_crops
from fs_exporters.evaluation.attacking import Attacker, mean_of_crops
from fs_exporters.evaluation.goals import Case, Floats, Labels
from fs_exporters.evaluation.photos import Photo
from fs_exporters.evaluation.results import AttackResult, ImageResult, SystemResult
from fs_exporters.evaluation.seeding import Seeds
from fs_exporters.evaluation.settings import EvaluationSettings
from fs_exporters.evaluation.smoothness import Measured, measured
from fs_exporters.evaluation.systems import System, Systems
from fs_runtime.preprocess import PreparedImage, prepare

_CROPS = 8
"""Of the other image, for the goal ``match-crops``."""


@dataclass(frozen=True, eq=False)
class Subject:
    """An image that can be read.

    Attributes:
        photo: its file.
        sha256: of its decoded pixels.
        clean: [D] the bare encoder's unit feature.
        label: that counts as right; None: there are no labels.
    """

    photo: Photo
    sha256: str
    clean: Floats
    label: int | None


@dataclass(frozen=True)
class ImageWork:
    """What is done with one image.

    Attributes:
        settings: with goals.
        systems: that are compared.
        labels: of features; None: there are none.
        threads: for the noise.
    """

    settings: EvaluationSettings
    systems: Systems
    labels: Labels | None
    threads: int

    @property
    def copies(self) -> int:
        """Noisy copies of one image that go through an encoder; one that gradients go back through counts thrice."""
        settings, effort = self.settings, self.settings.effort
        plan = settings.attack_plan
        total = 0
        on_bare = set()
        for sigma, smoothed in self.systems.smoothed.items():
            norms = settings.radii(sigma)
            on_bare |= set(norms)
            per_attack = 3 * effort.steps * effort.attack_draws + 2 * effort.measuring
            each = effort.pilot + effort.draws + effort.measuring + len(norms) * len(plan.goals) * per_attack
            total += len(smoothed) * each
        crops = sum(goal == "match-crops" for goal in plan.goals)
        bare_steps = len(plan.goals) - crops + crops * effort.attack_draws
        return total + 3 * effort.steps * len(on_bare) * bare_steps

    def one(
        self, subject: Subject, other: Subject, advance: Callable[[str, int], None]
    ) -> tuple[ImageResult, dict[str, Floats]]:
        """Everything about one image, and its unit features by system.

        Args:
            subject: the image.
            other: that attacks aim at.
            advance: called with what is running, and by how much of :attr:`copies` it went on.
        """
        begun = time.perf_counter()
        settings, bare = self.settings, self.systems.encoder
        image = self._prepared(subject)
        seeds = Seeds(settings.seed, subject.sha256)
        case = self._case(subject, other, seeds)
        plan = settings.attack_plan
        attacker = Attacker(image, case, bare=bare, plan=plan, labels=self.labels, seeds=seeds, advance=advance)
        results = []
        features = {"encoder": subject.clean}
        for sigma in settings.sigmas:
            norms = settings.radii(sigma)
            attacks = tuple(attack for norm in norms for attack in attacker.on_bare(norm))
            results.append(self._result(bare, sigma, None, subject.clean, case, attacks))
            for system in self.systems.smoothed[sigma]:
                found = measured(
                    system,
                    image,
                    subject.clean,
                    plan=settings.certify_plan(self.threads),
                    seed=seeds.value("certify", sigma),
                    labels=self.labels,
                    label=case.label,
                    progress=lambda draws, name=system.name: advance(f"{name}, certificates", draws),  # type: ignore[misc]
                )
                attacks = (
                    attacker.control(system, found),
                    *(attack for norm in norms for attack in attacker.on_smoothed(system, found, norm)),
                )
                results.append(self._result(system, sigma, found, found.mean, case, attacks))
                features[f"{system.name} {sigma!r}"] = found.mean / np.linalg.norm(found.mean)
        truth = None if self.labels is None or case.label is None else self.labels.names[case.label]
        seconds = time.perf_counter() - begun
        names = subject.photo.name, subject.sha256
        return ImageResult(*names, truth, other.photo.name, seconds, tuple(results)), features

    def _case(self, subject: Subject, other: Subject, seeds: Seeds) -> Case:
        bare = self.systems.encoder
        pixels = bare.pixels(self._prepared(other).pixel_values)
        crops = random_crops(pixels, _CROPS, seeds.generator(bare.device, "crops"))
        local = mean_of_crops(bare, pixels, crops)
        return Case(subject.clean, subject.label, other.clean, local, other.label)

    def _prepared(self, subject: Subject) -> PreparedImage:
        return prepare(subject.photo.path, self.systems.encoder.graph.encoder.spec.preprocess)

    def _result(
        self,
        system: System,
        sigma: float,
        found: Measured | None,
        feature: Floats,
        case: Case,
        attacks: tuple[AttackResult, ...],
    ) -> SystemResult:
        label = None if self.labels is None else int(self.labels.of(feature[None])[0])
        return SystemResult(
            system=system.name,
            sigma=sigma,
            smoothness=None if found is None else found.smoothness,
            label=None if self.labels is None or label is None else self.labels.names[label],
            right=None if label is None else label == case.label,
            attacks=attacks,
        )
