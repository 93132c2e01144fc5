"""The bound of the fourth moment: never below it in any direction, near the relaxation that it computes."""

import numpy as np
import pytest

from fs_runtime.certification.estimation.fourth_moment import BLOCK, FourthMoment, largest_eigenvalue_above


def rows_of(kind: str, count: int, dimension: int) -> np.ndarray:
    rng = np.random.default_rng(count + dimension)
    rows = rng.standard_normal((count, dimension)) * np.linspace(1.0, 0.05, dimension)
    if kind == "aligned":
        rows[:, 1:] *= 0.01
    if kind == "with zeros":
        rows[::3] = 0.0
    return np.asarray(0.3 * rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9))


@pytest.mark.parametrize("kind", ["scattered", "aligned", "with zeros"])
@pytest.mark.parametrize(("count", "dimension"), [(1, 4), (50, 4), (BLOCK, 6), (BLOCK + 1, 40), (1_300, 24)])
def test_total_is_a_bound_in_every_direction_when_rows_come_in_pieces(kind: str, count: int, dimension: int) -> None:
    rows = rows_of(kind, count, dimension)
    kept = FourthMoment(dimension)
    for piece in np.array_split(rows, 7):
        kept.update(piece)
    directions = np.random.default_rng(1).standard_normal((500, dimension))
    # The worst direction, by following the gradient from the best of many.
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    for _ in range(200):
        directions = (directions @ rows.T) ** 3 @ rows + 1e-9 * directions
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    worst = float(((directions @ rows.T) ** 4).sum(axis=1).max())
    assert worst <= kept.total * (1.0 + 1e-9)
    blocks = [np.square(rows[i : i + BLOCK] @ rows[i : i + BLOCK].T) for i in range(0, count, BLOCK)]
    exact = sum(float(np.linalg.eigvalsh(block)[-1]) for block in blocks)
    assert exact <= kept.total * (1.0 + 1e-12) + 1e-15
    assert kept.total <= 1.001 * exact


def test_total_does_not_depend_on_how_rows_come() -> None:
    rows = rows_of("scattered", 700, 12)
    at_once, in_pieces = FourthMoment(12), FourthMoment(12)
    at_once.update(rows)
    for row in rows:
        in_pieces.update(row[None])
    assert at_once.total == pytest.approx(in_pieces.total, rel=1e-12)


def test_total_equals_the_fourth_power_when_all_rows_are_equal() -> None:
    kept = FourthMoment(3)
    kept.update(np.tile([0.0, 0.5, 0.0], (600, 1)))
    assert kept.total == pytest.approx(600 * 0.5**4, rel=1e-9)


@pytest.mark.parametrize(
    ("matrix", "largest"),
    [
        (np.zeros((4, 4)), 0.0),
        (np.diag([1.0, 2.0, 0.0]), 2.0),
        (np.array([[0.0, 1.0], [1.0, 0.0]]), 1.0),  # its least eigenvalue is as large in size
        (np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 0.5], [0.0, 0.5, 0.0]]), 1.0),
    ],
)
def test_largest_eigenvalue_above_is_near_when_power_iteration_is_slow(matrix: np.ndarray, largest: float) -> None:
    found = largest_eigenvalue_above(matrix)
    assert largest <= found <= largest * (1.0 + 1e-2)
