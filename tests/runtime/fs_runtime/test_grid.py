"""The grid shared by images and noise."""

import numpy as np
import pytest

from fs_runtime.grid import GRID_STEP, radius_cost, to_grid


def test_to_grid_is_exact_and_fp32_when_magnitudes_are_below_16() -> None:
    values = np.random.default_rng(0).uniform(-16, 16, 10_000)
    index = to_grid(values).astype(np.float64) / GRID_STEP
    assert to_grid(values).dtype == np.float32
    np.testing.assert_array_equal(index, np.floor(values / GRID_STEP + 0.5))


def test_to_grid_rounds_up_when_value_is_halfway() -> None:
    halves = (np.arange(-3, 4) + 0.5) * GRID_STEP
    np.testing.assert_array_equal(to_grid(halves) / GRID_STEP, np.arange(-2, 5))


def test_to_grid_changes_nothing_when_applied_twice() -> None:
    once = to_grid(np.random.default_rng(1).random(1000, np.float32))
    np.testing.assert_array_equal(to_grid(once), once)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_to_grid_keeps_the_ends_of_the_pixel_range_when_given_them(value: float) -> None:
    assert to_grid(np.array([value]))[0] == value


def test_to_grid_does_not_exceed_one_when_value_is_just_below_one() -> None:
    assert to_grid(np.nextafter(np.ones(1, np.float32), np.float32(0.0)))[0] == 1.0


def test_radius_cost_covers_the_move_when_both_images_are_put_on_the_grid() -> None:
    # of two images a radius apart, each moved by at most half a step: the moved ones are nearer than radius + cost
    random = np.random.default_rng(2)
    image = random.random(768)
    attacked = image + 0.01 * random.standard_normal(768)
    before = np.linalg.norm(attacked - image)
    moved = to_grid(image).astype(np.float64)
    after = np.linalg.norm(to_grid(attacked) - moved)
    distance = float(np.linalg.norm(moved - image))
    assert 0.0 < distance < radius_cost(distance, 768) < 2.0 * 0.5 * GRID_STEP * 768**0.5 + 1e-12
    assert after <= before + radius_cost(distance, 768)
