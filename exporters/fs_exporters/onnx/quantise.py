"""An fp32 graph with the encoder's products in int8, by scales that are fixed when the graph is made."""

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static

from fs_exporters.onnx.gemm import as_gemms, own_biases
from fs_exporters.onnx.region import encoder_region

Feed = dict[str, npt.NDArray[np.generic]]


class Feeds(Protocol):
    """Inputs of the graph, one after the other; None at the end."""

    def get_next(self) -> Feed | None:
        """The next one."""


_PRODUCTS = ("Conv", "Gemm", "MatMul")
# Right behind a convolution these cost nothing: their bounds become those of the scale.
_ABSORBED = ("Clip", "Relu")


def quantise(source: Path, target: Path, feeds: Feeds) -> ir.Model:
    """Quantise the products with weights inside a smoothed graph's encoder; everything else stays fp32.

    QDQ format: activations are unsigned 8 bits by tensor, weights signed and symmetric by channel, in 7 bits: two
    products of 8 and 7 bits fit into the 16 that the AVX2 and AVX-512 instructions without VNNI add up in, so the sums
    are exact and the same on every CPU. Scales are constants, so that each draw is encoded by itself. Layer norms,
    softmax, activations, the products of attention, residual sums, and all that lies around the encoder stay fp32.
    Matrix products become Gemms, whose results and biases need no scales of their own: one integer kernel takes int8
    and gives fp32. What convolutions give is quantised, or ONNX Runtime would run them in fp32.

    Args:
        source: an fp32 graph, as :func:`trace` writes it.
        target: where the new graph goes, with its weights in ``TARGET.data``.
        feeds: inputs that show the encoder's usual activations.

    Returns:
        The new graph, whose weights lie in the files.
    """
    model = ir.load(source)
    as_gemms(model.graph, encoder_region(model.graph).nodes)
    own_biases(model.graph, encoder_region(model.graph).nodes)
    nodes = quantised_nodes(model)
    # Beside the source, whose external data it refers to.
    with tempfile.NamedTemporaryFile(dir=source.parent, prefix=f".{source.name}-") as rewritten, _quiet():
        ir.save(model, rewritten.name)
        quantize_static(
            rewritten.name,
            target,
            _Reader(feeds),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=[*_PRODUCTS, *_ABSORBED],
            nodes_to_quantize=nodes,
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            use_external_data_format=True,
            calibrate_method=CalibrationMethod.MinMax,
            calibration_providers=["CPUExecutionProvider"],
            extra_options={"WeightSymmetric": True, "OpTypesToExcludeOutputQuantization": ["Gemm"]},
        )
    return ir.load(target)


def quantised_nodes(model: ir.Model) -> list[str]:
    """Names of the encoder's nodes that become int8."""
    region = encoder_region(model.graph)
    names = []
    for node in region.nodes:
        weights = [value for value in node.inputs[1:] if value is not None and value.is_initializer()]
        if node.op_type in _PRODUCTS and weights:
            names.append(str(node.name))
        before = node.inputs[0].producer() if node.inputs and node.inputs[0] is not None else None
        if node.op_type in _ABSORBED and before is not None and before.op_type == "Conv":
            names.append(str(node.name))
    return names


class _Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
    def __init__(self, feeds: Feeds) -> None:
        self._feeds = feeds

    def get_next(self) -> Feed | None:
        return self._feeds.get_next()


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence advice to fuse operators first, which would take layer norms and the noise's addition apart."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)
