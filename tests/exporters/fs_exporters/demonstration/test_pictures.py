"""Clean, noisy and purified pixels, and the picture of them."""

import io

import numpy as np
import pytest
import torch
from helpers import tiny, tiny_torch
from PIL import Image

from fs_exporters.demonstration import Denoised, denoise, draw_denoised
from fs_models.gsb import Booster, no_booster
from fs_runtime.preprocess import prepare


class _Back(torch.nn.Module):
    """A purifier that knows the answer."""

    def __init__(self, clean: torch.Tensor) -> None:
        super().__init__()
        self.clean = clean

    def forward(self, normalised: torch.Tensor) -> torch.Tensor:
        return self.clean.expand_as(normalised)


def _shown(booster: Booster | None) -> Denoised:
    encoder = tiny_torch.tiny_adapter()
    image = prepare(tiny.image_array(), encoder.spec.preprocess)
    known = Booster(_Back(encoder.normalise(torch.from_numpy(image.pixel_values))), torch.nn.Identity())
    return denoise(encoder, booster or known, image, sigma=0.25, name="photo")


def test_denoise_shows_the_noisy_pixels_again_when_nothing_purifies() -> None:
    found = _shown(no_booster())
    assert int(np.abs(found.purified.astype(int) - found.noisy).max()) <= 1
    assert np.abs(found.noisy.astype(int) - found.clean).mean() > 20.0
    assert found.bare_cosine == pytest.approx(found.boosted_cosine, abs=1e-6)
    assert found.bare_cosine < 0.999


def test_denoise_shows_the_clean_pixels_when_the_purifier_knows_them() -> None:
    found = _shown(None)
    assert int(np.abs(found.purified.astype(int) - found.clean).max()) <= 1
    assert found.boosted_cosine == pytest.approx(1.0, abs=1e-5)


def test_draw_denoised_draws_every_photo_when_there_are_several() -> None:
    one = _shown(no_booster())
    sizes = []
    for count in (1, 3):
        with Image.open(io.BytesIO(draw_denoised([one] * count, 0.25))) as picture:
            sizes.append(picture.size)
            assert picture.format == "PNG"
            assert len(picture.convert("RGB").getcolors(maxcolors=1 << 24) or ()) > 50
    assert sizes[1][0] > 2 * sizes[0][0]
    assert sizes[0][1] == sizes[1][1]
