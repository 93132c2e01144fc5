"""A session of an encoder alone."""

from pathlib import Path

import pytest
from helpers import tiny
from helpers.tiny_bare import save_encoder
from onnx import TensorProto

from fs_runtime.bench.bare import BareSession
from fs_runtime.errors import BackendError, InputError

SIZE = {"height": 8, "width": 8, "device": "cpu", "threads": 1}


@pytest.mark.parametrize("batch", [4, "N"])
@pytest.mark.parametrize("kind", [TensorProto.FLOAT, TensorProto.FLOAT16])
def test_bare_session_runs_when_the_batch_is_free_or_the_same(tmp_path: Path, batch: int | str, kind: int) -> None:
    session = BareSession(save_encoder(tmp_path / "bare.onnx", batch, kind=kind), batch=4, **SIZE)  # type: ignore[arg-type]
    session.run()
    session.close()


@pytest.mark.parametrize(("batch", "inputs"), [(8, 1), ("N", 2)])
def test_bare_session_refuses_when_the_file_takes_something_else(tmp_path: Path, batch: int | str, inputs: int) -> None:
    path = save_encoder(tmp_path / "bare.onnx", batch, inputs=inputs)
    with pytest.raises(InputError, match=r"not pixels \[4, 3, 8, 8\].*export the encoder alone"):
        BareSession(path, batch=4, **SIZE)  # type: ignore[arg-type]


def test_bare_session_refuses_when_it_is_a_smoothed_graph(tmp_path: Path) -> None:
    model = tiny.write_bundle(tmp_path) / "model.onnx"
    with pytest.raises(InputError, match=r"noise.*reference"):
        BareSession(model, batch=4, **SIZE)  # type: ignore[arg-type]


def test_bare_session_refuses_when_the_file_is_missing_or_no_model(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        BareSession(tmp_path / "none.onnx", batch=4, **SIZE)  # type: ignore[arg-type]
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    with pytest.raises(InputError, match="cannot load"):
        BareSession(tmp_path / "bad.onnx", batch=4, **SIZE)  # type: ignore[arg-type]


@pytest.mark.parametrize("device", ["tpu", "cuda:x", "cuda:"])
def test_bare_session_refuses_when_there_is_no_such_device(tmp_path: Path, device: str) -> None:
    path = save_encoder(tmp_path / "bare.onnx")
    with pytest.raises(BackendError, match="runs on cpu or cuda:N"):
        BareSession(path, batch=4, **{**SIZE, "device": device})  # type: ignore[arg-type]


def test_bare_session_says_so_when_running_fails(tmp_path: Path) -> None:
    session = BareSession(save_encoder(tmp_path / "bare.onnx"), batch=4, **SIZE)  # type: ignore[arg-type]
    session._feed["x0"] = session._feed["x0"][:, :, :4]  # what ONNX Runtime refuses stands for a device that fails
    with pytest.raises(BackendError, match=r"bare\.onnx failed: "):
        session.run()
