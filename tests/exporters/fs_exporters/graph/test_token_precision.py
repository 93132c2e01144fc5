"""Cosines of long token features come from inside the graph, so they must be as exact as a certificate assumes."""

import numpy as np
import onnxruntime as ort
import pytest

from fs_exporters.graph import smoothed_graph
from fs_exporters.onnx import trace
from fs_models.encoders import EncoderAdapter, EncoderSpec
from fs_models.gsb import no_booster
from fs_runtime.bundle.manifest import Tensor
from fs_runtime.certification.laws.tails import COSINE_SLACK
from fs_runtime.preprocess import PreprocessRule

SIDE = 224
DIMENSION = 3 * SIDE**2  # 150,528, about as many as ViT-B/16 gives at 224 pixels
BATCH = 4


class PixelTokens(EncoderAdapter):
    """Its tokens are the pixels: [B, 50176, 3], so the truth is known."""

    family = "pixels"
    taps = ("tokens",)
    examples = ()

    @classmethod
    def accepts(cls, model):
        return False

    @classmethod
    def load(cls, request):
        raise NotImplementedError

    def encode(self, normalised):
        return normalised.flatten(2).transpose(1, 2)


@pytest.fixture(scope="module")
def sessions(tmp_path_factory):
    spec = EncoderSpec(
        model="pixels",
        revision=None,
        family="pixels",
        tap="tokens",
        feature_shape=(SIDE**2, 3),
        height=SIDE,
        width=SIDE,
        mean=(0.0,) * 3,
        std=(1.0,) * 3,
        preprocess=PreprocessRule(),
    )
    single = {"pixel_values": (1, 3, SIDE, SIDE), "noise": (BATCH, 3, SIDE, SIDE), "reference": (DIMENSION,)}
    mixed = {**single, "pixel_values": (2, 3, SIDE, SIDE), "reference": (2, DIMENSION), "image_index": (BATCH,)}
    sums = {1: (DIMENSION,), 2: (2, DIMENSION)}
    folder, opened = tmp_path_factory.mktemp("tokens"), {}
    for images, shapes in ((1, single), (2, mixed)):
        inputs = tuple(
            Tensor(name=name, dtype="int64" if name == "image_index" else "float32", shape=shape)
            for name, shape in shapes.items()
        )
        shapes = {"cosine": (BATCH,), "feature_sum": sums[images], "raw_norm": (BATCH,)}
        outputs = tuple(Tensor(name=name, dtype="float32", shape=shape) for name, shape in shapes.items())
        path = folder / f"model{images}.onnx"
        module = smoothed_graph(PixelTokens(spec), no_booster(), images=images)
        trace(module, inputs, outputs, path, metadata={})
        opened[images] = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    return opened


@pytest.mark.parametrize("images", [1, 2])
def test_cosines_are_within_the_slack_when_tokens_are_long(sessions, images):
    rng = np.random.default_rng(0)
    pixels = rng.random((images, 3, SIDE, SIDE), np.float32)
    noise = (1e-3 * rng.standard_normal((BATCH, 3, SIDE, SIDE))).astype(np.float32)
    index = np.array([0, 1, 1, 0]) % images
    tokens = (pixels[index] + noise).reshape(BATCH, 3, -1).transpose(0, 2, 1).reshape(BATCH, -1).astype(np.float64)
    norms = np.linalg.norm(tokens, axis=1)
    references = np.stack([tokens[index == image].mean(axis=0) for image in range(images)])
    references = (references / np.linalg.norm(references, axis=1, keepdims=True)).astype(np.float32)
    feed = {"pixel_values": pixels, "noise": noise, "reference": references[0] if images == 1 else references}
    cosine, total, norm = sessions[images].run(None, feed if images == 1 else {**feed, "image_index": index})
    exact = (tokens * references[index].astype(np.float64)).sum(axis=1) / norms
    assert np.abs(cosine - exact).max() < 0.3 * COSINE_SLACK
    np.testing.assert_allclose(norm, norms, rtol=1e-7)
    unit = tokens / norms[:, None]
    expected = np.stack([unit[index == image].sum(axis=0) for image in range(images)])
    # Coordinates of two draws may cancel; the others are about 3e-3.
    np.testing.assert_allclose(np.atleast_2d(total), expected, rtol=1e-5, atol=1e-9)
