"""Where a graph runs, as it is asked for: ``cpu``, ``cuda`` or ``cuda:1``."""

import re
from dataclasses import dataclass
from typing import Literal

from fs_runtime.errors import BackendError

_FORM = re.compile(r"cpu|cuda(?::([0-9]{1,3}))?")


@dataclass(frozen=True)
class Device:
    """A place for a graph.

    Attributes:
        kind: of hardware.
        index: the GPU's number, after ``CUDA_VISIBLE_DEVICES``; 0 for the CPU.
    """

    kind: Literal["cpu", "cuda"]
    index: int = 0

    @classmethod
    def parse(cls, text: str) -> "Device":
        """The device that ``text`` means; ``cuda`` is ``cuda:0``.

        Raises:
            BackendError: there is no such device.
        """
        found = _FORM.fullmatch(text)
        if found is None:
            raise BackendError(f"there is no device {text!r}: use --device cpu, cuda, or cuda:1 for the second GPU")
        return cls("cpu") if text == "cpu" else cls("cuda", int(found[1] or 0))

    def __str__(self) -> str:
        return "cpu" if self.kind == "cpu" else f"cuda:{self.index}"
