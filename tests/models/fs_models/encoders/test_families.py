"""Every family on a tiny random model: chosen by its config, the taps of transformers, the pixels of its processor."""

import numpy as np
import pytest
import torch
from helpers import families
from helpers.families import CASES, Case
from PIL import Image

from fs_models.encoders import LoadRequest, find_family, load_encoder
from fs_runtime.preprocess import prepare, resize


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory):
    root = tmp_path_factory.mktemp("families")
    made = {}

    def folder(case: Case):
        if case.name not in made:
            made[case.name] = families.save(case, root / case.name)
        return made[case.name]

    return folder


def request(case: Case, folder, tap=None) -> LoadRequest:
    return LoadRequest(f"{folder}{case.part}", tap, image_size=case.size)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_encode_equals_transformers_when_any_tap_is_taken(folders, case):
    folder = folders(case)
    family = find_family(request(case, folder))
    assert family.family == case.family
    encoder = load_encoder(request(case, folder))
    spec = encoder.spec
    assert spec.tap == family.taps[0]
    pixels = torch.rand(2, 3, spec.height, spec.width, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = case.expected(folder, encoder.normalise(pixels))
        assert set(expected) <= set(family.taps)
        for tap, feature in expected.items():
            encoder = load_encoder(request(case, folder, tap))
            assert encoder.spec.feature_shape == tuple(feature.shape[1:])
            found = encoder(pixels)
            torch.testing.assert_close(found, feature, atol=3e-6, rtol=1e-4)
            # Each image by itself, which the certificates assume.
            torch.testing.assert_close(found[1:], encoder(pixels[1:]), atol=3e-6, rtol=1e-4)
            # Random, but not constant: the comparison means something.
            assert (found[0] - found[1]).norm() > 0.02 * found[0].norm()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_preprocess_differs_from_the_models_processor_by_its_rounding_when_it_resizes(folders, case):
    folder = folders(case)
    if case.pixels is None:
        pytest.skip("transformers has no processor of one image for it without torchvision")
    encoder = load_encoder(request(case, folder))
    coarse = np.random.Generator(np.random.Philox(1)).random((6, 8, 3), np.float32)
    image = (resize(coarse, 60, 80, "bicubic").clip(0, 1) * 255).round().astype(np.uint8)
    ours = prepare(image, encoder.spec.preprocess).pixel_values
    theirs = case.pixels(folder, Image.fromarray(image))
    mean, std = (np.array(values, np.float32)[:, None, None] for values in (encoder.spec.mean, encoder.spec.std))
    levels = np.abs(ours - (theirs * std + mean)) * 255
    # Theirs rounds to integers after each of two passes, ours never.
    assert levels.max() < 1.1
    assert 0.05 < levels.mean() < 0.5
