"""The ONNX Runtime backend: what it computes and what it refuses."""

import hashlib
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
from helpers import tiny
from onnx import TensorProto, helper

from fs_runtime.backends import Backend, Block, find_backend
from fs_runtime.bundle import read_bundle
from fs_runtime.errors import BackendError, BundleError


def _open(root: Path, *, device: str = "cpu", threads: int = 1) -> Backend:
    bundle = read_bundle(root)
    return find_backend("onnxruntime")(bundle, bundle.graph("smoothed"), device=device, threads=threads)


def _block(seed: int = 3) -> Block:
    rng = np.random.default_rng(seed)
    reference = rng.standard_normal(6)
    return Block(
        pixel_values=rng.random((1, 3, 8, 8)).astype(np.float32),
        noise=(tiny.SIGMA * rng.standard_normal((4, 3, 8, 8))).astype(np.float32),
        reference=(reference / np.linalg.norm(reference)).astype(np.float32)[None],
        image_index=np.zeros(4, np.int64),
    )


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("tap", ["pooled", "tokens"])
def test_run_equals_numpy_when_the_graph_is_the_linear_encoder(tmp_path: Path, tap: tiny.Tap, threads: int) -> None:
    encoder, block = tiny.linear(), _block()
    raw = encoder.raw(block.pixel_values, block.noise)
    features = encoder.features(block.pixel_values, block.noise)
    with _open(tiny.write_bundle(tmp_path, encoder, tap=tap), threads=threads) as backend:
        result = backend.run(block)
        assert backend.info.name == "onnxruntime"
        assert backend.info.device == "cpu"
    np.testing.assert_allclose(result.cosine, features @ block.reference[0], atol=2e-6)
    np.testing.assert_allclose(result.feature_sum, features.sum(axis=0)[None], atol=1e-5)
    assert result.feature_sum.shape == (1, 6)
    np.testing.assert_allclose(result.raw_norm, np.linalg.norm(raw, axis=1), rtol=2e-6)
    if tap == "tokens":
        assert result.features is None
    else:
        np.testing.assert_allclose(result.features, features, atol=2e-6)
        assert result.features.dtype == np.float32


@pytest.mark.parametrize("tap", ["pooled", "tokens"])
def test_run_equals_numpy_when_the_graph_mixes_images(tmp_path: Path, tap: tiny.Tap) -> None:
    encoder, index = tiny.linear(), np.array([2, 0, 2, 1], np.int64)
    blocks = [_block(seed) for seed in (3, 4, 5)]
    pixels, references = (
        np.concatenate([getattr(each, name) for each in blocks]) for name in ("pixel_values", "reference")
    )
    with _open(tiny.write_bundle(tmp_path, encoder, tap=tap, images=3)) as backend:
        result = backend.run(Block(pixels, blocks[0].noise, references, index))
    features = encoder.features(pixels[index], blocks[0].noise)
    np.testing.assert_allclose(result.cosine, (features * references[index]).sum(axis=1), atol=2e-6)
    expected = [features[index == image].sum(axis=0) for image in range(3)]
    np.testing.assert_allclose(result.feature_sum, expected, atol=1e-5)
    assert result.feature_sum.shape == (3, 6)
    assert (result.features is None) == (tap == "tokens")


def test_run_changes_one_row_when_one_draw_changes(tmp_path: Path) -> None:
    block = _block()
    other = block.noise.copy()
    other[2] += np.float32(0.25)
    with _open(tiny.write_bundle(tmp_path)) as backend:
        before, after = (
            backend.run(block),
            backend.run(Block(block.pixel_values, other, block.reference, block.image_index)),
        )
    assert before.features is not None
    assert after.features is not None
    assert (before.features != after.features).any(axis=1).tolist() == [False, False, True, False]
    assert (before.cosine != after.cosine).tolist() == [False, False, True, False]


def test_run_gives_arrays_of_the_caller_when_called_again(tmp_path: Path) -> None:
    with _open(tiny.write_bundle(tmp_path)) as backend:
        first = backend.run(_block(3))
        kept = first.cosine.copy()
        backend.run(_block(4))
    np.testing.assert_array_equal(first.cosine, kept)


@pytest.mark.parametrize("device", ["cuda:0", "cuda", "gpu", "CPU", ""])
def test_open_refuses_when_the_device_is_not_the_cpu(tmp_path: Path, device: str) -> None:
    with pytest.raises(BackendError, match="--device cpu") as caught:
        _open(tiny.write_bundle(tmp_path), device=device)
    assert caught.value.exit_code == 4
    assert repr(device) in str(caught.value)


