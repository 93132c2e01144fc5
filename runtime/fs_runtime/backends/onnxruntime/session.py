"""Opening a session: the provider asked for is the one that runs, and the graph is the manifest's."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnxruntime as ort

from fs_runtime.bundle import Graph
from fs_runtime.errors import BackendError, BundleError

Provider = tuple[str, dict[str, str]]

_DTYPES = {"tensor(float)": "float32", "tensor(int64)": "int64"}


def open_session(path: Path, graph: Graph, providers: Sequence[Provider], options: Any) -> Any:
    """An ``InferenceSession`` of the graph at ``path``.

    Args:
        path: of the ONNX file.
        graph: what the manifest says of it.
        providers: names and options, all of which must open; ONNX Runtime may add the CPU's.
        options: of the session.

    Raises:
        BackendError: a provider did not open.
        BundleError: the file cannot be loaded, or has other inputs or outputs.
    """
    try:
        # Without enable_fallback=0 it would print to stdout and retry with other providers.
        session = ort.InferenceSession(str(path), options, providers=list(providers), enable_fallback=0)
    except Exception as error:  # its exception types are not public
        raise BundleError(f"ONNX Runtime {ort.__version__} cannot load {path}: {first_line(error)}") from error
    check_providers(session, [name for name, _ in providers])
    check_signature(session, graph, str(path))
    return session


def check_providers(session: Any, wanted: Sequence[str]) -> None:
    """Refuse a session that opened other providers: ONNX Runtime leaves out those that fail, without an error.

    Raises:
        BackendError: naming both.
    """
    opened = [name for name in session.get_providers() if name in wanted or name != "CPUExecutionProvider"]
    if opened != list(wanted):
        raise BackendError(
            f"{', '.join(wanted)} was asked for, but ONNX Runtime opened {session.get_providers()}: fs-runtime doctor "
            "says what is missing"
        )


def check_signature(session: Any, graph: Graph, path: str) -> None:
    """Refuse a graph whose inputs or outputs are not the manifest's.

    Raises:
        BundleError: naming both.
    """
    for kind, stated, found in (
        ("input", graph.inputs, session.get_inputs()),
        ("output", graph.outputs, session.get_outputs()),
    ):
        expected = {tensor.name: (tensor.dtype, tuple(tensor.shape)) for tensor in stated}
        actual = {node.name: (_DTYPES.get(node.type, node.type), tuple(node.shape)) for node in found}
        if expected != actual:
            raise BundleError(
                f"{path} has {kind}s {actual}, but the manifest states {expected}: export the bundle again"
            )


def first_line(error: Exception) -> str:
    """What ONNX Runtime says, in one line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
