"""The tokens that a language model reads: the example of docs/models.md, run on a tiny random LLaVA."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import families, tiny
from transformers import LlavaForConditionalGeneration

from fs_exporters.pipeline import ExportResult, export_bundle
from fs_runtime.bundle import read_bundle
from fs_runtime.noise import NoiseBlocks, Stream
from fs_runtime.preprocess import prepare

# So small that every draw rounds to zero on the pixel grid: the graph is given noise, and the noise is zero.
_NO_NOISE = 1e-8
_IMAGE, _BEGIN = 98, 1


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ExportResult]:
    root = tmp_path_factory.mktemp("llava")
    case = next(case for case in families.CASES if case.name == "llava")
    folder = families.save(case, root / "model")
    bundle = root / "bundle"
    return folder, export_bundle(str(folder), sigma=_NO_NOISE, noise_batch=4, output=bundle, tap="tokens", threads=1)


def _example() -> str:
    text = (Path(__file__).parents[3] / "docs" / "models.md").read_text("utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    return next(block for block in blocks if "mean_raw_norm" in block)


def test_decoder_computes_what_transformers_does_when_the_noise_is_zero(exported: tuple[Path, ExportResult]) -> None:
    folder, result = exported
    shape = (4, 3, result.manifest.height, result.manifest.width)
    with NoiseBlocks(sigma=_NO_NOISE, shape=shape, threads=1) as noise:
        assert not any(block.any() for block in noise.blocks(1, Stream.CERTIFY, 8))

    image = tiny.image_array()
    prompt = [_BEGIN, 5, *[_IMAGE] * result.manifest.feature_shape[0], 7, 8]
    known: dict[str, Any] = {"folder": folder, "bundle": result.path, "image": image, "prompt": torch.tensor([prompt])}
    exec(compile(_example(), "docs/models.md", "exec"), known)

    manifest = read_bundle(result.path).manifest
    pixels = torch.from_numpy(prepare(image, manifest.preprocess).pixel_values)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (manifest.mean, manifest.std))
    model = LlavaForConditionalGeneration.from_pretrained(folder).eval()
    with torch.inference_mode():
        expected = model(input_ids=known["prompt"], pixel_values=(pixels - mean) / std).logits
        other = model(input_ids=known["prompt"], pixel_values=(0.9 * pixels - mean) / std).logits
    np.testing.assert_allclose(known["logits"].numpy(), expected.numpy(), atol=2e-5, rtol=1e-4)
    # The image matters to the tiny decoder, so equal logits say something.
    assert (other - expected).abs().max() > 1e-2
