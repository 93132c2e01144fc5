"""The words of Philox4x64-10, addressed by (seed, stream, draw): the same on every backend.

Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (SC 2011). A 128-bit key is the seed; the 256-bit counter
is (position, draw, stream, 0), so that any draw can be made alone, in any order, on any device (docs/theory.md
section 9).
"""

from enum import IntEnum

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint64]

_WORDS_PER_BLOCK = 4
_MASK = (1 << 64) - 1


class Stream(IntEnum):
    """Disjoint parts of the counter space: draws of one never meet draws of another."""

    PILOT = 0
    CERTIFY = 1
    SMOOTH = 2


class DrawWords:
    """Words of one draw, in order."""

    def __init__(self, seed: int, stream: Stream, draw: int) -> None:
        # NumPy raises the counter before it makes a block, so position 0 is reached from the counter before it.
        before = ((int(stream) << 128) | (draw << 64)) - 1
        counter = [(before >> (64 * i)) & _MASK for i in range(4)]
        key = [seed & _MASK, seed >> 64]
        self._bits = np.random.Philox(counter=_as_words(counter), key=_as_words(key))

    def take(self, count: int) -> Words:
        """The next ``count`` words; the generator releases the interpreter lock while it works."""
        words: Words = self._bits.random_raw(count)
        return words


def _as_words(values: list[int]) -> Words:
    return np.array(values, dtype=np.uint64)
