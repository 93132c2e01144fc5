"""Where ONNX Runtime put the nodes of a graph: on a GPU it leaves those that it cannot run there to the CPU, unsaid."""

from collections import Counter
from pathlib import Path
from typing import Any

import onnxruntime as ort

from fs_runtime.errors import BackendError

_CPU = "CPUExecutionProvider"
_MOST_NAMED = 3
# From ONNX Runtime 1.24 on a session tells; before, it can only be told to refuse.
_TELLS = hasattr(ort.InferenceSession, "get_provider_graph_assignment_info")


def record_placement(options: Any) -> None:
    """Have a session with these options remember, or refuse, what it leaves to the CPU."""
    key = "session.record_ep_graph_assignment_info" if _TELLS else "session.disable_cpu_ep_fallback"
    options.add_session_config_entry(key, "1")


def check_placement(session: Any, path: Path, wanted: str) -> None:
    """Refuse a session that runs part of its graph on the CPU: each block would wait for copies there and back.

    Args:
        session: that was opened.
        path: of its graph.
        wanted: provider that is to run some of it, at least.

    Raises:
        BackendError: naming the operators, or the provider that runs nothing.
    """
    if not _TELLS:
        return
    subgraphs = session.get_provider_graph_assignment_info()
    left = Counter(node.op_type for each in subgraphs if each.ep_name == _CPU for node in each.get_nodes())
    if left:
        named = ", ".join(f"{kind} ({count})" for kind, count in left.most_common(_MOST_NAMED))
        raise BackendError(
            f"ONNX Runtime {ort.__version__} leaves nodes of {path} to the CPU ({named}), as it cannot run them on the "
            "GPU: build a plan (fs-export build), export with another --precision, or use --device cpu"
        )
    if wanted not in {each.ep_name for each in subgraphs}:
        raise BackendError(
            f"ONNX Runtime {ort.__version__} gives no part of {path} to {wanted}: use --backend onnxruntime, or build "
            "a plan (fs-export build)"
        )
