"""Each draw encoded by itself: what no comparison of the graph with its encoder could notice."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from fs_exporters.parity.errors import ParityError
from fs_runtime.backends import Backend, Block, BlockResult

TOLERANCE = 1e-5
"""Largest change of a draw's outputs, relative to their norm, when other draws of its block change.

At every precision: the same kernels run on the same shapes, so a row's own sums have the same order and are rounded
alike, and a coarser type is no reason for a change. The room is for kernels that sum in another order from one run to
the next, and is far below what mixing does: other noise changes features by about sigma.
"""


def check_independence(backend: Backend, block: Block, other: npt.NDArray[np.float32], *, file: str) -> None:
    """Refuse a graph in which a draw's outputs change with the other draws of its block.

    Row 0 must not see the other rows, nor they row 0. A block of one draw has no others, and nothing is run.

    Args:
        backend: the graph, opened.
        block: N draws.
        other: [N, 3, H, W] noise, independent of the block's.
        file: the graph's, for messages.

    Raises:
        ParityError: an output of a draw differs by more than ``TOLERANCE``.
    """
    noise = np.asarray(block.noise)
    count = len(noise)
    if count == 1:
        return
    first = backend.run(block)
    between = backend.run(replace(block, noise=np.concatenate([noise[:1], other[1:]])))
    last = backend.run(replace(block, noise=other))
    changes = {
        name: max(_change(name, first, between, [0]), _change(name, between, last, range(1, count)))
        for name in ("cosine", "raw_norm", "features")
        if getattr(first, name) is not None
    }
    seen = ", ".join(f"its {name} by {change:.2g}" for name, change in changes.items() if change > TOLERANCE)
    if seen:
        raise ParityError(
            f"{file} lets draws see each other: other draws in the same batch change {seen} (allowed {TOLERANCE:g}), "
            "but certificates need each draw encoded by itself; remove from the encoder what acts across the batch, "
            "such as batch norm in training mode, or attention or normalisation across the batch"
        )


def _change(name: str, before: BlockResult, after: BlockResult, rows: Sequence[int]) -> float:
    """Largest change of an output in ``rows``; infinite where it is a number in one of the two alone."""
    first, second = (np.asarray(getattr(result, name), np.float64)[rows] for result in (before, after))
    # What is no number in both runs, the rest of the gate refuses.
    differs = np.where((first == second) | (np.isnan(first) & np.isnan(second)), 0.0, second - first)
    if name == "raw_norm":
        with np.errstate(invalid="ignore"):
            differs = differs / np.where(differs == 0.0, 1.0, np.maximum(np.abs(first), np.abs(second)))
    sizes = np.linalg.norm(differs.reshape(len(rows), -1), axis=1)
    return float(np.where(np.isnan(sizes), np.inf, sizes).max())
