"""The parity gate of a plan: the plan and its ONNX graph on the same noise. It needs the GPU that the plan is for."""

import json
from collections.abc import Iterable
from typing import Any

import msgspec
import numpy as np
import torch
from torch import nn

from fs_exporters.parity import ParityError, check_parity, measure_parity
from fs_exporters.parity.thresholds import THRESHOLDS
from fs_runtime.backends import Backend, Block, find_backend
from fs_runtime.backends.tensorrt.backend import TensorRtBackend
from fs_runtime.bundle import Bundle, Engine
from fs_runtime.bundle.engines import EngineHost, incompatibility
from fs_runtime.bundle.manifest import Graph, Parity, Precision
from fs_runtime.cuda_calls import load_driver
from fs_runtime.cuda_driver import Driver

_INSPECTED: dict[str, Precision] = {
    "float": "fp32",
    "fp32": "fp32",
    "half": "fp16",
    "fp16": "fp16",
    "bf16": "bf16",
    "int8": "int8",
}


def why_not_run(graph: Graph, driver: Driver) -> str | None:
    """Why the gate of no plan of this graph can run here; None if that of a plan for the GPU here can."""
    if not driver.gpus:
        return "no GPU"
    if graph.precision not in THRESHOLDS or graph.precision == "bf16":
        return f"no {graph.precision} graph to compare with runs in ONNX Runtime on the CPU"
    return None


def why_not_compared(graph: Graph, engine: Engine, driver: Driver, version: str) -> str | None:
    """Why a plan cannot be held against its graph here, by the builder's library of that version; None if it can."""
    reason = why_not_run(graph, driver)
    if reason is not None:
        return reason
    return incompatibility(engine, EngineHost(engine.builder, version, driver.gpus[0].compute_capability))


def check_ready(graph: Graph, compute_capabilities: Iterable[str], driver: Driver) -> None:
    """Before anything is built: is everything here that the gate of these plans will take?

    Raises:
        BackendError: something is not installed.
    """
    if why_not_run(graph, driver) is None and driver.gpus[0].compute_capability in compute_capabilities:
        load_driver()


def plan_parity(bundle: Bundle, graph: Graph, engine: Engine, *, threads: int) -> Parity:
    """Compare a plan with its graph, every output and the certificates, as the export gate does.

    The plan is opened and run by the backend that serves it.

    Args:
        bundle: which holds the plan's file; its manifest need not list it yet.
        graph: that the plan was built from.
        engine: the plan.
        threads: for the graph and the noise.

    Raises:
        BackendError: the plan cannot be opened on the GPU here.
        ParityError: they differ by more than is allowed at this precision, or the plan has another precision.
    """
    alone = Bundle(bundle.root, msgspec.structs.replace(bundle.manifest, engines=(engine,)), bundle.manifest_sha256)
    with (
        find_backend("onnxruntime")(bundle, graph, device="cpu", threads=threads) as original,
        TensorRtBackend(alone, graph, device="cuda", threads=threads) as backend,
    ):
        assert isinstance(backend, TensorRtBackend)
        _check_inspected(backend.layers(), graph.precision, engine.file)
        parity = measure_parity(_Module(original), backend, bundle.manifest, graph, threads=threads)
    parity = msgspec.structs.replace(parity, graph=engine.file)
    check_parity(parity)
    return parity


class _Module(nn.Module):
    """A graph in ONNX Runtime, in the place of the module that the export gate compares with."""

    def __init__(self, backend: Backend) -> None:
        super().__init__()
        self._backend = backend

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        pixel_values, noise, reference, *index = (tensor.numpy() for tensor in inputs)
        image_index = index[0].astype(np.int64) if index else np.zeros(len(noise), np.int64)
        result = self._backend.run(Block(pixel_values, noise, np.atleast_2d(reference), image_index))
        sums = result.feature_sum if index else result.feature_sum[0]
        features = () if result.features is None else (result.features,)
        return tuple(torch.from_numpy(array) for array in (result.cosine, sums, result.raw_norm, *features))


def _check_inspected(information: str, requested: Precision, file: str) -> None:
    """Refuse a plan none of whose layers has the precision asked for, where the inspector tells of types at all."""
    found = inspected_precisions(information)
    if found and requested not in found:
        raise ParityError(
            f"{file} was to be {requested}, but its layers are {', '.join(sorted(found))}: nothing written"
        )


def inspected_precisions(information: str) -> set[Precision]:
    """The precisions of the outputs of an engine's layers, from its inspector's JSON; empty where it names none."""
    layers: list[Any] = json.loads(information).get("Layers", [])
    tensors = [tensor for layer in layers if isinstance(layer, dict) for tensor in layer.get("Outputs", [])]
    words = " ".join(str(tensor.get("Format/Datatype", "")) for tensor in tensors).lower().split()
    return {_INSPECTED[word] for word in words if word in _INSPECTED}
