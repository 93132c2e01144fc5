"""Where a backend's noise comes from: made here, or on its device."""

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from fs_runtime.noise import DrawKey


@dataclass(frozen=True)
class NoiseOnDevice:
    """A block of noise that a backend made in its own memory, and that only this backend can use."""

    slot: int


Noise = npt.NDArray[np.float32] | NoiseOnDevice


class NoiseSource(Protocol):
    """Makes blocks of noise, each while the one before it is used."""

    def ahead(self, plans: Iterable[Sequence[DrawKey]]) -> Generator[Noise]:
        """One block for each plan, which says whose draw each of its first rows is.

        Rows beyond a plan's keep what they held. A plan is taken from ``plans`` before the block of the plan before it
        is yielded. A block yielded is overwritten two blocks later.
        """

    def close(self) -> None:
        """Stop making noise."""
