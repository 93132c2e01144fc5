"""The memory of one block, allocated once: on the GPU, and pinned here for what is copied in and out."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fs_runtime.backends.base import Block, BlockResult
from fs_runtime.backends.cuda.device import CudaDevice
from fs_runtime.bundle import Manifest
from fs_runtime.bundle.manifest import Tensor

NOISE = "noise"
SLOTS = 2
"""Blocks that the GPU has in hand: one that runs, and one whose noise is made."""


@dataclass(frozen=True)
class Buffer:
    """One input or output of the graph.

    Attributes:
        tensor: name, type and shape.
        pointer: where it lies on the GPU.
        pinned: where it lies here; None for noise, which is made on the GPU.
    """

    tensor: Tensor
    pointer: int
    pinned: npt.NDArray[Any] | None

    @property
    def size(self) -> int:
        """Bytes."""
        return bytes_of(self.tensor)


class Slot:
    """Everything that one block in flight needs for itself.

    Attributes:
        inputs: of the graph.
        outputs: of the graph.
        made: event: its noise is made.
        begins: event: the copies to the GPU begin.
        copied: event: they are done.
        read: event: the graph is done, and the noise may be overwritten.
        done: event: the outputs are here.
        turn: how many blocks were started in it.
    """

    def __init__(self, device: CudaDevice, manifest: Manifest) -> None:
        """Allocate it.

        Raises:
            DeviceMemoryError: the GPU's memory is full.
        """
        self._device = device
        self.inputs = tuple(self._buffer(tensor) for tensor in manifest.smoothed_inputs)
        self.outputs = tuple(self._buffer(tensor) for tensor in manifest.smoothed_outputs)
        self.made, self.begins, self.copied, self.read, self.done = (device.event() for _ in range(5))
        self.turn = 0

    @property
    def noise(self) -> Buffer:
        """The buffer of the noise."""
        return next(buffer for buffer in self.inputs if buffer.tensor.name == NOISE)

    def put(self, block: Block) -> None:
        """Write a block's small inputs where the GPU copies them from."""
        given: dict[str, npt.NDArray[Any]] = {
            "pixel_values": block.pixel_values,
            "reference": block.reference,
            "image_index": block.image_index,
        }
        for buffer in self.inputs:
            if buffer.pinned is not None:
                buffer.pinned[...] = given[buffer.tensor.name].reshape(buffer.tensor.shape)

    def result(self) -> BlockResult:
        """The outputs, in arrays of the caller's own."""
        named = {buffer.tensor.name: np.array(buffer.pinned) for buffer in self.outputs}
        return BlockResult(
            cosine=named["cosine"],
            feature_sum=np.atleast_2d(named["feature_sum"]),
            raw_norm=named["raw_norm"],
            features=named.get("features"),
        )

    def _buffer(self, tensor: Tensor) -> Buffer:
        pinned = None if tensor.name == NOISE else self._device.pinned(tuple(tensor.shape), tensor.dtype)
        return Buffer(tensor, self._device.allocate(bytes_of(tensor)), pinned)


def bytes_of(tensor: Tensor) -> int:
    """What a tensor takes."""
    return int(np.prod(tensor.shape)) * np.dtype(tensor.dtype).itemsize


def slots_bytes(manifest: Manifest, count: int = SLOTS) -> int:
    """What the slots of a backend take on a GPU.

    It grows with the noise batch, but for the images and references.
    """
    return count * sum(bytes_of(tensor) for tensor in (*manifest.smoothed_inputs, *manifest.smoothed_outputs))
