"""What a fit is asked for, and what it tells meanwhile."""

from dataclasses import dataclass, field
from pathlib import Path

from fs_models.gsb.checkpoint import MOST_SIGMAS
from fs_runtime.errors import InputError
from fs_runtime.noise import LARGEST_SIGMA

DEFAULT_STEPS = 6000
"""Of the purifier, where neither steps nor minutes are given."""

MOST_MAPPER_STEPS = 3000
"""Steps of the mapper, however many the purifier has."""

_MOST_STEPS, _MOST_MINUTES = 10_000_000, 60.0 * 24 * 365


@dataclass(frozen=True)
class FitRequest:
    """What is asked for.

    Attributes:
        data: folder of photos.
        sigmas: noise standard deviations over [0, 1] pixels that the booster shall serve.
        output: folder of the booster.
        steps: of the purifier, and as many of the mapper, which has 3,000 at most; None: as ``minutes`` allows, or
            6,000 if that is None too.
        minutes: for everything; None: as ``steps`` needs.
        seed: of the choice of photos, crops, noise and first weights.
        diffusion: folder of a ``diffusers`` UNet2DModel to take as the purifier; None: a light U-Net.
        device: ``"cpu"``, ``"cuda"``; None: the GPU if there is one.
        resume: go on where an interrupted fit of the same request stopped.
        overwrite: replace a booster that is there.
    """

    data: Path
    sigmas: tuple[float, ...]
    output: Path
    steps: int | None = None
    minutes: float | None = None
    seed: int = 0
    diffusion: Path | None = None
    device: str | None = None
    resume: bool = False
    overwrite: bool = False

    def check(self) -> None:
        """Refuse what cannot be fitted, before any work.

        Raises:
            InputError: an argument is out of range.
        """
        if not self.sigmas:
            raise InputError("--sigma needs at least one number, such as --sigma 0.25")
        if len(self.sigmas) > MOST_SIGMAS:
            raise InputError(f"--sigma may name {MOST_SIGMAS} numbers, not {len(self.sigmas)}: fit several boosters")
        for sigma in self.sigmas:
            if not 0.0 < sigma <= LARGEST_SIGMA:
                raise InputError(
                    f"--sigma must lie in (0, {LARGEST_SIGMA:g}], in units of [0, 1] pixels, not {sigma:g}"
                )
        if len(set(self.sigmas)) != len(self.sigmas):
            raise InputError("--sigma names a number twice: give each once")
        if self.steps is not None and not 1 <= self.steps <= _MOST_STEPS:
            raise InputError(f"--steps must lie in 1..{_MOST_STEPS}, not {self.steps}")
        if self.minutes is not None and not 0.0 < self.minutes <= _MOST_MINUTES:
            raise InputError(f"--minutes must be positive, not {self.minutes:g}")


@dataclass(frozen=True)
class FitProgress:
    """How far a fit is.

    Attributes:
        stage: ``purifier``, ``features`` or ``mapper``.
        step: steps done in it.
        share: of the stage, in [0, 1].
        loss: a running mean.
        scores: mean robustness score of the held-out photos at each sigma, when last judged.
        images_per_second: noisy crops.
        seconds_left: of this stage, as far as it can be told.
    """

    stage: str
    step: int
    share: float
    loss: float
    scores: dict[float, float] = field(default_factory=dict)
    images_per_second: float = 0.0
    seconds_left: float = 0.0
