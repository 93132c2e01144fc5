"""A convolutional network of an ONNX file as a module of PyTorch, node by node."""

from collections.abc import Callable, Mapping
from typing import Any

import onnx
import torch
from onnx.reference import ReferenceEvaluator
from torch import nn
from torch.nn import functional

from fs_runtime.errors import InputError

_Attributes = Mapping[str, Any]
# The attributes that an operator may have. None: any value, as it is followed or changes nothing; else the one value
# that is computed here.
_FOLLOWED: dict[str, dict[str, Any]] = {
    "BatchNormalization": {"epsilon": None, "momentum": None, "spatial": 1, "training_mode": 0, "is_test": 1},
    "Conv": dict.fromkeys(("auto_pad", "dilations", "group", "kernel_shape", "pads", "strides")),
    "Dropout": {"ratio": None, "seed": None, "is_test": 1},
    "Flatten": {"axis": 1},
    "Gemm": {"alpha": None, "beta": None, "transA": None, "transB": None},
    "MaxPool": {
        **dict.fromkeys(("auto_pad", "ceil_mode", "kernel_shape", "pads", "storage_order", "strides")),
        "dilations": [1, 1],
    },
}


class OnnxNetwork(nn.Module):
    """Runs the nodes that depend on the image; what depends on weights alone is computed once."""

    def __init__(self, model: onnx.ModelProto, name: str) -> None:
        """Take the network of ``model``, which error messages call ``name``.

        Raises:
            InputError: the graph has an operator or an attribute that is not known here, or not one image in and one
                feature out.
        """
        super().__init__()
        graph = model.graph
        weights = {tensor.name for tensor in graph.initializer}
        used = {value for node in graph.node for value in node.input}
        images = [value.name for value in graph.input if value.name in used and value.name not in weights]
        if len(images) != 1 or len(graph.output) != 1:
            raise InputError(f"{name} has inputs {images}: an encoder takes one image and gives one feature")
        self.image, self.feature = images[0], graph.output[0].name
        alive, reached = [], {self.image}
        for node in graph.node:
            if reached.intersection(node.input):
                alive.append(node)
                reached.update(node.output)
        unknown = sorted({node.op_type for node in alive} - set(_OPERATORS))
        if unknown:
            raise InputError(f"{name} has the operators {', '.join(unknown)}, which this adapter does not know")
        for node in alive:
            _check_attributes(node, name)
        self._steps = [(node.op_type, list(node.input), node.output[0], _attributes(node)) for node in alive]
        needed = {value for node in alive for value in node.input} - reached - {""}
        constants = _constants(model, sorted(needed))
        self._place = {tensor: index for index, tensor in enumerate(constants)}
        self.weights = nn.ParameterList([nn.Parameter(value, requires_grad=False) for value in constants.values()])

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """The feature [B, D] of images [B, 3, H, W]."""
        known: dict[str, torch.Tensor] = {tensor: self.weights[index] for tensor, index in self._place.items()}
        known[self.image] = image
        for operator, inputs, output, attributes in self._steps:
            known[output] = _OPERATORS[operator]([known[name] for name in inputs if name], attributes)
        return known[self.feature].flatten(1)


def _constants(model: onnx.ModelProto, names: list[str]) -> dict[str, torch.Tensor]:
    """The tensors that depend on weights alone."""
    weights = {tensor.name for tensor in model.graph.initializer}
    made: set[str] = set(weights)
    nodes = []
    for node in model.graph.node:
        if all(name in made or not name for name in node.input):
            nodes.append(node)
            made.update(node.output)
    outputs = [onnx.helper.make_empty_tensor_value_info(name) for name in names]
    graph = onnx.helper.make_graph(nodes, "constants", [], outputs, list(model.graph.initializer))
    part = onnx.helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    values = ReferenceEvaluator(part).run(None, {}) if names else []
    return {name: torch.tensor(value) for name, value in zip(names, values, strict=True)}


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    return {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}


def _check_attributes(node: onnx.NodeProto, name: str) -> None:
    """Refuse what the operator here would ignore."""
    followed = _FOLLOWED.get(node.op_type, {})
    for key, value in _attributes(node).items():
        if key not in followed or followed[key] not in (None, value):
            raise InputError(
                f"{name} has {node.op_type} with {key} {value!r}, which this adapter does not follow: export the "
                "network for inference without it"
            )


def _convolution(inputs: list[torch.Tensor], attributes: _Attributes) -> torch.Tensor:
    image, weight, *bias = inputs
    return functional.conv2d(
        _padded(image, attributes, 0.0),
        weight,
        bias[0] if bias else None,
        stride=attributes.get("strides", 1),
        dilation=attributes.get("dilations", 1),
        groups=attributes.get("group", 1),
    )


def _largest(inputs: list[torch.Tensor], attributes: _Attributes) -> torch.Tensor:
    image = _padded(inputs[0], attributes, float("-inf"))
    return functional.max_pool2d(image, attributes["kernel_shape"], attributes.get("strides", 1))


def _padded(image: torch.Tensor, attributes: _Attributes, fill: float) -> torch.Tensor:
    if attributes.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID") or attributes.get("ceil_mode"):
        raise InputError("an ONNX network with auto_pad or ceil_mode cannot be taken: export it with explicit pads")
    top, left, bottom, right = attributes.get("pads", (0, 0, 0, 0))
    return functional.pad(image, (left, right, top, bottom), value=fill) if any((top, left, bottom, right)) else image


def _normalised(inputs: list[torch.Tensor], attributes: _Attributes) -> torch.Tensor:
    image, scale, bias, mean, variance = inputs
    return functional.batch_norm(image, mean, variance, scale, bias, eps=attributes.get("epsilon", 1e-5))


def _kept(inputs: list[torch.Tensor], _: _Attributes) -> torch.Tensor:
    if any(bool(value.any()) for value in inputs[1:] if value.dtype == torch.bool):
        raise InputError("an ONNX network whose Dropout has training_mode cannot be taken: export it for inference")
    return inputs[0]


def _prelu(inputs: list[torch.Tensor], _: _Attributes) -> torch.Tensor:
    image, slope = inputs
    return functional.prelu(image, slope.flatten())


def _product(inputs: list[torch.Tensor], attributes: _Attributes) -> torch.Tensor:
    first, second, *bias = inputs
    first = first.T if attributes.get("transA") else first
    second = second.T if attributes.get("transB") else second
    product: torch.Tensor = attributes.get("alpha", 1.0) * (first @ second)
    return product + attributes.get("beta", 1.0) * bias[0] if bias else product


_OPERATORS: dict[str, Callable[[list[torch.Tensor], _Attributes], torch.Tensor]] = {
    "Add": lambda inputs, _: inputs[0] + inputs[1],
    "BatchNormalization": _normalised,
    "Conv": _convolution,
    "Div": lambda inputs, _: inputs[0] / inputs[1],
    "Dropout": _kept,
    "Flatten": lambda inputs, _: inputs[0].flatten(1),
    "Gemm": _product,
    "GlobalAveragePool": lambda inputs, _: inputs[0].mean((2, 3), keepdim=True),
    "Identity": lambda inputs, _: inputs[0],
    "MatMul": lambda inputs, _: inputs[0] @ inputs[1],
    "MaxPool": _largest,
    "Mul": lambda inputs, _: inputs[0] * inputs[1],
    "PRelu": _prelu,
    "Relu": lambda inputs, _: torch.relu(inputs[0]),
    "Sub": lambda inputs, _: inputs[0] - inputs[1],
}
