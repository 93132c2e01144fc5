"""Class means and galleries of a tiny encoder."""

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.tiny_torch import tiny_adapter
from PIL import Image

from fs_models.prototypes import class_means, gallery
from fs_runtime.errors import InputError
from fs_runtime.preprocess import prepare


def write_image(path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (11, 9, 3), dtype=np.uint8)).save(path)
    return path


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    for number in range(40):
        write_image(tmp_path / "photos" / ("cats" if number < 19 else "dogs") / f"{number:02d}.png", number)
    return tmp_path / "photos"


def unit_feature(path: Path) -> np.ndarray:
    adapter = tiny_adapter()
    with torch.inference_mode():
        feature = adapter(torch.from_numpy(prepare(path, adapter.spec.preprocess).pixel_values))[0].double().numpy()
    return feature / np.linalg.norm(feature)


def test_class_means_are_means_of_unit_features_when_there_is_no_noise(labelled):
    seen = []
    made = class_means(tiny_adapter(), labelled, progress=lambda done, total: seen.append((done, total)))
    assert made.prototypes.labels == ("cats", "dogs")
    assert (made.images, made.skipped) == (40, ())
    for row, name in enumerate(made.prototypes.labels):
        expected = np.mean([unit_feature(path) for path in sorted((labelled / name).iterdir())], axis=0)
        np.testing.assert_allclose(made.prototypes.vectors[row].numpy(), expected, atol=1e-6)
    assert seen == [(16, 40), (32, 40), (40, 40)]


def test_class_means_approach_the_smoothed_feature_when_there_are_draws(labelled):
    clean = class_means(tiny_adapter(), labelled).prototypes.vectors
    noisy = class_means(tiny_adapter(), labelled, sigma=0.25, draws=64).prototypes.vectors
    again = class_means(tiny_adapter(), labelled, sigma=0.25, draws=64).prototypes.vectors
    assert torch.equal(noisy, again)
    assert (noisy - clean).norm() > 0.01
    # The mean of unit vectors that scatter is shorter.
    assert (noisy.norm(dim=1) < clean.norm(dim=1)).all()


def test_class_means_skip_and_list_an_image_when_it_cannot_be_read(labelled):
    expected = class_means(tiny_adapter(), labelled).prototypes
    (labelled / "cats" / "00-broken.png").write_bytes(b"no image")
    made = class_means(tiny_adapter(), labelled)
    assert (made.images, len(made.skipped)) == (40, 1)
    assert "00-broken.png" in made.skipped[0]
    torch.testing.assert_close(made.prototypes.vectors, expected.vectors, rtol=0, atol=1e-6)


def test_class_means_raise_when_no_image_of_a_class_can_be_read(labelled):
    broken = labelled / "apes" / "a.png"
    broken.parent.mkdir()
    broken.write_bytes(b"no image")
    with pytest.raises(InputError, match=r"--prototypes-from .*: no image of 'apes' can be read"):
        class_means(tiny_adapter(), labelled)


def test_class_means_raise_when_the_folder_does_not_serve(tmp_path, labelled):
    with pytest.raises(InputError, match=r"--prototypes-from .* cannot be read"):
        class_means(tiny_adapter(), tmp_path / "none")
    with pytest.raises(InputError, match="holds 0 folders"):
        class_means(tiny_adapter(), labelled / "cats")
    (labelled / "empty").mkdir()
    with pytest.raises(InputError, match=r"empty holds no image"):
        class_means(tiny_adapter(), labelled)


def test_gallery_holds_every_image_by_its_path_when_it_can_be_read(labelled):
    (labelled / "note.txt").write_text("no image")
    (labelled / "cats" / "99.png").write_bytes(b"no image")
    made = gallery(tiny_adapter("tokens"), labelled)
    assert made.prototypes.labels[0] == "cats/00.png"
    assert len(made.prototypes.labels) == made.images == 40
    assert ["99.png" in line for line in made.skipped] == [True]
    assert made.prototypes.vectors.shape == (40, 6)
    np.testing.assert_allclose(made.prototypes.vectors[25].numpy(), unit_feature(labelled / "dogs/25.png"), atol=1e-6)


def test_gallery_raises_when_fewer_than_two_images_can_be_read(tmp_path):
    write_image(tmp_path / "one.png", 1)
    with pytest.raises(InputError, match=r"--gallery .* holds 1 image that"):
        gallery(tiny_adapter(), tmp_path)
    with pytest.raises(InputError, match="holds no image"):
        gallery(tiny_adapter(), tmp_path / "none")
