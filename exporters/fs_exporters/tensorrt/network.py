"""From an ONNX graph to a strongly typed TensorRT network, or the reason why not."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fs_exporters.tensorrt.library import BuilderLibrary, errors_of
from fs_exporters.tensorrt.origin import GraphOrigins
from fs_runtime.errors import BackendError

_MOST_NAMED = 3
_ELSEWHERE = "serve this bundle with ONNX Runtime, or export another encoder or --precision"


@dataclass(frozen=True)
class ParsedNetwork:
    """A network with what keeps it alive."""

    builder: Any
    network: Any
    parser: Any


def parse_network(library: BuilderLibrary, path: Path) -> ParsedNetwork:
    """Parse the graph at ``path``; its types are the network's.

    Raises:
        BackendError: TensorRT lacks an operator of it or would narrow its fp64; the message names node and module.
    """
    origins = GraphOrigins(path)
    if wide := origins.in_fp64():
        raise BackendError(
            f"{path} computes in fp64, which {library.name} would silently do in fp32, at {_some(wide)}: export it "
            "again with this fs-export"
        )
    with errors_of() as lines:
        builder, network = library.polygraphy.create_network(strongly_typed=True)
        parser = library.trt.OnnxParser(network, library.polygraphy.get_trt_logger())
        parsed = parser.parse_from_file(str(path))
    if not parsed:
        errors = [parser.get_error(index) for index in range(parser.num_errors)]
        faults = [f"{origins.describe(error.node_name(), error.node_operator())}{_reason(error)}" for error in errors]
        raise BackendError(f"{library.name} cannot build {path}: {_some(faults or lines[:1])}; {_ELSEWHERE}")
    return ParsedNetwork(builder, network, parser)


def _reason(error: Any) -> str:
    lines = str(error.desc()).strip().splitlines()
    # Where an operator is unknown, all that is said is "false".
    return f": {lines[0]}" if lines and lines[0] != "false" else " is not supported"


def _some(names: list[str]) -> str:
    more = len(names) - _MOST_NAMED
    return "; ".join(names[:_MOST_NAMED]) + (f"; and {more} more" if more > 0 else "")
