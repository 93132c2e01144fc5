"""Letting a second graph of a bundle take its weights from the first one's external data."""

from dataclasses import dataclass
from pathlib import Path

import onnx_ir as ir

_SMALLEST = 1024


@dataclass(frozen=True)
class _Place:
    location: str
    offset: int
    length: int


def share_weights(model: ir.Model, other: Path) -> str | None:
    """Point weights of ``model`` at equal ones in the external data of the graph ``other``.

    Args:
        model: not written yet; to be written beside ``other``.
        other: an ONNX file with external data; others share nothing.

    Returns:
        Name of the external data file that ``model`` needs now, or None.
    """
    places: dict[tuple[str, tuple[int, ...], ir.DataType], tuple[ir.ExternalTensor, _Place]] = {}
    for value in ir.load(other).graph.initializers.values():
        tensor = value.const_value
        if isinstance(tensor, ir.ExternalTensor) and tensor.offset is not None and tensor.length is not None:
            place = _Place(str(tensor.location), tensor.offset, tensor.length)
            places[str(value.name), tuple(tensor.shape.numpy()), tensor.dtype] = tensor, place
    used: str | None = None
    for value in model.graph.initializers.values():
        own = value.const_value
        if own is None or own.nbytes < _SMALLEST:
            continue
        found = places.get((str(value.name), tuple(own.shape.numpy()), own.dtype))
        if found is None or found[0].tobytes() != own.tobytes():
            continue
        place = found[1]
        value.const_value = ir.ExternalTensor(
            place.location,
            place.offset,
            place.length,
            own.dtype,
            shape=ir.Shape(own.shape.numpy()),
            name=str(value.name),
            base_dir=other.parent,
        )
        used = place.location
    return used
