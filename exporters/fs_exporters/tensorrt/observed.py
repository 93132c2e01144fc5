"""What precision a network really has, read back from its tensors: what was asked for proves nothing.

A plan can be inspected only where a GPU can open it. A strongly typed network runs in the types of its tensors, so
these are read where there is none.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from fs_exporters.parity import ParityError
from fs_runtime.bundle.manifest import Precision

_BY_TYPE: dict[str, Precision] = {"FLOAT": "fp32", "HALF": "fp16", "BF16": "bf16", "INT8": "int8"}
_WEIGHTED = ("CONVOLUTION", "DECONVOLUTION", "MATRIX_MULTIPLY")
_PASSED_THROUGH = ("SHUFFLE", "CAST", "UNSQUEEZE", "SQUEEZE", "DEQUANTIZE", "QUANTIZE")


@dataclass(frozen=True)
class ObservedPrecision:
    """The precision of a network.

    Attributes:
        precision: of most of its layers with weights.
        layers: how many these are.
        of: how many layers have weights.
    """

    precision: Precision
    layers: int
    of: int

    def __str__(self) -> str:
        return f"{self.precision} in {self.layers} of {self.of} layers with weights"


def observed_precision(network: Any) -> ObservedPrecision:
    """Read the precision back from the tensors of a parsed network.

    Raises:
        ParityError: the noise is not added in fp32, without which no certificate holds (docs/theory.md section 8).
    """
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    made_by = {layer.get_output(index).name: layer for layer in layers for index in range(layer.num_outputs)}
    _check_noise_addition(layers)
    found = Counter(_precision(layer, made_by) for layer in layers if _has_weights(layer, made_by))
    if not found:  # nothing is multiplied by weights, so nothing was narrowed unless some tensor is
        found = Counter(_BY_TYPE.get(_dtype(layer.get_output(0)), "fp32") for layer in layers)
    precision, count = found.most_common(1)[0]
    return ObservedPrecision(precision, count, found.total())


def _check_noise_addition(layers: list[Any]) -> None:
    """The noise enters one addition of fp32 tensors, and nothing else sees it."""
    readers = [layer for layer in layers if "noise" in [tensor.name for tensor in _inputs(layer)]]
    if len(readers) != 1 or _kind(readers[0]) != "ELEMENTWISE":
        raise ParityError(f"the noise enters {[layer.name for layer in readers]}, not one addition: export it again")
    types = {_dtype(tensor) for tensor in (*_inputs(readers[0]), readers[0].get_output(0))}
    if types != {"FLOAT"}:
        raise ParityError(f"the noise is added in {sorted(types)}, not in fp32: export it again")


def _has_weights(layer: Any, made_by: dict[str, Any]) -> bool:
    kind = _kind(layer)
    if kind not in _WEIGHTED:
        return False
    return kind != "MATRIX_MULTIPLY" or any(_is_constant(tensor, made_by) for tensor in _inputs(layer))


def _is_constant(tensor: Any, made_by: dict[str, Any]) -> bool:
    layer = made_by.get(tensor.name)
    while layer is not None and _kind(layer) in _PASSED_THROUGH:
        layer = made_by.get(layer.get_input(0).name)
    return layer is not None and _kind(layer) == "CONSTANT"


def _precision(layer: Any, made_by: dict[str, Any]) -> Precision:
    makers = [made_by.get(tensor.name) for tensor in _inputs(layer)]
    if any(maker is not None and _kind(maker) == "DEQUANTIZE" for maker in makers):
        return "int8"
    return _BY_TYPE.get(_dtype(layer.get_output(0)), "fp32")


def _inputs(layer: Any) -> list[Any]:
    return [tensor for index in range(layer.num_inputs) if (tensor := layer.get_input(index)) is not None]


def _kind(layer: Any) -> str:
    return str(layer.type.name)


def _dtype(tensor: Any) -> str:
    return str(tensor.dtype.name)
