"""An encoder without smoothing in ONNX Runtime: what the smoothed graph is held against."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fs_runtime.bundle import Bundle, Graph
from fs_runtime.errors import BackendError, InputError

_DTYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
_CUDA = re.compile(r"cuda(?::(\d+))?")


class ResidentSession:
    """Runs a session again and again on inputs that lie where the device reads them; what comes out stays there.

    Attributes:
        path: of the ONNX file.
        batch: images in one run.
        remedy: where a run fails.
    """

    batch = 1
    remedy = "free memory"

    def __init__(self, path: Path, session: Any, feed: dict[str, npt.NDArray[Any]], *, device: str) -> None:
        """Put ``feed`` where ``session`` of ``path``, opened by :func:`open_session`, reads it."""
        self.path = path
        self._session = session
        self._feed = feed
        self._binding: Any = None
        if device != "cpu":
            import onnxruntime as ort

            number = int(_gpu_number(device))
            self._binding = session.io_binding()
            for name, values in feed.items():
                self._binding.bind_ortvalue_input(name, ort.OrtValue.ortvalue_from_numpy(values, "cuda", number))
            for output in session.get_outputs():
                self._binding.bind_output(output.name, "cuda", number)

    def run(self) -> None:
        """Once; it is done when this returns.

        Raises:
            BackendError: the device failed, or has too little memory.
        """
        try:
            if self._binding is None:
                self._session.run(None, self._feed)
            else:
                self._session.run_with_iobinding(self._binding)
                self._binding.synchronize_outputs()
        except Exception as error:  # its exception types are not public
            raise BackendError(f"{self.path} failed: {_first_line(error)}; {self.remedy}") from error

    def close(self) -> None:
        """Free the session."""
        self._session = self._binding = None


class BareSession(ResidentSession):
    """The encoder alone, on one batch of pixels."""

    remedy = "free memory, or leave --bare out"

    def __init__(self, path: Path, *, batch: int, height: int, width: int, device: str, threads: int) -> None:
        """Open ``path`` for pixels [batch, 3, height, width].

        Args:
            path: an ONNX file with one input of that shape, or with a free batch.
            batch: images in one run.
            height: of each.
            width: of each.
            device: ``cpu`` or ``cuda:N``.
            threads: on a CPU.

        Raises:
            InputError: the file cannot be read, or takes something else.
            BackendError: ONNX Runtime or its provider is missing here.
        """
        self.batch = batch
        session = open_session(path, device, threads)
        name, dtype = _input(session, path, (batch, 3, height, width))
        pixels = np.random.default_rng(0).random((batch, 3, height, width), np.float32).astype(dtype)
        super().__init__(path, session, {name: pixels}, device=device)


class CleanSession(ResidentSession):
    """A bundle's graph of role ``clean``: its encoder without the booster, on one draw of one image.

    The graph is the smoothed one without the booster, so the addition of noise (zeros here), the unit norm and the
    reductions of that draw are measured too.
    """

    def __init__(self, bundle: Bundle, graph: Graph, *, device: str, threads: int) -> None:
        """Open ``graph`` of ``bundle`` on ``device`` (``cpu`` or ``cuda:N``).

        Raises:
            InputError: the file cannot be loaded.
            BackendError: ONNX Runtime or its provider is missing here.
        """
        path = bundle.graph_path(graph)
        session = open_session(path, device, threads)
        rng = np.random.default_rng(0)
        feed = {tensor.name: rng.random(tensor.shape, np.float32) for tensor in graph.inputs}
        feed["noise"][...] = 0.0
        super().__init__(path, session, feed, device=device)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _gpu_number(device: str) -> str:
    found = _CUDA.fullmatch(device)
    if found is None:
        raise BackendError(f"a bare session runs on cpu or cuda:N, not {device!r}: leave --bare out there")
    return found[1] or "0"


def open_session(path: Path, device: str, threads: int) -> Any:
    """A session of an ONNX file with ONNX Runtime's own settings, but without TF32.

    Raises:
        InputError: the file cannot be read.
        BackendError: ONNX Runtime or its provider is missing here.
    """
    try:
        import onnxruntime as ort
    except ImportError as error:
        raise BackendError(
            f"{path} runs in ONNX Runtime, which is not installed: pip install 'fs-runtime[cpu]'"
        ) from error
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    provider: Any = "CPUExecutionProvider"
    if device != "cpu":
        provider = ("CUDAExecutionProvider", {"device_id": _gpu_number(device), "use_tf32": "0"})
    wanted = provider if isinstance(provider, str) else provider[0]
    if not path.is_file():
        raise InputError(f"{path} does not exist: --bare names an ONNX file")
    try:
        # Without enable_fallback=0 it would print to stdout and retry with other providers.
        session = ort.InferenceSession(str(path), options, providers=[provider], enable_fallback=0)
    except Exception as error:  # its exception types are not public
        raise InputError(f"ONNX Runtime {ort.__version__} cannot load {path}: {_first_line(error)}") from error
    if session.get_providers()[0] != wanted:
        raise BackendError(f"{wanted} did not load for {path}: fs-runtime doctor --device cuda says what is missing")
    return session


def _input(session: Any, path: Path, shape: tuple[int, ...]) -> tuple[str, Any]:
    """Name and type of the one input, which must take ``shape``."""
    inputs = session.get_inputs()

    def fits(side: object, wanted: int) -> bool:
        return not isinstance(side, int) or side == wanted  # a free dimension is a name, or None

    stated = ", ".join(f"{node.name} {node.type} {node.shape}" for node in inputs)
    taken = (
        len(inputs) == 1
        and inputs[0].type in _DTYPES
        and len(inputs[0].shape) == len(shape)
        # A free dimension is a name, or None.
        and all(
            not isinstance(side, int) or side == wanted for side, wanted in zip(inputs[0].shape, shape, strict=True)
        )
    )
    if not taken:
        raise InputError(
            f"{path} takes {stated}, not pixels {list(shape)} in float or float16: export the encoder alone with that "
            "input, or with a free batch"
        )
    return inputs[0].name, _DTYPES[inputs[0].type]
