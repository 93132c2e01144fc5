"""Qwen's windows at sizes where they come out even, uneven, and as one."""

import pytest
import torch
from helpers import families

from fs_models.encoders import LoadRequest, load_encoder


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("qwen")
    return {case.name: families.save(case, root / case.name) for case in families.CASES if case.family == "qwen-vl"}


@pytest.mark.parametrize("name", ["qwen2-vl", "qwen2.5-vl"])
@pytest.mark.parametrize("size", [(64, 64), (32, 96), (48, 80), (32, 32), (16, 16)])
def test_encode_equals_transformers_when_windows_fit_or_not(folders, name, size):
    encoder = load_encoder(LoadRequest(str(folders[name]), image_size=size))
    pixels = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = families.qwen_expected(folders[name], encoder.normalise(pixels))["tokens"]
        torch.testing.assert_close(encoder(pixels), expected, atol=3e-6, rtol=1e-4)


def test_load_takes_448_pixels_when_no_size_is_asked_for(folders, tmp_path):
    import json
    import shutil

    folder = tmp_path / "larger"
    shutil.copytree(folders["qwen2.5-vl"], folder)
    path = folder / "preprocessor_config.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "size": {"shortest_edge": 3136, "longest_edge": 12845056}}))
    spec = load_encoder(LoadRequest(str(folder))).spec
    assert (spec.height, spec.width, spec.feature_shape) == (448, 448, (28 * 28, 48))
