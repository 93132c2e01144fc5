"""The attacks on one image: made on the bare encoder and through each smoothed system, and measured on all of them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch

from fs_exporters.evaluation.attack import L2, NoGradientError, Norm, Pgd
from fs_exporters.evaluation.goals import Case, Floats, Goal, Labels, Seen, objective, succeeded
from fs_exporters.evaluation.results import AttackResult, Source
from fs_exporters.evaluation.seeding import Seeds
from fs_exporters.evaluation.smoothness import Measured
from fs_exporters.evaluation.systems import TITLES, System
from fs_exporters.evaluation.turned import Turned, exactly, turned
from fs_runtime.grid import to_grid
from fs_runtime.preprocess import PreparedImage

_NOTHING = L2(0.0)


@dataclass(frozen=True)
class AttackPlan:
    """How attacks are made and measured.

    Attributes:
        goals: which.
        steps: gradient steps.
        draws: noisy copies a step.
        measuring: fresh draws at the attacked pixels; a quarter of them choose the direction across.
        alpha: of the lower bounds of attacked angles.
        boxed: whether attacked pixels stay in [0, 1].
    """

    goals: tuple[Goal, ...]
    steps: int
    draws: int
    measuring: int
    alpha: float
    boxed: bool


@dataclass(frozen=True, eq=False)
class Attacked:
    """What an attack left.

    Attributes:
        image: attacked pixels, on the grid, within the radius but for the grid's rounding.
        size: norm of the perturbation.
    """

    image: PreparedImage
    size: float


class Attacker:
    """Attacks one image."""

    def __init__(
        self,
        image: PreparedImage,
        case: Case,
        *,
        bare: System,
        plan: AttackPlan,
        labels: Labels | None,
        seeds: Seeds,
        advance: Callable[[str, int], None],
    ) -> None:
        """Hold what every attack on the image shares.

        Args:
            image: as the graph receives it.
            case: the image's features and what attacks aim at.
            bare: the bare encoder, which transfer attacks are made on.
            plan: how attacks are made.
            labels: what features are labelled by.
            seeds: of the image.
            advance: called with what is running, and how many more noisy copies went through an encoder for it; one
                that gradients go back through counts thrice.
        """
        self._image, self._case, self._bare = image, case, bare
        self._plan, self._labels, self._seeds, self._advance = plan, labels, seeds, advance
        # The bare encoder's attacks serve every sigma and system.
        self._on_bare: dict[tuple[Norm, Goal], Attacked] = {}

    def on_bare(self, norm: Norm) -> Iterator[AttackResult]:
        """Each goal's attack on the bare encoder."""
        before = Seen.made(self._case.clean, self._case, self._labels)
        for goal in self._plan.goals:
            attacked = self._bare_attack(norm, goal)
            feature = self._bare.features(self._bare.pixels(attacked.image.pixel_values))[0]
            after = Seen.made(feature, self._case, self._labels)
            angle = exactly(feature, self._case.clean)
            yield self._result(norm, goal, "white-box", attacked, before, after, angle)

    def control(self, system: System, found: Measured) -> AttackResult:
        """No attack, measured on a smoothed system as attacks are; it succeeds where the label changes nonetheless."""
        before = Seen.made(found.mean, self._case, self._labels)
        return self._measured(system, found, _NOTHING, "none", "none", Attacked(self._image, 0.0), before)

    def on_smoothed(self, system: System, found: Measured, norm: Norm) -> Iterator[AttackResult]:
        """Each goal's attack on a smoothed system: through itself, and transferred from the bare encoder.

        Args:
            system: with noise.
            found: its draws without attack.
            norm: and radius.
        """
        before = Seen.made(found.mean, self._case, self._labels)
        for goal in self._plan.goals:
            made: dict[Source, Attacked] = {
                "white-box": self._attack(system, norm, goal),
                "transfer": self._bare_attack(norm, goal),
            }
            for source, attacked in made.items():
                yield self._measured(system, found, norm, goal, source, attacked, before)

    def _measured(
        self,
        system: System,
        found: Measured,
        norm: Norm,
        goal: Goal | Literal["none"],
        source: Source,
        attacked: Attacked,
        before: Seen,
    ) -> AttackResult:
        """An attack's outcome on a smoothed system, from fresh draws."""
        pixels = system.pixels(attacked.image.pixel_values)
        generator = self._generator(system, norm, goal, source, "measure")
        rows = system.drawn(pixels, self._plan.measuring, generator)
        self._advance(_what(system, norm, goal), len(rows))
        directing, measuring = np.split(rows, [len(rows) // 4])
        after = Seen.made(rows.mean(axis=0), self._case, self._labels)
        clean, own = (
            turned(directing, measuring, reference, self._plan.alpha)
            for reference in (self._case.clean, found.reference)
        )
        return self._result(norm, goal, source, attacked, before, after, clean, own, found)

    def _result(
        self,
        norm: Norm,
        goal: Goal | Literal["none"],
        source: Source,
        attacked: Attacked,
        before: Seen,
        after: Seen,
        clean: Turned,
        own: Turned | None = None,
        found: Measured | None = None,
    ) -> AttackResult:
        certified = found is not None and norm.name == "l2"
        labels = self._labels
        return AttackResult(
            norm="none" if goal == "none" else norm.name,
            radius=norm.radius,
            size=attacked.size,
            goal=goal,
            source=source,
            cosine=after.cosine,
            cosine_other=after.cosine_other,
            degrees=clean.estimate,
            degrees_lower=clean.lower,
            degrees_smoothed=None if own is None else own.estimate,
            degrees_smoothed_lower=None if own is None else own.lower,
            certified=found.degrees("clean", norm.radius) if certified and found is not None else None,
            certified_smoothed=found.degrees("smoothed", norm.radius) if certified and found is not None else None,
            label=None if labels is None or after.label is None else labels.names[after.label],
            right=None if after.label is None else after.label == self._case.label,
            succeeded=succeeded("turn" if goal == "none" else goal, self._case, before, after),
        )

    def _bare_attack(self, norm: Norm, goal: Goal) -> Attacked:
        if (norm, goal) not in self._on_bare:
            self._on_bare[norm, goal] = self._attack(self._bare, norm, goal)
        return self._on_bare[norm, goal]

    def _attack(self, system: System, norm: Norm, goal: Goal) -> Attacked:
        plan = self._plan
        wanted = objective(goal, self._case, self._labels, system.device)

        def encode(noisy: torch.Tensor) -> torch.Tensor:
            self._advance(_what(system, norm, goal), 3 * len(noisy))
            return system.encode(noisy)

        pgd = Pgd(norm, system.sigma, plan.steps, plan.draws, plan.boxed)
        generator = self._generator(system, norm, goal, "attack")
        try:
            delta = pgd.attacked(encode, system.pixels(self._image.pixel_values), wanted, generator)
        except NoGradientError as error:
            raise NoGradientError(f"{TITLES[system.name]}, {norm.name}, {goal}: {error}") from error
        return self._within(norm, delta.double().cpu())

    def _within(self, norm: Norm, delta: torch.Tensor) -> Attacked:
        """The attacked image; rounding in fp32 may leave a perturbation a little too long."""
        delta = delta * min(1.0, norm.radius / max(norm.size(delta), 1e-300))
        pixels = self._image.pixel_values + delta.numpy()
        if self._plan.boxed:
            pixels = np.clip(pixels, 0.0, 1.0)
        on_grid = to_grid(pixels)
        moved = torch.from_numpy(on_grid.astype(np.float64) - self._image.pixel_values)
        return Attacked(replace(self._image, pixel_values=on_grid), norm.size(moved))

    def _generator(self, system: System, norm: Norm, *purpose: object) -> torch.Generator:
        facts = (system.name, system.sigma, norm.name, norm.radius)
        return self._seeds.generator(system.device, *facts, *purpose)


def mean_of_crops(system: System, pixels: torch.Tensor, crops: torch.Tensor) -> Floats:
    """The mean [D] of the unit features of crops [K, 3, H, W] of an image, and of the image [1, 3, H, W]."""
    return np.asarray(system.features(torch.cat([pixels, crops])).mean(axis=0))


def _what(system: System, norm: Norm, goal: str) -> str:
    noise = f" at sigma {system.sigma:g}" if system.sigma else ""
    if goal == "none":
        return f"{TITLES[system.name]}{noise}, no attack"
    return f"{TITLES[system.name]}{noise}, {norm.name} {norm.radius:.3g}, {goal}"
