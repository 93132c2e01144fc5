"""Where a real session put its nodes."""

from pathlib import Path

import onnxruntime as ort
import pytest
from helpers import tiny

from fs_runtime.backends.onnxruntime import placement
from fs_runtime.backends.onnxruntime.placement import check_placement, record_placement
from fs_runtime.errors import BackendError


def test_check_placement_names_the_operators_when_they_are_on_the_cpu(tmp_path: Path) -> None:
    path = tiny.write_bundle(tmp_path) / "model.onnx"
    options = ort.SessionOptions()
    record_placement(options)
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    with pytest.raises(BackendError, match=r"leaves nodes of .*model.onnx to the CPU .*\(\d\)"):
        check_placement(session, path, "CUDAExecutionProvider")


def test_record_placement_has_old_versions_refuse_when_they_cannot_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement, "_TELLS", False)
    options = ort.SessionOptions()
    record_placement(options)
    assert options.get_session_config_entry("session.disable_cpu_ep_fallback") == "1"
    check_placement(None, Path("model.onnx"), "CUDAExecutionProvider")
