"""Photos: only the pixels that were certified, and noise that is an illustration."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fs_runtime.certificates.feature import FeatureCertificate
from fs_runtime.report.thumbnails import LARGEST_SIDE, NoPhoto, Photo, _photo, find_photo


def test_find_photo_gives_the_graphs_resolution_when_the_pixels_are_the_same(
    certificates: dict[str, FeatureCertificate], photo: Path
) -> None:
    found = find_photo(certificates["gram"])
    assert isinstance(found, Photo)
    assert found.clean.size == found.noisy.size == (8, 8)
    with Image.open(photo) as original:
        assert np.array_equal(np.asarray(found.clean), np.asarray(original))


def test_find_photo_has_the_same_noise_when_the_seed_differs(certificates: dict[str, FeatureCertificate]) -> None:
    first, second = (find_photo(certificates[kind]) for kind in ("gram", "fresh"))
    assert isinstance(first, Photo)
    assert isinstance(second, Photo)
    assert np.array_equal(np.asarray(first.noisy), np.asarray(second.noisy))


def test_find_photo_finds_nothing_when_it_was_an_array(certificates: dict[str, FeatureCertificate]) -> None:
    assert isinstance(find_photo(certificates["tokens"]), NoPhoto)


@pytest.mark.parametrize("sigma", [0.05, 0.1])
def test_photo_has_the_noise_level_when_grey(sigma: float) -> None:
    made = _photo(Image.new("RGB", (300, 200), (128, 128, 128)), 128, sigma)
    assert made.noisy.size == (128, 128)
    assert np.asarray(made.noisy).std() / 255 == pytest.approx(sigma, rel=0.02)
    assert np.asarray(made.clean).std() == 0.0


@pytest.mark.parametrize(("side", "shown"), [(0, 1), (1, 1), (500, LARGEST_SIDE), (10**9, LARGEST_SIDE)])
def test_photo_is_bounded_when_the_graph_is_odd(side: int, shown: int) -> None:
    assert _photo(Image.new("RGB", (3, 700)), side, 2.0).noisy.size == (shown, shown)
