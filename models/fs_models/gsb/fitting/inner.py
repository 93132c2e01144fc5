"""What the frozen encoder computes on its way: denser targets than its one feature."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

_WATCHED = 3


@dataclass
class InnerMaps:
    """The outputs of some of an encoder's blocks, each [B, C, h, w] or [B, L, C], while somebody listens."""

    # Workers run the same encoder at the same time.
    _here: threading.local = field(default_factory=threading.local)

    @contextmanager
    def heard(self) -> Iterator[list[torch.Tensor]]:
        """A list that fills with the maps of the encoder's next call."""
        maps: list[torch.Tensor] = []
        self._here.maps = maps
        try:
            yield maps
        finally:
            self._here.maps = None

    def _hook(self, _: nn.Module, __: Any, output: Any) -> None:
        maps = getattr(self._here, "maps", None)
        if maps is None:
            return
        first = output[0] if isinstance(output, tuple) else output
        if isinstance(first, torch.Tensor) and first.ndim in (3, 4) and first.is_floating_point():
            maps.append(first)


@contextmanager
def watched(encoder: nn.Module) -> Iterator[InnerMaps]:
    """Watch blocks at a third, two thirds and the end of the encoder's longest list of blocks; none if it has none."""
    inner = InnerMaps()
    lists = [module for module in encoder.modules() if isinstance(module, (nn.ModuleList, nn.Sequential))]
    blocks = list(max(lists, key=len, default=nn.ModuleList()))
    places = range(1, _WATCHED + 1) if len(blocks) >= _WATCHED else ()
    handles = [blocks[place * len(blocks) // _WATCHED - 1].register_forward_hook(inner._hook) for place in places]
    try:
        yield inner
    finally:
        for handle in handles:
            handle.remove()
