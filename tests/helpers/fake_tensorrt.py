"""A TensorRT whose plans are ONNX files that ONNX Runtime computes on the CPU, on the streams of a fake GPU."""

import hashlib
import json
from enum import IntEnum
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from helpers.fake_cuda import FakeCuda, floats_at

from fs_runtime.backends.tensorrt import library

VERSION = "10.16.0.29"
SCRATCH = 4096
_TYPES = {"tensor(float)": ("FLOAT", np.float32), "tensor(int64)": ("INT64", np.int64)}


class _Severity(IntEnum):
    INTERNAL_ERROR = 0
    ERROR = 1
    WARNING = 2


class _Logger:
    Severity = _Severity


class _Context:
    captures = True

    def __init__(self, engine: "_Engine", fake: FakeCuda) -> None:
        self.engine, self._fake = engine, fake
        self.addresses: dict[str, int] = {}

    def set_device_memory(self, memory: int, size: int) -> None:
        assert size == SCRATCH
        assert memory

    def set_tensor_address(self, name: str, memory: int) -> bool:
        self.addresses[name] = memory
        return True

    def execute_async_v3(self, stream: int) -> bool:
        session, addresses = self.engine.session, dict(self.addresses)
        if not self.captures and self._fake.capturing:
            self.engine.logger.log(_Severity.ERROR, "layer 7 cannot be captured")
            return False

        def compute() -> None:
            feed = {
                node.name: floats_at(addresses[node.name], tuple(node.shape), _TYPES[node.type][1])
                for node in session.get_inputs()
            }
            nodes = session.get_outputs()
            for node, array in zip(nodes, session.run([node.name for node in nodes], feed), strict=True):
                floats_at(addresses[node.name], tuple(node.shape))[...] = array

        self._fake.enqueue(stream, compute)
        return True


class _Engine:
    device_memory_size_v2 = SCRATCH
    hosted: tuple[str, ...] = ()
    layers = '{"Layers": ["only", "names"]}'

    def __init__(self, session: Any, fake: FakeCuda, logger: Any) -> None:
        self.session, self._fake, self.logger = session, fake, logger
        self._nodes = {node.name: node for node in (*session.get_inputs(), *session.get_outputs())}
        self.num_io_tensors = len(self._nodes)

    def get_tensor_name(self, index: int) -> str:
        return list(self._nodes)[index]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return tuple(self._nodes[name].shape)

    def get_tensor_dtype(self, name: str) -> Any:
        return SimpleNamespace(name=_TYPES[self._nodes[name].type][0])

    def get_tensor_location(self, name: str) -> str:
        return "host" if name in self.hosted else "device"

    def create_engine_inspector(self) -> Any:
        return SimpleNamespace(get_engine_information=lambda form: self.layers)

    def create_execution_context(self, strategy: str) -> _Context:
        assert strategy == "user"
        return _Context(self, self._fake)


def install(monkeypatch: pytest.MonkeyPatch, fake: FakeCuda, *, version: str = VERSION) -> None:
    """Put it in the place of the package ``tensorrt``; TensorRT-RTX is not installed then."""

    class Runtime:
        def __init__(self, logger: Any) -> None:
            self._logger = logger

        def deserialize_cuda_engine(self, plan: bytes) -> _Engine | None:
            try:
                return _Engine(ort.InferenceSession(plan, providers=["CPUExecutionProvider"]), fake, self._logger)
            except Exception:
                self._logger.log(_Severity.WARNING, "of no interest")
                self._logger.log(_Severity.ERROR, "magic tag\n does not match")
                return None

    trt = SimpleNamespace(
        __version__=version,
        ILogger=_Logger,
        Runtime=Runtime,
        LayerInformationFormat=SimpleNamespace(JSON="json"),
        TensorLocation=SimpleNamespace(DEVICE="device", HOST="host"),
        ExecutionContextAllocationStrategy=SimpleNamespace(USER_MANAGED="user"),
    )
    monkeypatch.setattr(library, "find_spec", lambda name: trt if name == "tensorrt" else None)
    monkeypatch.setattr(library, "import_module", lambda name: trt)


def add_plan(root: Path, plan: bytes | None = None, **changes: Any) -> str:
    """List a plan in a bundle, by default its ONNX file, and give its hash."""
    plan = (root / "model.onnx").read_bytes() if plan is None else plan
    manifest = json.loads((root / "manifest.json").read_bytes())
    file = f"engines/plan{len(manifest.get('engines', []))}/model.plan"
    (root / file).parent.mkdir(parents=True)
    (root / file).write_bytes(plan)
    engine = {
        "file": file,
        "sha256": hashlib.sha256(plan).hexdigest(),
        "bytes": len(plan),
        "builder": "tensorrt",
        "version": VERSION,
        "graph_sha256": manifest["graphs"][0]["sha256"],
        "precision_requested": manifest["graphs"][0]["precision"],
        "precision_observed": manifest["graphs"][0]["precision"],
        "compute_capability": "8.9",
        "noise_batch": manifest["noise_batch"],
        "parity_not_run": "no GPU",
    }
    manifest["engines"] = [*manifest.get("engines", []), engine | changes]
    (root / "manifest.json").write_text(json.dumps(manifest))
    return str(engine["sha256"])
