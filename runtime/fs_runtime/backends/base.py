"""What every backend is: it opens one graph and runs blocks of draws through it."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

import numpy as np
import numpy.typing as npt

from fs_runtime.backends.noise_source import Noise, NoiseSource
from fs_runtime.bundle import Bundle, Engine, Graph, Manifest
from fs_runtime.noise import NoiseBlocks

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Block:
    """One run of the smoothed graph.

    Attributes:
        pixel_values: [K, 3, H, W] in [0, 1], on the grid; K = 1 but where the graph mixes images.
        noise: [N, 3, H, W], scaled by sigma, on the grid; from the backend's own :meth:`Backend.noise`, or any array.
        reference: [K, D] unit vectors.
        image_index: int64 [N], the image of each draw.
    """

    pixel_values: Float32
    noise: Noise
    reference: Float32
    image_index: npt.NDArray[np.int64]


@dataclass(frozen=True)
class BlockResult:
    """What comes out of one block.

    Attributes:
        cosine: [N] each draw's unit feature against its image's reference.
        feature_sum: [K, D] sum of the unit features of each image's draws.
        raw_norm: [N] norm of each raw feature before it was made unit.
        features: [N, D] the unit features, where the graph gives them.
    """

    cosine: Float32
    feature_sum: Float32
    raw_norm: Float32
    features: Float32 | None


@dataclass(frozen=True)
class BackendInfo:
    """What ran a certificate's draws.

    Attributes:
        name: of the backend, such as ``onnxruntime``.
        version: of the backend.
        device: such as ``cpu``.
    """

    name: str
    version: str
    device: str


class Backend(ABC):
    """Runs the smoothed graph of one bundle. Opened by construction, closed as a context manager.

    Attributes:
        info: what runs the graph, as certificates name it.
        plan: the plan that runs in the graph's place; certificates bind to its hash then.
        runs_ahead: whether :meth:`start` returns before the block is done, so that the next one may be started
            meanwhile.
    """

    info: BackendInfo
    plan: Engine | None = None
    runs_ahead = False

    @abstractmethod
    def __init__(self, bundle: Bundle, graph: Graph, *, device: str, threads: int) -> None:
        """Open ``graph``.

        Args:
            bundle: a bundle that was read and checked.
            graph: its smoothed graph.
            device: ``"cpu"``, ``"cuda"`` or ``"cuda:1"``, never replaced silently by another.
            threads: threads for the graph on the CPU.

        Raises:
            BackendError: the device or provider asked for cannot run here.
            BundleError: the graph is not what the manifest says.
        """

    def noise(self, manifest: Manifest, *, threads: int) -> NoiseSource:
        """Where the noise of this backend's blocks is best made: here, on the CPU by ``threads`` threads.

        Raises:
            BackendError: the device cannot make it.
        """
        shape = (manifest.noise_batch, 3, manifest.height, manifest.width)
        return NoiseBlocks(sigma=manifest.sigma, shape=shape, threads=threads)

    def take_own_noise(self) -> None:  # noqa: B027  # most need nothing
        """Get ready for blocks with noise of the caller's own, so that what this takes is found missing now.

        Raises:
            BackendError: the device's memory is full.
        """

    @abstractmethod
    def run(self, block: Block) -> BlockResult:
        """Run one block; the arrays returned are the caller's own.

        Raises:
            BackendError: the device failed.
        """

    def start(self, block: Block) -> Callable[[], BlockResult]:
        """Begin a block; what is returned waits for its result, and must be called before the second start after it.

        The arrays of ``block`` may be changed as soon as this returns.

        Raises:
            BackendError: the device failed, here or when the result is waited for.
        """
        result = self.run(block)
        return lambda: result

    @abstractmethod
    def close(self) -> None:
        """Free the session."""

    def __enter__(self) -> "Backend":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
