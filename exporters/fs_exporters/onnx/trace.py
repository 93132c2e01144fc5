"""From a module to a checked ONNX file."""

import logging
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import onnx
import onnx_ir as ir
import torch
from torch import nn

from fs_exporters.onnx.narrow import narrow
from fs_exporters.onnx.share import share_weights
from fs_runtime.bundle.manifest import Precision, Tensor

OPSET = 18
"""Of graphs for ONNX Runtime: LayerNormalization is one operator from 17 on."""

OPSETS: dict[Precision, int] = {"fp32": OPSET, "fp16": OPSET, "bf16": 22}
"""Convolutions and pooling know bf16 from opset 22 on."""

_NARROW = {"fp16": ir.DataType.FLOAT16, "bf16": ir.DataType.BFLOAT16}
_LARGEST_INLINE = 100_000_000
"""Bytes of weights beyond which they go to an external data file, which is written and mapped without copies of it all;
protobuf itself stops at 2 GiB."""
_IN_FLIGHT = 1 << 28

NAME_SCOPES = "pkg.torch.onnx.name_scopes"
"""A node's metadata that names the module it was traced from."""


def trace(
    module: nn.Module,
    inputs: tuple[Tensor, ...],
    outputs: tuple[Tensor, ...],
    path: Path,
    *,
    metadata: Mapping[str, str],
    precision: Precision = "fp32",
    sharing: Path | None = None,
) -> tuple[str, ...]:
    """Trace ``module``, check the graph, and write it.

    Weights are written one at a time, straight from the module: no copy of them all is made.

    Args:
        module: in evaluation mode.
        inputs: names and static shapes.
        outputs: names and the shapes that the graph must have.
        path: where the ONNX file goes.
        metadata: key facts, mirrored in ``metadata_props``.
        precision: of the encoder inside; everything around it is fp32. Not int8, which needs an fp32 graph and images.
        sharing: a graph beside ``path`` whose external data this one shall take equal weights from.

    Returns:
        Names of the external data files beside ``path``, if any.

    Raises:
        RuntimeError: the traced graph does not have the stated inputs and outputs.
    """
    if precision not in OPSETS:
        raise ValueError(f"cannot trace at precision {precision!r}")
    example = tuple(torch.zeros(tensor.shape, dtype=getattr(torch, tensor.dtype)) for tensor in inputs)
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            module,
            example,
            dynamo=True,
            opset_version=OPSETS[precision],
            input_names=[tensor.name for tensor in inputs],
            output_names=[tensor.name for tensor in outputs],
            verbose=False,
        )
    if program is None:
        raise RuntimeError("torch.onnx.export gave no program")
    model = program.model
    _strip_traces(model)
    if precision != "fp32":
        narrow(model, _NARROW[precision])
    model.metadata_props.update(metadata)
    shared = None if sharing is None else share_weights(model, sharing)
    return write_graph(model, path, inputs, outputs, shared=shared)


def write_graph(
    model: ir.Model,
    path: Path,
    inputs: tuple[Tensor, ...],
    outputs: tuple[Tensor, ...],
    *,
    shared: str | None = None,
) -> tuple[str, ...]:
    """Write a graph, large weights to a file beside it, and check it; arguments and result as of :func:`trace`.

    ``shared`` is the external data, beside ``path``, that some weights lie in already.
    """
    external = _save(model, path, shared)
    onnx.checker.check_model(str(path), full_check=True)
    _check_signature(onnx.load(path, load_external_data=False), inputs, outputs)
    return external


def _save(model: ir.Model, path: Path, shared: str | None) -> tuple[str, ...]:
    tensors = [value.const_value for value in model.graph.initializers.values() if value.const_value]
    if shared is not None and _bytes(each for each in tensors if not _lies_in(each, shared)) <= _LARGEST_INLINE:
        ir.save(model, path)
        return (shared,)
    if _bytes(tensors) <= _LARGEST_INLINE:
        ir.external_data.load_to_model(model)  # or weights of a graph that was read would stay where they are
        ir.save(model, path)
        return ()
    data = path.name + ".data"
    ir.save(model, path, external_data=data, max_in_flight_bytes=_IN_FLIGHT)
    return (data,)


def _bytes(tensors: Iterable[ir.TensorProtocol]) -> int:
    return sum(tensor.nbytes for tensor in tensors)


def _lies_in(tensor: ir.TensorProtocol, file: str) -> bool:
    return isinstance(tensor, ir.ExternalTensor) and str(tensor.location) == file


def _strip_traces(model: ir.Model) -> None:
    """Drop the Python stack traces that the exporter leaves on every node: they name files of the build machine.

    The names of the modules stay, for whoever must say where a node comes from.
    """
    graph = model.graph
    for node in graph:
        for key in [key for key in node.metadata_props if key != NAME_SCOPES]:
            del node.metadata_props[key]
        node.doc_string = None
    for value in (*(output for node in graph for output in node.outputs), *graph.inputs, *graph.initializers.values()):
        value.metadata_props.clear()
        value.doc_string = None
    graph.metadata_props.clear()
    graph.doc_string = None


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
    """Silence what the exporter says of libraries that are absent on purpose and of constants that it leaves."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
