"""Projections are the nearest points, steps the steepest, and starts lie within."""

import numpy as np
import pytest
import torch
from scipy import optimize

from fs_exporters.evaluation.attack import L2, Linf, Norm

SHAPE = (1, 3, 2, 2)


def random(seed: int, scale: float = 1.0) -> torch.Tensor:
    return scale * torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed))


def box_of(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    pixels = torch.rand(SHAPE, generator=torch.Generator().manual_seed(seed))
    return -pixels, 1.0 - pixels


def nearest(delta: torch.Tensor, radius: float, box: tuple[torch.Tensor, torch.Tensor]) -> np.ndarray:
    """By a general solver."""
    wanted = delta.double().numpy().ravel()
    found = optimize.minimize(
        lambda point: np.square(point - wanted).sum(),
        np.zeros_like(wanted),
        jac=lambda point: 2.0 * (point - wanted),
        bounds=list(zip(*(bound.double().numpy().ravel() for bound in box), strict=True)),
        constraints={
            "type": "ineq",
            "fun": lambda point: radius**2 - np.square(point).sum(),
            "jac": lambda point: -2.0 * point,
        },
        method="SLSQP",
        options={"ftol": 1e-12, "maxiter": 500},
    )
    return np.asarray(found.x).reshape(SHAPE)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("radius", [0.2, 0.7, 1.4])
def test_l2_project_gives_the_nearest_point_of_ball_and_box_when_a_solver_is_asked(seed: int, radius: float) -> None:
    delta, box = random(seed, 0.6), box_of(seed + 100)
    projected = L2(radius).project(delta, box)
    assert L2(radius).size(projected) <= radius * (1.0 + 1e-6)
    assert bool(((projected >= box[0]) & (projected <= box[1])).all())
    np.testing.assert_allclose(projected.numpy(), nearest(delta, radius, box), atol=2e-6)


def test_l2_project_is_not_clamp_and_scale_in_turn_when_both_bind() -> None:
    """So that the test above could tell them apart."""
    delta, box = random(0, 0.6), box_of(100)
    in_turn = torch.clamp(delta * min(1.0, 0.7 / float(delta.norm())), *box)
    projected = L2(0.7).project(delta, box)
    distances = [float((point - delta).norm()) for point in (projected, in_turn)]
    assert distances[0] < distances[1] - 1e-3


@pytest.mark.parametrize("norm", [L2(0.3), Linf(0.1)])
@pytest.mark.parametrize("boxed", [False, True])
def test_project_changes_nothing_when_the_point_is_inside(norm: Norm, boxed: bool) -> None:
    delta, box = random(1, 0.01), box_of(2)
    inside = torch.clamp(delta, *box)
    torch.testing.assert_close(norm.project(inside, box if boxed else None), inside, rtol=0.0, atol=0.0)


def test_l2_project_scales_when_there_is_no_box() -> None:
    delta = random(3)
    torch.testing.assert_close(L2(0.5).project(delta, None), 0.5 * delta / delta.norm())


def test_linf_project_clamps_to_both_boxes_when_there_are_two() -> None:
    delta, box = random(4), box_of(5)
    projected = Linf(0.25).project(delta, box)
    expected = np.clip(delta.numpy(), np.maximum(-0.25, box[0].numpy()), np.minimum(0.25, box[1].numpy()))
    np.testing.assert_array_equal(projected.numpy(), expected)


@pytest.mark.parametrize("norm", [L2(0.3), Linf(0.1)])
def test_step_goes_furthest_along_the_direction_when_compared_with_others(norm: Norm) -> None:
    direction = random(6)
    step = norm.step(direction)
    assert norm.size(step) == pytest.approx(1.0)
    best = float((step * direction).sum())
    for seed in range(50):
        other = random(1000 + seed)
        assert float((other / norm.size(other) * direction).sum()) <= best + 1e-5


@pytest.mark.parametrize("norm", [L2(0.3), Linf(0.1)])
def test_start_lies_within_the_radius_and_differs_when_drawn_again(norm: Norm) -> None:
    generator = torch.Generator().manual_seed(7)
    starts = [norm.start(torch.zeros(SHAPE), generator) for _ in range(3)]
    assert all(norm.size(start) <= norm.radius * (1.0 + 1e-6) for start in starts)
    assert not torch.equal(starts[0], starts[1])


@pytest.mark.parametrize("norm", [L2(0.3), Linf(0.1)])
def test_scaled_is_free_of_the_gradients_length_when_that_changes(norm: Norm) -> None:
    gradient = random(8)
    torch.testing.assert_close(norm.scaled(gradient), norm.scaled(1e-6 * gradient))
