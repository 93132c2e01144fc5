"""Cosines of long token features come from inside the graph, so they must be as exact as a certificate assumes."""

import numpy as np
import onnxruntime as ort
import pytest

from fs_exporters.graph import SmoothedGraph
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
def session(tmp_path_factory):
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
    shapes = {"pixel_values": (1, 3, SIDE, SIDE), "noise": (BATCH, 3, SIDE, SIDE), "reference": (DIMENSION,)}
    inputs = tuple(Tensor(name=name, dtype="float32", shape=shape) for name, shape in shapes.items())
    shapes = {"cosine": (BATCH,), "feature_sum": (DIMENSION,), "raw_norm": (BATCH,)}
    outputs = tuple(Tensor(name=name, dtype="float32", shape=shape) for name, shape in shapes.items())
    path = tmp_path_factory.mktemp("tokens") / "model.onnx"
    trace(SmoothedGraph(PixelTokens(spec), no_booster()).eval(), inputs, outputs, path, metadata={})
    return ort.InferenceSession(path, providers=["CPUExecutionProvider"])


def test_cosines_are_within_the_slack_when_tokens_are_long(session):
    rng = np.random.default_rng(0)
    pixels = rng.random((1, 3, SIDE, SIDE), np.float32)
    noise = (1e-3 * rng.standard_normal((BATCH, 3, SIDE, SIDE))).astype(np.float32)
    tokens = (pixels + noise).reshape(BATCH, 3, -1).transpose(0, 2, 1).reshape(BATCH, -1).astype(np.float64)
    reference = tokens.mean(axis=0)
    reference = (reference / np.linalg.norm(reference)).astype(np.float32)
    cosine, total, norm = session.run(None, {"pixel_values": pixels, "noise": noise, "reference": reference})
    norms = np.linalg.norm(tokens, axis=1)
    exact = tokens @ reference.astype(np.float64) / norms
    assert np.abs(cosine - exact).max() < 0.3 * COSINE_SLACK
    np.testing.assert_allclose(norm, norms, rtol=1e-7)
    np.testing.assert_allclose(total, (tokens / norms[:, None]).sum(axis=0), rtol=1e-5)
