"""A tiny face embedder as SFace is built, in an ONNX file, with int8 weights in blocks; run by ONNX Runtime."""

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper

FILE = "model.onnx"


def write(folder: Path, side: int) -> None:
    """The network and the preprocessor_config.json beside it."""
    random = np.random.Generator(np.random.Philox(3))
    tensors: dict[str, npt.NDArray[np.generic]] = {"half": np.array([127.5], np.float32)}
    tensors["unit"] = np.array([1 / 128], np.float32)
    nodes = [
        helper.make_node("Sub", ["data", "half"], ["centred"]),
        helper.make_node("Mul", ["centred", "unit"], ["scaled"]),
    ]
    tensors["quantized"] = random.integers(-127, 127, (8, 27)).astype(np.int8)
    tensors["scales"] = random.uniform(0.001, 0.003, (8, 3)).astype(np.float32)
    tensors["zeros"] = np.zeros((8, 3), np.int8)
    tensors["shape"] = np.array([8, 3, 3, 3])
    nodes.append(helper.make_node("DequantizeLinear", ["quantized", "scales", "zeros"], ["flat"], axis=1, block_size=9))
    nodes.append(helper.make_node("Reshape", ["flat", "shape"], ["first"]))
    tensors["depth"] = random.normal(0, 0.4, (8, 1, 3, 3)).astype(np.float32)
    tensors["point"] = random.normal(0, 0.4, (12, 8, 1, 1)).astype(np.float32)
    last = "scaled"
    for weight, channels, group, stride in (("first", 8, 1, 2), ("depth", 8, 8, 1), ("point", 12, 1, 2)):
        pad = 0 if weight == "point" else 1
        attributes = {"group": group, "strides": [stride] * 2, "pads": [pad] * 4}
        nodes.append(helper.make_node("Conv", [last, weight], [f"{weight}_conv"], **attributes))
        parts = {"scale": (0.7, 1.3), "bias": (-0.2, 0.2), "mean": (-0.1, 0.1), "var": (0.5, 1.5)}
        for part, (low, high) in parts.items():
            tensors[f"{weight}_{part}"] = random.uniform(low, high, channels).astype(np.float32)
        names = [f"{weight}_{part}" for part in parts]
        nodes.append(
            helper.make_node("BatchNormalization", [f"{weight}_conv", *names], [f"{weight}_norm"], epsilon=1e-3)
        )
        tensors[f"{weight}_slope"] = random.uniform(0.1, 0.4, (channels, 1, 1)).astype(np.float32)
        nodes.append(helper.make_node("PRelu", [f"{weight}_norm", f"{weight}_slope"], [f"{weight}_act"]))
        last = f"{weight}_act"
    places = 12 * (side // 4) ** 2
    tensors["dense"] = random.normal(0, places**-0.5, (16, places)).astype(np.float32)
    tensors["dense_bias"] = random.normal(0, 0.1, 16).astype(np.float32)
    nodes.append(helper.make_node("Flatten", [last], ["flattened"]))
    nodes.append(helper.make_node("Gemm", ["flattened", "dense", "dense_bias"], ["feature"], transB=1))
    graph = helper.make_graph(
        nodes,
        "face",
        [helper.make_tensor_value_info("data", TensorProto.FLOAT, [1, 3, side, side])],
        [helper.make_tensor_value_info("feature", TensorProto.FLOAT, [1, 16])],
        [numpy_helper.from_array(value, name) for name, value in tensors.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    onnx.save_model(model, folder / FILE)
    settings = {"do_resize": True, "size": {"height": side, "width": side}, "resample": 2, "do_normalize": True}
    kind = {"image_processor_type": "ViTImageProcessor", "image_mean": [0, 0, 0], "image_std": [1 / 255] * 3}
    (folder / "preprocessor_config.json").write_text(json.dumps({**settings, **kind}))


def expected(folder: Path, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
    """The feature by ONNX Runtime, which takes one image at a time."""
    session = onnxruntime.InferenceSession(folder / FILE, providers=["CPUExecutionProvider"])
    rows = [session.run(None, {"data": image[None].numpy()})[0] for image in pixels]
    return {"pooled": torch.from_numpy(np.concatenate(rows))}
