"""The bare encoder of a bundle with a booster, opened when it is first needed."""

from contextlib import ExitStack

import numpy as np
import numpy.typing as npt

from fs_runtime.backends import Backend, Block, open_backend
from fs_runtime.bundle import Bundle
from fs_runtime.certification import reference_of
from fs_runtime.errors import BackendError

_BACKEND = "onnxruntime"  # one run an image: a plan of its own would not pay


class BareEncoder:
    """Runs the graph of role ``clean``."""

    def __init__(self, bundle: Bundle, *, device: str, threads: int) -> None:
        """Nothing is opened yet.

        Args:
            bundle: that was read and checked.
            device: where the graph shall run.
            threads: for the graph on the CPU.
        """
        self._bundle = bundle
        self._device = device
        self._threads = threads
        self._opened: Backend | None = None

    def open(self) -> None:
        """Open the graph, unless it is open.

        Raises:
            BundleError: the bundle has no such graph, or it is damaged.
            BackendError: ONNX Runtime or the device cannot run here, or its memory is full.
        """
        if self._opened is not None:
            return
        bundle, graph = self._bundle, self._bundle.graph("clean")
        bare = Bundle(bundle.root, bundle.manifest.bare, bundle.manifest_sha256)
        try:
            with ExitStack() as stack:
                opened = open_backend(_BACKEND, bare, graph, device=self._device, threads=self._threads)
                stack.callback(opened.close)
                opened.take_own_noise()
                stack.pop_all()
        except BackendError as error:
            raise type(error)(
                f'reference "clean" runs {bundle.graph_path(graph)}, of which there are no plans, in ONNX Runtime on '
                f"{self._device}, but {error}"
            ) from error
        self._opened = opened

    def feature(self, pixel_values: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """The unit feature [D] of pixels [1, 3, H, W].

        Raises:
            BundleError, BackendError: see :meth:`open`; or the device failed.
        """
        self.open()
        assert self._opened is not None
        nothing = np.zeros((1, self._bundle.manifest.dimension), np.float32)
        result = self._opened.run(Block(pixel_values, np.zeros_like(pixel_values), nothing, np.zeros(1, np.int64)))
        return reference_of(result.feature_sum[0])

    def close(self) -> None:
        """Free the session, if there is one."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None
