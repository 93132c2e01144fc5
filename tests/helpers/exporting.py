"""Exports in tests: what the exporter of torch reads anew each time is read once a process."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from torch.onnx._internal.exporter import _registration as registration


@contextmanager
def operators_read_once() -> Iterator[None]:
    """As long as the context lasts, the table of operators is made once for each opset.

    Each export parses the source of some 500 operators for it, which takes as long as all the rest of a tiny export.
    Every export gets a table of its own all the same, so that none can change another's.
    """
    read = registration.ONNXRegistry.from_torchlib
    made: dict[Any, registration.ONNXRegistry] = {}

    def from_torchlib(*arguments: Any, **named: Any) -> registration.ONNXRegistry:
        key = (arguments, *named.items())
        if key not in made:
            made[key] = read(*arguments, **named)
        table = copy.copy(made[key])
        table.functions = {name: list(functions) for name, functions in table.functions.items()}
        return table

    with mock.patch.object(registration.ONNXRegistry, "from_torchlib", staticmethod(from_torchlib)):
        yield
