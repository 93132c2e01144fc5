"""From a plan's bytes to an engine, and what TensorRT says where it refuses."""

from collections import deque
from dataclasses import dataclass
from itertools import count
from threading import get_ident
from typing import Any

from fs_runtime.backends.tensorrt.library import Library
from fs_runtime.bundle import Engine
from fs_runtime.bundle.manifest import Manifest
from fs_runtime.errors import BackendError

_MOST_LINES = 2
_MOST_KEPT = 256
_SILENT = (
    "it does not say why: within a process it may speak to the first logger alone that was given to it, which may be "
    "another's here"
)
_LOGGERS: dict[type, Any] = {}
_DTYPES = {"FLOAT": "float32", "INT64": "int64"}


class OpenedPlan:
    """An engine, with all that must outlive it.

    Attributes:
        engine: TensorRT's.
    """

    def __init__(self, library: Library, plan: bytes, stated: Engine) -> None:
        """Open ``plan``, whose builder, version, GPU and hash were checked before.

        Raises:
            BackendError: it is none, or not one for this library or GPU after all; nothing of it is run.
        """
        self._library, self._stated = library, stated
        self._logger = _logger(library)
        self.listen()
        self._runtime = library.trt.Runtime(self._logger)
        if stated.settings.version_compatible:
            # Such a plan holds a part of TensorRT as code. Its hash was checked: the manifest lists it.
            self._runtime.engine_host_code_allowed = True
        self._check_header(plan)
        self.engine = self._runtime.deserialize_cuda_engine(plan)
        if self.engine is None:
            raise self.refused("cannot open")

    def check_tensors(self, manifest: Manifest) -> None:
        """Refuse an engine whose inputs and outputs are not the manifest's.

        Raises:
            BackendError: naming both.
        """
        tensors = (*manifest.smoothed_inputs, *manifest.smoothed_outputs)
        expected = {tensor.name: (tensor.dtype, tuple(tensor.shape)) for tensor in tensors}
        place = self._library.trt.TensorLocation.DEVICE
        names = [self.engine.get_tensor_name(index) for index in range(self.engine.num_io_tensors)]
        actual = {name: (self._dtype(name), tuple(self.engine.get_tensor_shape(name))) for name in names}
        if hosted := [name for name in names if self.engine.get_tensor_location(name) != place]:
            raise BackendError(
                f"{self._stated.file} reads or writes {', '.join(hosted)} in the host's memory, which this version "
                "does not: use --backend onnxruntime"
            )
        if expected != actual:
            raise BackendError(
                f"{self._stated.file} has inputs and outputs {actual}, but the manifest states {expected}: build it "
                "again with fs-export build"
            )

    def layers(self) -> str:
        """What TensorRT's inspector tells of the layers, as JSON."""
        form = self._library.trt.LayerInformationFormat.JSON
        return str(self.engine.create_engine_inspector().get_engine_information(form))

    def listen(self) -> None:
        """Begin something that may be refused: what TensorRT said before is not about that."""
        self._since = self._logger.begin()

    def refused(self, what: str) -> BackendError:
        """What TensorRT has said since :meth:`listen` was called, when it refused to go on."""
        said = "; ".join(self._logger.since(self._since)) or _SILENT
        return BackendError(
            f"{self._library.name} {what} {self._stated.file} ({said}): build it again with fs-export build, or use "
            "--backend onnxruntime"
        )

    def _check_header(self, plan: bytes) -> None:
        """Ask TensorRT of the plan's head, where it can tell: deserialising garbage may crash."""
        if not hasattr(self._runtime, "get_engine_validity"):
            return
        trt = self._library.trt
        validity, bits = self._runtime.get_engine_validity(plan)
        if validity == trt.EngineValidity.INVALID:
            causes = trt.EngineInvalidityDiagnostics.__members__.items()
            named = [name.lower().replace("_", " ") for name, flag in causes if int(flag) & int(bits)]
            self._logger.keep(", ".join(named) or "it is invalid")
            raise self.refused("refuses")

    def _dtype(self, name: str) -> str:
        dtype = str(self.engine.get_tensor_dtype(name).name)
        return _DTYPES.get(dtype, dtype)


def _logger(library: Library) -> Any:
    """Keeps the last that a TensorRT says at the level of errors, and prints nothing.

    There is one of each library: TensorRT goes on with the first that a process gives it, and complains of others. So
    all plans share it, and none takes a line away: each asks for what was said since it began.
    """
    kind = library.trt.ILogger
    if kind not in _LOGGERS:
        _LOGGERS[kind] = _new_logger(library.trt)
    return _LOGGERS[kind]


@dataclass(frozen=True)
class _Line:
    """Something that TensorRT said: after how many lines, this one included, and in which thread."""

    number: int
    thread: int
    text: str


def _new_logger(trt: Any) -> Any:
    class Logger(trt.ILogger):  # type: ignore[misc]  # the base is known only when it is there
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self._said = 0
            self._threads: set[int] = set()
            self._numbers = count(1)
            self._lines: deque[_Line] = deque(maxlen=_MOST_KEPT)

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
                self.keep(" ".join(message.split()))

        def begin(self) -> int:
            """What :meth:`since` takes; from now on, this thread's lines are for this thread."""
            self._threads.add(get_ident())
            return self._said

        def keep(self, text: str) -> None:
            line = _Line(next(self._numbers), get_ident(), text)
            self._lines.append(line)
            self._said = line.number

        def since(self, number: int) -> list[str]:
            """The last of what was said after so many lines, in this thread or one of TensorRT's own."""
            others = self._threads - {get_ident()}
            lines = [line for line in tuple(self._lines) if line.number > number and line.thread not in others]
            return [line.text for line in lines[-_MOST_LINES:]]

    return Logger()
