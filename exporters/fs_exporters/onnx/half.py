"""An fp32 graph as fp16, with everything that a certificate or parity needs kept in fp32."""

import warnings
from collections.abc import MutableSequence

import onnx
from onnx import TensorProto, helper
from onnx.utils import Extractor
from onnxconverter_common import float16

# Normalisations and reductions lose digits that no later layer can restore; their weights are few.
_KEPT_OPERATORS = (
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
_SMALLEST = 5.96e-8  # below it fp16 has nothing but zero
_LARGEST = 65504.0


def to_fp16(model: onnx.ModelProto) -> onnx.ModelProto:
    """Convert the encoder inside a smoothed graph; the rest stays fp32.

    The rest is the addition of the noise and the normalisation, since x + noise must be exact (docs/theory.md section
    8), and the unit norm with all that follows. Inside the encoder layer norms, softmax and reductions stay fp32.
    Inputs and outputs stay fp32.

    Raises:
        RuntimeError: the graph has not the shape that SmoothedGraph gives it.
    """
    inferred = onnx.shape_inference.infer_shapes(model)
    normalised = _normalised(inferred.graph)
    after, raw = _epilogue(inferred.graph)
    inside = Extractor(inferred).extract_model([normalised], [raw])
    apart = {node.output[0] for node in (*inside.graph.node, *after)}
    before = [node for node in inferred.graph.node if node.output[0] not in apart]
    encoder = _half(inside)

    half_in, half_out = f"{normalised}_fp16", f"{raw}_fp16"
    for node in encoder.node:
        _rename(node.input, {normalised: half_in, raw: half_out})
        _rename(node.output, {raw: half_out})
    converted = onnx.ModelProto()
    converted.CopyFrom(model)
    graph = converted.graph
    used = {name for node in (*before, *after) for name in node.input}
    kept = [tensor for tensor in model.graph.initializer if tensor.name in used]
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(before)
    graph.node.append(helper.make_node("Cast", [normalised], [half_in], name="to_fp16", to=TensorProto.FLOAT16))
    graph.node.extend(encoder.node)
    graph.node.append(helper.make_node("Cast", [half_out], [raw], name="to_fp32", to=TensorProto.FLOAT))
    graph.node.extend(after)
    graph.initializer.extend(kept)
    graph.initializer.extend(encoder.initializer)
    return converted


def _half(encoder: onnx.ModelProto) -> onnx.GraphProto:
    _separate_weights(encoder.graph)
    with warnings.catch_warnings():
        # It warns of every weight that fp16 rounds to zero; parity judges the result.
        warnings.simplefilter("ignore")
        converted: onnx.ModelProto = float16.convert_float_to_float16(
            encoder,
            min_positive_val=_SMALLEST,
            max_finite_val=_LARGEST,
            op_block_list=[*float16.DEFAULT_OP_BLOCK_LIST, *_KEPT_OPERATORS],
        )
    return converted.graph


def _separate_weights(graph: onnx.GraphProto) -> None:
    """Give weights that stay fp32, that become fp16, and those outside the encoder names of their own.

    The exporter merges equal tensors, so that one name can serve all three.
    """
    weights = {tensor.name: tensor for tensor in graph.initializer}
    separate: dict[str, onnx.TensorProto] = {}
    for node in graph.node:
        region = "fp32" if node.op_type in _KEPT_OPERATORS else "fp16"
        names = {name: f"{name}_{region}" for name in node.input if name in weights}
        for name, new in names.items():
            if new not in separate:
                separate[new] = onnx.TensorProto()
                separate[new].CopyFrom(weights[name])
                separate[new].name = new
        _rename(node.input, names)
    del graph.initializer[:]
    graph.initializer.extend(separate.values())


def _normalised(graph: onnx.GraphProto) -> str:
    """The tensor that enters the encoder, after the noise is added and the sum normalised."""
    tensor = "noise"
    for operator in ("Add", "Sub", "Div"):
        consumers = [node for node in graph.node if tensor in node.input]
        if len(consumers) != 1 or consumers[0].op_type != operator:
            raise RuntimeError(f"after {tensor!r} the graph has {[node.op_type for node in consumers]}, not {operator}")
        tensor = consumers[0].output[0]
    return tensor


def _epilogue(graph: onnx.GraphProto) -> tuple[list[onnx.NodeProto], str]:
    """All nodes that come after the raw feature, and that feature's tensor."""
    raw = _raw(graph)
    reached, nodes = {raw}, []
    for node in graph.node:  # ONNX keeps nodes in topological order
        if reached.intersection(node.input):
            reached.update(node.output)
            nodes.append(node)
    return nodes, raw


def _raw(graph: onnx.GraphProto) -> str:
    """The raw feature: what the norm is of, before the cast to fp64 that tokens have around it."""
    made_by = {output: node for node in graph.node for output in node.output}
    norm = made_by.get("raw_norm")
    if norm is not None and norm.op_type == "Cast":
        norm = made_by.get(norm.input[0])
    if norm is None or norm.op_type != "ReduceL2":
        raise RuntimeError("raw_norm is not the norm of anything in the graph")
    widened = made_by.get(norm.input[0])
    raw: str = widened.input[0] if widened is not None and _widens(widened) else norm.input[0]
    return raw


def _widens(node: onnx.NodeProto) -> bool:
    return node.op_type == "Cast" and any(
        attribute.name == "to" and attribute.i == TensorProto.DOUBLE for attribute in node.attribute
    )


def _rename(names: MutableSequence[str], to: dict[str, str]) -> None:
    for index, name in enumerate(names):
        names[index] = to.get(name, name)
