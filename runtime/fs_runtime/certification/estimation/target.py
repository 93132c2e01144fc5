"""What a sequential certificate is to prove."""

import math
from dataclasses import dataclass

from fs_runtime.certification.curve import Bound
from fs_runtime.certification.errors import CertificationError
from fs_runtime.certification.floor import draws_for_floor, floor_angle


@dataclass(frozen=True)
class Target:
    """A cosine to be certified at a radius: where draws stop, as soon as it is proved or hopeless.

    Attributes:
        radius: l2, over [0, 1] pixels, >= 0.
        cosine: in (0, 1).

    Raises:
        CertificationError: a value is out of range.
    """

    radius: float
    cosine: float

    def __post_init__(self) -> None:
        if not 0.0 <= self.radius < math.inf:
            raise CertificationError(
                f"the target's radius must be a finite number >= 0, not {self.radius}", argument="radius"
            )
        if not 0.0 < self.cosine < 1.0:
            raise CertificationError(
                f"the target's cosine must lie strictly between 0 and 1, not {self.cosine}", argument="cosine"
            )

    def __str__(self) -> str:
        """In words."""
        return f"cosine {self.cosine} at radius {self.radius}"

    @property
    def angle(self) -> float:
        """The cosine's angle in radians."""
        return math.acos(self.cosine)

    def fewest_draws(self, alpha: float, sigma: float, bound: Bound) -> int | None:
        """The fewest draws of which some outcome may prove it (docs/theory.md section 11.4); None: beyond 10^18."""
        return draws_for_floor(self.angle, alpha, self.radius / sigma, cone=bound == "cone")

    def is_reachable(self, draws: int, alpha: float, sigma: float, bound: Bound = "gram") -> bool:
        """Whether some outcome of ``draws`` draws could prove it (docs/theory.md section 11.4, the floor)."""
        return floor_angle(draws, alpha, self.radius / sigma, cone=bound == "cone") <= self.angle

    def check_reachable(self, draws: int, alpha: float, sigma: float, bound: Bound = "gram") -> None:
        """Refuse a target that no outcome of ``draws`` draws could prove (docs/theory.md section 11.4, the floor).

        Raises:
            CertificationError: naming the smallest number of draws that could.
        """
        if self.is_reachable(draws, alpha, sigma, bound):
            return
        shift = self.radius / sigma
        needed = self.fewest_draws(alpha, sigma, bound)
        remedy = "ask for a smaller radius or cosine" if needed is None else f"allow at least {needed} draws"
        raise CertificationError(
            f"a cosine of {self.cosine:g} at radius {self.radius:g} ({shift:g} sigma) cannot be proved from {draws} "
            f"draws at alpha {alpha:g}, whatever they show: {remedy}"
        )
