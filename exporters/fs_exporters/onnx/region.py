"""Which part of a smoothed graph is the encoder: the only part whose precision is a choice."""

from dataclasses import dataclass

import onnx_ir as ir


@dataclass(frozen=True)
class EncoderRegion:
    """The encoder inside a smoothed graph.

    Attributes:
        normalised: what enters it: the noisy pixels, after the model's own normalisation.
        raw: what leaves it: the raw feature, before unit norm and reductions.
        nodes: its nodes, in the graph's order.
    """

    normalised: ir.Value
    raw: ir.Value
    nodes: tuple[ir.Node, ...]


def encoder_region(graph: ir.Graph) -> EncoderRegion:
    """Find the encoder between the normalisation and the unit norm that SmoothedGraph puts around it.

    Raises:
        RuntimeError: the graph has not the shape that SmoothedGraph gives it.
    """
    normalised, raw = _normalised(graph), _raw(graph)
    needed: set[ir.Node] = set()
    waiting = [raw.producer()]
    while waiting:
        node = waiting.pop()
        if node is None or node in needed:
            continue
        needed.add(node)
        waiting.extend(value.producer() for value in node.inputs if value is not None and value is not normalised)
    return EncoderRegion(normalised, raw, tuple(node for node in graph if node in needed))


def _normalised(graph: ir.Graph) -> ir.Value:
    """The tensor that enters the encoder, after the noise is added and the sum normalised."""
    (value,) = (value for value in graph.inputs if value.name == "noise")
    for operator in ("Add", "Sub", "Div"):
        consumers = value.consumers()
        if len(consumers) != 1 or consumers[0].op_type != operator:
            raise RuntimeError(f"after {value.name!r} the graph has {[n.op_type for n in consumers]}, not {operator}")
        value = consumers[0].outputs[0]
    return value


def _raw(graph: ir.Graph) -> ir.Value:
    """The raw feature: what is divided by its norm."""
    (raw_norm,) = (value for value in graph.outputs if value.name == "raw_norm")
    spread = {node.outputs[0] for node in raw_norm.consumers() if node.op_type == "Unsqueeze"}
    divided = {node.inputs[0] for value in spread for node in value.consumers() if node.op_type == "Div"}
    if len(divided) != 1 or (raw := divided.pop()) is None:
        raise RuntimeError(f"raw_norm divides {[value and value.name for value in divided]}, not one raw feature")
    return raw
