"""Random crops are parts of the image, and matching them moves the pixels."""

import pytest
import torch

from fs_exporters.evaluation.attack import L2, Crops, Pgd, random_crops

IMAGE = torch.arange(64.0).view(1, 1, 8, 8).expand(1, 3, 8, 8).contiguous() / 64.0


def test_random_crops_are_enlarged_parts_of_the_image_when_it_rises_evenly() -> None:
    """In a picture that is linear in row and column a crop is linear too, its slopes by the side's share of it."""
    crops = random_crops(IMAGE, 200, torch.Generator().manual_seed(1))
    assert crops.shape == (200, 3, 8, 8)
    assert float(crops.min()) >= 0.0
    assert float(crops.max()) <= 1.0
    down, across = crops[:, 0, 4, 3] - crops[:, 0, 3, 3], crops[:, 0, 3, 4] - crops[:, 0, 3, 3]
    torch.testing.assert_close(down, 8.0 * across, rtol=1e-3, atol=1e-6)
    share = across * 64.0
    assert float(share.min()) == pytest.approx(0.5**0.5, abs=0.02)
    assert float(share.max()) == pytest.approx(1.0, abs=0.02)


def test_random_crops_let_gradients_through_when_asked() -> None:
    image = IMAGE.clone().requires_grad_()
    random_crops(image, 4, torch.Generator().manual_seed(1)).sum().backward()
    assert image.grad is not None
    assert float(image.grad.abs().min()) >= 0.0
    assert float(image.grad.abs().sum()) > 0.0


@pytest.mark.parametrize("draws", [2, 4, 6])
def test_crops_show_the_whole_image_and_parts_when_draws_are_shared(draws: int) -> None:
    wanted = Crops(torch.ones(3), torch.ones(3))
    views = wanted.views(IMAGE, draws, torch.Generator().manual_seed(1))
    assert len(views) == draws
    whole = draws - draws // 2
    assert all(torch.equal(view, IMAGE[0]) for view in views[:whole])
    assert not any(torch.equal(view, IMAGE[0]) for view in views[whole:])


def test_crops_loss_is_minus_the_mean_of_both_cosines_when_computed() -> None:
    whole, local = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 2.0])
    features = torch.tensor([[1.0, 1.0], [1.0, -1.0], [0.0, 1.0], [1.0, 0.0]])
    assert float(Crops(whole, local).loss(features)) == pytest.approx(-0.5 * (1.0 + 0.5))


def test_attacked_comes_nearer_to_the_other_image_when_crops_are_matched() -> None:
    """The feature is the mean colour of each quarter, which crops keep roughly."""

    def encode(images: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.normalize(torch.nn.functional.adaptive_avg_pool2d(images, 2).flatten(1), dim=1)

    other = 1.0 - IMAGE
    crops = random_crops(other, 8, torch.Generator().manual_seed(2))
    wanted = Crops(encode(other)[0], encode(crops).mean(0))
    before = float(encode(IMAGE)[0] @ wanted.whole)
    pgd = Pgd(L2(2.0), 0.1, steps=20, draws=4, boxed=True)
    delta = pgd.attacked(encode, IMAGE, wanted, torch.Generator().manual_seed(3))
    after = float(encode(IMAGE + delta)[0] @ wanted.whole)
    assert after > before + 0.1
