"""An fp32 graph with the encoder in fp16 or bf16, and everything that a certificate or parity needs kept in fp32."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import ml_dtypes
import numpy as np
import onnx
import onnx_ir as ir

from fs_exporters.onnx.region import encoder_region

# Normalisations and reductions lose digits that no later layer can restore; their weights are few. At opset 18 the RMS
# norm is made of single operators, whose squares would overflow fp16 from |x| = 256 on.
_KEPT_OPERATORS = (
    "Pow",
    "LayerNormalization",
    "RMSNormalization",
    "GroupNormalization",
    "InstanceNormalization",
    "Softmax",
    "ReduceMean",
    "ReduceSum",
    "ReduceL2",
    "GlobalAveragePool",
)
_FP16_LARGEST = 65504.0
_NUMPY = {ir.DataType.FLOAT16: np.dtype(np.float16), ir.DataType.BFLOAT16: np.dtype(ml_dtypes.bfloat16)}
_SHORT = {ir.DataType.FLOAT16: "fp16", ir.DataType.BFLOAT16: "bf16", ir.DataType.FLOAT: "fp32"}


def narrow(model: ir.Model, dtype: ir.DataType) -> None:
    """Convert the encoder inside a smoothed graph in place; the rest stays fp32.

    The rest is the addition of the noise and the normalisation, since x + noise must be exact (docs/theory.md section
    8), and the unit norm with all that follows. Inside the encoder layer norms, softmax, reductions, and operators
    that ONNX does not define in ``dtype`` stay fp32. Inputs and outputs stay fp32. Weights are converted one at a time,
    when the graph is written.

    Args:
        model: a traced smoothed graph.
        dtype: ``FLOAT16`` or ``BFLOAT16``.

    Raises:
        RuntimeError: the graph has not the shape that SmoothedGraph gives it.
    """
    graph = model.graph
    region = encoder_region(graph)
    inside = set(region.nodes)
    opset = model.opset_imports[""]
    work = _Conversion(graph, dtype)
    for node in tuple(graph):
        if node not in inside:
            work.feed(node, dict.fromkeys(range(len(node.inputs)), ir.DataType.FLOAT))
            continue
        ports = _narrowable(node, opset, dtype)
        if ports is None:
            work.feed(node, dict.fromkeys(range(len(node.inputs)), ir.DataType.FLOAT))
            continue
        work.feed(node, {index: dtype if index in ports.inputs else ir.DataType.FLOAT for index in ports.all_inputs})
        for index in ports.outputs:
            if node.outputs[index].dtype == ir.DataType.FLOAT:
                node.outputs[index].dtype = dtype
    work.drop_unused()


@dataclass(frozen=True)
class _Ports:
    """Which inputs and outputs of a node change their type."""

    inputs: frozenset[int]
    all_inputs: range
    outputs: tuple[int, ...]


def _narrowable(node: ir.Node, opset: int, dtype: ir.DataType) -> _Ports | None:
    """Which ports become ``dtype``, or None where the node stays fp32."""
    if node.op_type in _KEPT_OPERATORS or node.domain not in ("", "ai.onnx"):
        return None
    if not any(value is not None and _is_float(value) for value in node.inputs):
        return None  # constants, shapes and masks: whoever reads them casts
    schema = onnx.defs.get_schema(node.op_type, opset)
    wanted = f"tensor({dtype.name.lower()})"
    free = {item.type_param_str for item in schema.type_constraints if wanted in item.allowed_type_strs}
    inputs = [
        index
        for index, value in enumerate(node.inputs)
        if value is not None and _is_float(value) and _formal(schema.inputs, index).type_str in free
    ]
    if not inputs:
        return None
    if node.op_type == "Cast":
        return _Ports(frozenset(inputs), range(len(node.inputs)), ())
    outputs = tuple(index for index in range(len(node.outputs)) if _formal(schema.outputs, index).type_str in free)
    return _Ports(frozenset(inputs), range(len(node.inputs)), outputs)


def _formal(
    parameters: "Sequence[onnx.defs.OpSchema.FormalParameter]", index: int
) -> "onnx.defs.OpSchema.FormalParameter":
    """The declared parameter at ``index``; the last one may stand for many."""
    return parameters[min(index, len(parameters) - 1)]


def _is_float(value: ir.Value) -> bool:
    return value.dtype in (ir.DataType.FLOAT, *_NUMPY)


@dataclass
class _Conversion:
    """Hands nodes their inputs in the type they want, making each cast and each converted weight once."""

    graph: ir.Graph
    dtype: ir.DataType
    made: dict[tuple[ir.Value, ir.DataType], ir.Value] = field(default_factory=dict)
    replaced: list[ir.Value] = field(default_factory=list)

    def feed(self, node: ir.Node, wanted: dict[int, ir.DataType]) -> None:
        """Replace the float inputs of ``node`` that have another type than wanted."""
        for index, dtype in wanted.items():
            value = node.inputs[index]
            if value is not None and _is_float(value) and value.dtype != dtype:
                node.replace_input_with(index, self._as(value, dtype, node))

    def _as(self, value: ir.Value, dtype: ir.DataType, reader: ir.Node) -> ir.Value:
        key = (value, dtype)
        if key not in self.made:
            self.made[key] = self._weight(value, dtype) if value.is_initializer() else self._cast(value, dtype, reader)
        return self.made[key]

    def _cast(self, value: ir.Value, dtype: ir.DataType, reader: ir.Node) -> ir.Value:
        name = f"{value.name}_{_SHORT[dtype]}"
        cast = ir.node("Cast", [value], {"to": dtype}, name=f"cast_{name}")
        cast.outputs[0].name, cast.outputs[0].dtype, cast.outputs[0].shape = name, dtype, value.shape
        self.graph.insert_before(reader, cast)
        return cast.outputs[0]

    def _weight(self, value: ir.Value, dtype: ir.DataType) -> ir.Value:
        tensor = value.const_value
        if tensor is None:
            raise RuntimeError(f"the weight {value.name} has no values")
        name = f"{value.name}_{_SHORT[dtype]}"
        lazy = ir.LazyTensor(lambda: _converted(tensor, dtype), dtype, ir.Shape(tensor.shape.numpy()), name=name)
        made = ir.Value(name=name, shape=value.shape, type=ir.TensorType(dtype), const_value=lazy)
        self.graph.register_initializer(made)
        self.replaced.append(value)
        return made

    def drop_unused(self) -> None:
        """Remove the fp32 weights that nothing reads any more."""
        for value in self.replaced:
            if not value.uses() and not value.is_graph_output():
                del self.graph.initializers[str(value.name)]


def _converted(tensor: ir.TensorProtocol, dtype: ir.DataType) -> ir.TensorProtocol:
    values = tensor.numpy()
    if dtype == ir.DataType.FLOAT16:
        # What is too large for fp16 becomes its largest number; infinite masks stay infinite.
        values = np.where(np.isinf(values), values, values.clip(-_FP16_LARGEST, _FP16_LARGEST))
    return ir.Tensor(values.astype(_NUMPY[dtype]), dtype=dtype)
