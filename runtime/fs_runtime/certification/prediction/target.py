"""What a sequential label certificate is to prove."""

import math
from dataclasses import dataclass

from fs_runtime.certification.errors import CertificationError
from fs_runtime.certification.normal import cdf


@dataclass(frozen=True)
class LabelTarget:
    """A radius within which the label is to stay: where draws stop, as soon as it is proved or hopeless.

    Attributes:
        radius: l2, over [0, 1] pixels, > 0.

    Raises:
        CertificationError: the radius is out of range.
    """

    radius: float

    def __post_init__(self) -> None:
        if not 0.0 < self.radius < math.inf:
            raise CertificationError(
                f"a label's target radius must be a finite number > 0, not {self.radius}", argument="radius"
            )

    def __str__(self) -> str:
        """In words."""
        return f"radius {self.radius}"

    def fewest_draws(self, alpha: float, sigma: float) -> int | None:
        """The fewest draws of which some outcome may prove it, by any kind at level ``alpha``; None: beyond 10^15.

        An event that n draws without one leave possible, of probability 1 - alpha^(1 / n), must stay below one half
        under the shift: for the vote by Theorem 9, for the margin because no m_j exceeds 1, for the cone because no
        boundary is more than pi / 2 away (docs/theory.md section 2.4).
        """
        allowed = cdf(-self.radius / sigma)
        if not -math.log(alpha) < 1e15 * allowed:
            return None
        return math.floor(-math.log(alpha) / -math.log1p(-allowed)) + 1

    def check_reachable(self, draws: int, alpha: float, sigma: float) -> None:
        """Refuse a radius that no outcome of ``draws`` draws could prove, by any kind at level ``alpha``.

        Raises:
            CertificationError: naming the smallest number of draws that could.
        """
        needed = self.fewest_draws(alpha, sigma)
        if needed is not None and needed <= draws:
            return
        remedy = "ask for a smaller radius" if needed is None else f"allow at least {needed} draws"
        raise CertificationError(
            f"a label cannot be proved at radius {self.radius:g} ({self.radius / sigma:g} sigma) from {draws} draws at "
            f"alpha {alpha:g} a kind, whatever they show: {remedy}"
        )
