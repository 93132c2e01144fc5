"""Tracing: the ONNX file computes the graph, says what it is, and says nothing of the build machine."""

import hashlib
import re
from importlib import import_module
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from helpers import tiny_torch
from torch import nn

import fs_exporters
from fs_exporters.onnx import NAME_SCOPES, OPSET
from fs_exporters.onnx import trace as trace_function
from fs_exporters.pipeline import ExportResult, export_bundle
from fs_runtime import BundleError
from fs_runtime.bundle import read_bundle
from fs_runtime.bundle.manifest import Tensor

# The package exports a function of the same name.
trace_module = import_module("fs_exporters.onnx.trace")


def _model(result: ExportResult) -> onnx.ModelProto:
    return onnx.load(result.path / "model.onnx")


def test_trace_writes_the_stated_signature_when_exported(
    pooled_export: ExportResult, tokens_export: ExportResult
) -> None:
    for result in (pooled_export, tokens_export):
        session = onnxruntime.InferenceSession(result.path / "model.onnx", providers=["CPUExecutionProvider"])
        for nodes, stated in (
            (session.get_inputs(), result.manifest.smoothed_inputs),
            (session.get_outputs(), result.manifest.smoothed_outputs),
        ):
            found = [(node.name, node.type, tuple(node.shape)) for node in nodes]
            assert found == [(tensor.name, "tensor(float)", tensor.shape) for tensor in stated]
    assert len(tokens_export.manifest.smoothed_outputs) == 3


def test_trace_uses_one_opset_and_no_random_operator_when_exported(pooled_export: ExportResult) -> None:
    model = _model(pooled_export)
    assert [(opset.domain, opset.version) for opset in model.opset_import if opset.domain == ""] == [("", OPSET)]
    assert OPSET == 18 == pooled_export.manifest.graphs[0].opset
    assert not [node.op_type for node in model.graph.node if "Random" in node.op_type or node.op_type == "Dropout"]


def test_trace_mirrors_key_facts_when_exported(pooled_export: ExportResult) -> None:
    facts = {entry.key: entry.value for entry in _model(pooled_export).metadata_props}
    assert facts == {
        "fs.model": "tiny-8",
        "fs.revision": "r1",
        "fs.family": "tiny",
        "fs.tap": "pooled",
        "fs.sigma": "0.25",
        "fs.noise_batch": "3",
        "fs.images": "1",
        "fs.feature_shape": "6",
        "fs.schema_version": "1",
    }


def test_trace_leaves_nothing_of_the_build_machine_when_exported(
    pooled_export: ExportResult, tokens_export: ExportResult
) -> None:
    checkout = str(Path(fs_exporters.__file__).parents[2]).encode()
    for result in (pooled_export, tokens_export):
        data = (result.path / "model.onnx").read_bytes()
        for trace in (checkout, b".py", b"site-packages", b"Traceback", b"/home", b"/root", b"/tmp"):
            assert trace not in data, trace
        assert not re.search(rb"line \d+", data)
        model = _model(result)
        assert not any(node.doc_string for node in model.graph.node)
        kept = {entry.key for node in model.graph.node for entry in node.metadata_props}
        assert kept == {NAME_SCOPES}, "the modules' names stay, for errors about a node"
        scopes = [entry.value for node in model.graph.node for entry in node.metadata_props]
        assert any("encoder.linear" in scope for scope in scopes)


def test_trace_changes_one_row_when_one_draw_changes(pooled_export: ExportResult) -> None:
    session = onnxruntime.InferenceSession(pooled_export.path / "model.onnx", providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    feed = {
        "pixel_values": rng.random((1, 3, 8, 8)).astype(np.float32),
        "noise": (0.25 * rng.standard_normal((3, 3, 8, 8))).astype(np.float32),
        "reference": np.eye(6, dtype=np.float32)[0],
    }
    before = session.run(["features", "cosine", "raw_norm"], feed)
    for draw in range(3):
        noise = feed["noise"].copy()
        noise[draw] += np.float32(0.5)
        after = session.run(["features", "cosine", "raw_norm"], {**feed, "noise": noise})
        for first, second in zip(before, after, strict=True):
            assert (first != second).reshape(3, -1).any(axis=1).tolist() == [each == draw for each in range(3)]


def test_trace_moves_weights_to_another_file_when_they_are_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pooled_export: ExportResult
) -> None:
    monkeypatch.setattr(trace_module, "_LARGEST_INLINE", 1000)
    result = export_bundle(tiny_torch.MODEL, sigma=0.25, noise_batch=3, output=tmp_path / "large", threads=1)
    graph = result.manifest.graphs[0]
    assert graph.external_data == ("model.onnx.data",)
    files = [result.path / name for name in ("model.onnx", "model.onnx.data")]
    assert sorted(path.name for path in result.path.iterdir()) == ["manifest.json", "model.onnx", "model.onnx.data"]
    whole = b"".join(path.read_bytes() for path in files)
    assert graph.sha256 == hashlib.sha256(whole).hexdigest()
    assert graph.bytes == len(whole)
    # The tensors that moved, and the certificate's numbers, are those of the small file.
    inline = (pooled_export.path / "model.onnx").read_bytes()
    assert files[1].stat().st_size >= 72 * 6 * 4
    assert files[0].stat().st_size < len(inline) - 1000
    assert result.manifest.parity[0].angle_graph == pooled_export.manifest.parity[0].angle_graph

    data = bytearray(files[1].read_bytes())
    data[10] ^= 1
    files[1].write_bytes(data)
    with pytest.raises(BundleError, match=r"model\.onnx\.data does not have the SHA-256"):
        read_bundle(result.path)


class _Sum(nn.Module):
    def forward(self, first: torch.Tensor) -> torch.Tensor:
        return first + 1.0


def test_trace_raises_when_the_graph_has_another_signature(tmp_path: Path) -> None:
    given = (Tensor(name="first", dtype="float32", shape=(2, 3)),)
    right = (Tensor(name="total", dtype="float32", shape=(2, 3)),)
    wrong = (Tensor(name="total", dtype="float32", shape=(3, 2)),)
    assert trace_function(_Sum().eval(), given, right, tmp_path / "right.onnx", metadata={}) == ()
    with pytest.raises(RuntimeError, match="the traced graph has outputs"):
        trace_function(_Sum().eval(), given, wrong, tmp_path / "wrong.onnx", metadata={})
