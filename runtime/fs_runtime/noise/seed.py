"""Where a certificate's seed comes from (docs/theory.md section 9)."""

import operator
import secrets
from dataclasses import dataclass
from typing import Literal

from fs_runtime.errors import InputError

SEED_BITS = 128


@dataclass(frozen=True)
class Seed:
    """The key of the noise.

    Attributes:
        value: 128 bits.
        source: ``"os-entropy"`` for a certificate, drawn fresh and disclosed only in the result; ``"caller"`` for tests
            and replay: whoever knows the seed beforehand can choose an input whose estimate is wrong.
    """

    value: int
    source: Literal["os-entropy", "caller"]

    @classmethod
    def make(cls, value: int | None) -> "Seed":
        """A fresh seed, or the caller's own.

        Raises:
            InputError: the value is not in [0, 2^128).
        """
        if value is None:
            return cls(secrets.randbits(SEED_BITS), "os-entropy")
        value = operator.index(value)  # NumPy's integers would overflow
        if not 0 <= value < 1 << SEED_BITS:
            raise InputError(f"seed must lie in [0, 2^{SEED_BITS}), not {value}", argument="seed")
        return cls(value, "caller")
