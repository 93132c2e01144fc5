"""Holding the plans of a bundle against its graph again."""

from dataclasses import dataclass

from fs_exporters.tensorrt.gate import plan_parity, why_not_compared
from fs_runtime.backends.tensorrt.library import open_library
from fs_runtime.bundle import Bundle, Engine
from fs_runtime.bundle.manifest import Parity
from fs_runtime.cuda_driver import Driver


@dataclass(frozen=True)
class EngineVerdict:
    """What became of one plan.

    Attributes:
        engine: which.
        parity: how it compares with its graph; None where that was not run.
        not_run: why it was not; None where it was.
    """

    engine: Engine
    parity: Parity | None
    not_run: str | None


def verify_engines(bundle: Bundle, driver: Driver, *, threads: int) -> tuple[EngineVerdict, ...]:
    """Run every plan that can run on the GPU here, and say of the others why not.

    Args:
        bundle: read and checked, so that every plan has the hash that is listed.
        driver: what it says of the GPUs here.
        threads: for the graph and the noise.

    Raises:
        BackendError: a GPU is here that a plan is for, but not the TensorRT that opens it.
        ParityError: a plan does not compute what its graph computes.
    """
    return tuple(_verify(bundle, engine, driver, threads) for engine in bundle.manifest.engines)


def _verify(bundle: Bundle, engine: Engine, driver: Driver, threads: int) -> EngineVerdict:
    graph = bundle.graph("smoothed")
    # A plan for another GPU needs no TensorRT to say so.
    reason = why_not_compared(graph, engine, driver, engine.version)
    if reason is None:
        reason = why_not_compared(graph, engine, driver, open_library(engine.builder).version)
    if reason is not None:
        return EngineVerdict(engine, None, reason)
    return EngineVerdict(engine, plan_parity(bundle, graph, engine, threads=threads), None)