def test_open_refuses_when_the_graph_is_bf16(tmp_path: Path) -> None:
    root = tiny.write_bundle(tmp_path, graph={"precision": "bf16"})
    with pytest.raises(BackendError, match=r"model\.onnx is bf16.*build an engine.*--precision fp32"):
        _open(root)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"not a protobuf at all", id="text"),
        pytest.param(bytes(range(256)) * 16, id="bytes"),
        pytest.param(
            tiny.smoothed_model(tiny.linear(), noise_batch=4, gives_features=True).SerializeToString()[:-400],
            id="truncated",
        ),
    ],
)
def test_open_refuses_when_the_onnx_file_is_corrupt_but_hashed(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(BundleError, match=r"cannot load .*model\.onnx") as caught:
        _open(tiny.write_bundle(tmp_path, model=data))
    assert "\n" not in str(caught.value)


def _model() -> onnx.ModelProto:
    return tiny.smoothed_model(tiny.linear(), noise_batch=4, gives_features=True)


def _rename_input(model: onnx.ModelProto) -> None:
    model.graph.input[1].name = "eps"
    model.graph.node[0].input[1] = "eps"


def _rename_output(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Identity", ["raw_norm"], ["norm"]))
    model.graph.output[2].name = "norm"


def _drop_output(model: onnx.ModelProto) -> None:
    del model.graph.output[3]


def _add_output(model: onnx.ModelProto) -> None:
    model.graph.output.append(helper.make_tensor_value_info("raw", TensorProto.FLOAT, (4, 6)))


def _dynamic_batch(model: onnx.ModelProto) -> None:
    model.graph.input[1].type.tensor_type.shape.dim[0].dim_param = "N"


def _double_reference(model: onnx.ModelProto) -> None:
    model.graph.input[2].type.tensor_type.elem_type = TensorProto.DOUBLE
    cosine = next(node for node in model.graph.node if "cosine" in node.output)
    cosine.input[1] = "reference32"
    where = list(model.graph.node).index(cosine)
    model.graph.node.insert(where, helper.make_node("Cast", ["reference"], ["reference32"], to=TensorProto.FLOAT))


def _double_output(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Cast", ["feature_sum"], ["sum64"], to=TensorProto.DOUBLE))
    model.graph.node.append(helper.make_node("Identity", ["sum64"], ["wide"]))
    del model.graph.output[1]
    model.graph.output.insert(1, helper.make_tensor_value_info("wide", TensorProto.DOUBLE, (6,)))


@pytest.mark.parametrize(
    "change",
    [_rename_input, _rename_output, _drop_output, _add_output, _dynamic_batch, _double_reference, _double_output],
)
def test_open_refuses_when_the_graph_has_another_signature(tmp_path: Path, change: Any) -> None:
    model = _model()
    change(model)
    onnx.checker.check_model(model)
    with pytest.raises(BundleError, match=r"model\.onnx has (in|out)puts .*but the manifest states"):
        _open(tiny.write_bundle(tmp_path, model=model))


@pytest.mark.parametrize(("noise_batch", "dimension", "side"), [(5, 6, 8), (4, 7, 8), (4, 6, 9)])
def test_open_refuses_when_the_graph_has_other_shapes(
    tmp_path: Path, noise_batch: int, dimension: int, side: int
) -> None:
    other = tiny.linear(side=side, dimension=dimension)
    model = tiny.smoothed_model(other, noise_batch=noise_batch, gives_features=True)
    with pytest.raises(BundleError, match=r"model\.onnx has inputs .*but the manifest states"):
        _open(tiny.write_bundle(tmp_path, model=model))


def _external(location: str) -> bytes:
    """The model with its weights in another file."""
    model = _model()
    weights = next(tensor for tensor in model.graph.initializer if tensor.name == "weights")
    onnx.external_data_helper.set_external_data(weights, location=location, offset=0, length=len(weights.raw_data))
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    return bytes(model.SerializeToString())


def _weights() -> bytes:
    return bytes(np.ascontiguousarray(tiny.linear().constants["weights"]).tobytes())


def test_run_equals_numpy_when_the_weights_are_external(tmp_path: Path) -> None:
    data = _external("model.onnx.data") + _weights()
    stated = {
        "external_data": ("model.onnx.data",),
        "sha256": hashlib.sha256(data).hexdigest(),
        "bytes": len(data),
    }
    root = tiny.write_bundle(tmp_path, model=_external("model.onnx.data"), graph=stated)
    (root / "model.onnx.data").write_bytes(_weights())
    block = _block()
    with _open(root) as backend:
        result = backend.run(block)
    expected = tiny.linear().features(block.pixel_values, block.noise) @ block.reference[0]
    np.testing.assert_allclose(result.cosine, expected, atol=2e-6)


def test_open_refuses_when_external_data_lies_outside(tmp_path: Path) -> None:
    (tmp_path / "outside.data").write_bytes(_weights())
    root = tiny.write_bundle(tmp_path / "bundle", model=_external("../outside.data"))
    with pytest.raises(BundleError, match=r"cannot load .*model\.onnx"):
        _open(root)


def test_open_refuses_when_external_data_is_an_absolute_path(tmp_path: Path) -> None:
    outside = tmp_path / "outside.data"
    outside.write_bytes(_weights())
    root = tiny.write_bundle(tmp_path / "bundle", model=_external(str(outside)))
    with pytest.raises(BundleError, match=r"cannot load .*model\.onnx"):
        _open(root)


def test_open_refuses_when_external_data_is_missing(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"cannot load .*model\.onnx"):
        _open(tiny.write_bundle(tmp_path, model=_external("model.onnx.data")))


def test_info_serialises_when_written_to_a_certificate(tmp_path: Path) -> None:
    with _open(tiny.write_bundle(tmp_path)) as backend:
        assert set(msgspec.to_builtins(backend.info)) == {"name", "version", "device"}
