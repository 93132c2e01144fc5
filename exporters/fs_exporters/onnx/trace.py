"""From a module to a checked ONNX file."""

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import onnx
import torch
from torch import nn

from fs_exporters.onnx.half import to_fp16
from fs_runtime.bundle.manifest import Precision, Tensor

OPSET = 18
_LARGEST_INLINE = 1_500_000_000
"""Bytes of weights beyond which they go to an external data file; protobuf itself stops at 2 GiB."""


def trace(
    module: nn.Module,
    inputs: tuple[Tensor, ...],
    outputs: tuple[Tensor, ...],
    path: Path,
    *,
    metadata: Mapping[str, str],
    precision: Precision = "fp32",
) -> tuple[str, ...]:
    """Trace ``module``, check the graph, and write it.

    Args:
        module: in evaluation mode.
        inputs: names and static shapes.
        outputs: names and the shapes that the graph must have.
        path: where the ONNX file goes.
        metadata: key facts, mirrored in ``metadata_props``.
        precision: of the encoder inside; everything around it is fp32.

    Returns:
        Names of the external data files beside ``path``, if any.

    Raises:
        RuntimeError: the traced graph does not have the stated inputs and outputs.
    """
    example = tuple(torch.zeros(tensor.shape, dtype=getattr(torch, tensor.dtype)) for tensor in inputs)
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            module,
            example,
            dynamo=True,
            opset_version=OPSET,
            input_names=[tensor.name for tensor in inputs],
            output_names=[tensor.name for tensor in outputs],
            verbose=False,
        )
    if program is None:
        raise RuntimeError("torch.onnx.export gave no program")
    model = program.model_proto
    _strip_traces(model.graph)
    if precision == "fp16":
        model = to_fp16(model)
    elif precision != "fp32":
        raise ValueError(f"cannot trace at precision {precision!r}")
    onnx.helper.set_model_props(model, dict(metadata))
    external = _save(model, path)
    onnx.checker.check_model(str(path), full_check=True)
    _check_signature(onnx.load(path, load_external_data=False), inputs, outputs)
    return external


def _save(model: onnx.ModelProto, path: Path) -> tuple[str, ...]:
    if model.ByteSize() <= _LARGEST_INLINE:
        onnx.save_model(model, path)
        return ()
    data = path.name + ".data"
    onnx.save_model(model, path, save_as_external_data=True, all_tensors_to_one_file=True, location=data)
    return (data,)


def _strip_traces(graph: onnx.GraphProto) -> None:
    """Drop the Python stack traces that the exporter leaves on every node: they name files of the build machine."""
    for part in (*graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""
    del graph.metadata_props[:]


def _check_signature(model: onnx.ModelProto, inputs: tuple[Tensor, ...], outputs: tuple[Tensor, ...]) -> None:
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    for kind, stated, found in (("input", inputs, inferred.input), ("output", outputs, inferred.output)):
        expected = [(tensor.name, tuple(tensor.shape)) for tensor in stated]
        actual = [(value.name, _shape(value)) for value in found]
        if actual != expected:
            raise RuntimeError(f"the traced graph has {kind}s {actual}, not {expected}")


def _shape(value: onnx.ValueInfoProto) -> tuple[int | str, ...]:
    return tuple(
        side.dim_value if side.HasField("dim_value") else side.dim_param for side in value.type.tensor_type.shape.dim
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what the exporter says of libraries that are absent on purpose."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
