"""What an evaluation is asked to do."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from fs_exporters.evaluation.attack import L2, Linf, Norm
from fs_exporters.evaluation.attacking import AttackPlan
from fs_exporters.evaluation.goals import GOALS, LABEL_GOALS, Goal
from fs_exporters.evaluation.smoothness import CertifyPlan
from fs_runtime.certification import check_draws
from fs_runtime.errors import InputError
from fs_runtime.noise import LARGEST_SIGMA, Seed

Size = Literal["small", "full"]
NORMS = ("l2", "linf")
FULL_STEPS, FULL_DRAWS = 50, 16
"""With fewer steps or draws a step an attack is called weak."""

_MOST = {"images": 100_000, "draws": 1_000_000, "pilot": 100_000, "steps": 10_000, "measuring": 100_000}
_MOST_ATTACK_DRAWS = 4096
_LEAST_MEASURING = 8


@dataclass(frozen=True)
class Effort:
    """How much is done.

    Attributes:
        images: the most of them.
        draws: certifying draws of each image and system.
        pilot: pilot draws.
        steps: of an attack.
        attack_draws: noisy copies a step.
        measuring: fresh draws of each attacked image.
    """

    images: int
    draws: int
    pilot: int
    steps: int
    attack_draws: int
    measuring: int


EFFORTS: dict[Size, Effort] = {
    "small": Effort(images=4, draws=256, pilot=64, steps=10, attack_draws=4, measuring=32),
    "full": Effort(images=200, draws=512, pilot=128, steps=FULL_STEPS, attack_draws=FULL_DRAWS, measuring=256),
}
"""``small`` is for a CPU, and its attacks are weak; ``full`` is for a GPU."""


@dataclass(frozen=True)
class EvaluationSettings:
    """What an evaluation is asked to do.

    Attributes:
        sigmas: noise standard deviations, over [0, 1] pixels.
        effort: how much is done.
        norms: of attacks.
        goals: of attacks; None: all that the labels allow.
        radius: of l2 attacks, as shares of sigma.
        linf: of l-inf attacks, in levels of 255.
        boxed: whether attacked pixels stay in [0, 1].
        alpha: probability that a certificate fails.
        truth: where true labels come from (see :func:`fs_exporters.evaluation.photos.true_labels`).
        seed: of noise and attacks.
        device: of PyTorch.
        batch: the most noisy copies in one run.
    """

    sigmas: tuple[float, ...]
    effort: Effort = EFFORTS["small"]
    norms: tuple[str, ...] = NORMS
    goals: tuple[Goal, ...] | None = None
    radius: tuple[float, ...] = (1.0,)
    linf: float = 8.0
    boxed: bool = True
    alpha: float = 1e-3
    truth: str = "auto"
    seed: int = 0
    device: str = "cpu"
    batch: int = 32

    def check(self) -> None:
        """Refuse what cannot be meant, before any work.

        Raises:
            InputError: naming the flag.
            CertificationError: alpha out of range, or draws too few for it.
        """
        if not self.sigmas:
            raise InputError("--sigma names no noise: give one or more, with commas between")
        for sigma in self.sigmas:
            if not 0.0 < sigma <= LARGEST_SIGMA:
                raise InputError(
                    f"--sigma must lie in (0, {LARGEST_SIGMA:g}], in units of [0, 1] pixels, not {sigma:g}"
                )
        for flag, values in {"--sigma": self.sigmas, "--attacks": self.norms, "--radius": self.radius}.items():
            if len(set(values)) < len(values):
                raise InputError(f"{flag} names something twice: name each once")
        for norm in self.norms:
            if norm not in NORMS:
                raise InputError(f"--attacks takes some of {', '.join(NORMS)} with commas between, not {norm!r}")
        for goal in self.goals or ():
            if goal not in GOALS:
                raise InputError(f"--goals takes some of {', '.join(GOALS)} with commas between, not {goal!r}")
        if not all(0.0 < share <= 100.0 for share in self.radius):
            raise InputError("--radius must be positive, in units of sigma")
        if not 0.0 < self.linf <= 255.0:
            raise InputError(f"--linf must lie in (0, 255], in levels of 255, not {self.linf:g}")
        if not 1 <= self.batch <= _MOST_ATTACK_DRAWS:
            raise InputError(f"--noise-batch must lie in 1..{_MOST_ATTACK_DRAWS}, not {self.batch}")
        Seed.make(self.seed)
        self._check_effort()
        check_draws(self.effort.draws, self.alpha, "gram")

    def _check_effort(self) -> None:
        effort = self.effort
        least = {"images": 2, "draws": 1, "pilot": 2, "steps": 1, "measuring": _LEAST_MEASURING}
        for name, most in _MOST.items():
            if not least[name] <= (value := getattr(effort, name)) <= most:
                raise InputError(f"--{name} must lie in {least[name]}..{most}, not {value}")
        if not 2 <= effort.attack_draws <= _MOST_ATTACK_DRAWS or effort.attack_draws % 2:
            raise InputError(
                f"--attack-draws must be even and lie in 2..{_MOST_ATTACK_DRAWS}, as every noise comes with its "
                f"negative, not {effort.attack_draws}"
            )

    @property
    def weak(self) -> bool:
        """Whether attacks are too short for their failures to say much."""
        return self.effort.steps < FULL_STEPS or self.effort.attack_draws < FULL_DRAWS

    def radii(self, sigma: float) -> tuple[Norm, ...]:
        """The norms and radii of attacks at a sigma."""
        made: list[Norm] = []
        if "l2" in self.norms:
            made += [L2(share * sigma) for share in self.radius]
        if "linf" in self.norms:
            made.append(Linf(self.linf / 255.0))
        return tuple(made)

    def with_goals(self, *, labels: bool) -> "EvaluationSettings":
        """The same, its goals named.

        Args:
            labels: whether there are labels.

        Raises:
            InputError: a goal was asked for that needs labels, and there are none.
        """
        if labels:
            return replace(self, goals=GOALS if self.goals is None else self.goals)
        for goal in self.goals or ():
            if goal in LABEL_GOALS:
                raise InputError(f"--goals {goal} needs labels: give --prototypes, or other goals")
        possible = tuple(goal for goal in GOALS if goal not in LABEL_GOALS)
        return replace(self, goals=possible if self.goals is None else self.goals)

    @property
    def attack_plan(self) -> AttackPlan:
        """How attacks are made."""
        effort = self.effort
        goals = self.goals or ()
        return AttackPlan(goals, effort.steps, effort.attack_draws, effort.measuring, self.alpha, self.boxed)

    def certify_plan(self, threads: int) -> CertifyPlan:
        """How certificates are made."""
        return CertifyPlan(self.effort.pilot, self.effort.draws, self.alpha, threads)


@dataclass(frozen=True)
class EvaluationPlaces:
    """Where results go, and what becomes of those that are there.

    Attributes:
        output: folder.
        resume: go on with the results in it.
        overwrite: remove the results in it.
    """

    output: Path
    resume: bool = False
    overwrite: bool = False
