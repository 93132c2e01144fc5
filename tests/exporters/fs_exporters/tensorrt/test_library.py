"""Which TensorRT is imported, and what is said where there is none."""

import importlib
import sys
from types import ModuleType, SimpleNamespace

import pytest

from fs_exporters.tensorrt.library import Target, open_library
from fs_runtime.errors import BackendError


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "polygraphy.config", raising=False)
    monkeypatch.setenv("POLYGRAPHY_USE_TENSORRT_RTX", "0")


@pytest.mark.parametrize(("target", "module"), [("tensorrt", "tensorrt"), ("tensorrt-rtx", "tensorrt_rtx")])
def test_open_library_says_what_to_install_when_there_is_none(
    target: Target, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(BackendError, match=rf"--target {target} .*pip install 'fs-export\[{target}\]'") as caught:
        open_library(target)
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("version", ["8.6.1", "10.13.3.9", "12.0.1"])
def test_open_library_refuses_versions_it_was_not_made_for(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _installed(monkeypatch, version)
    with pytest.raises(
        BackendError, match=rf"tensorrt {version} is installed, this fs-export needs >=10\.16,<12\.0: pip"
    ):
        open_library("tensorrt")


@pytest.mark.parametrize("version", ["11.0rc1", "unknown"])
def test_open_library_says_so_when_the_version_cannot_be_read(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _installed(monkeypatch, version)
    with pytest.raises(BackendError, match=rf"tensorrt '{version}' .a version that cannot be read. is installed, this"):
        open_library("tensorrt")


def _installed(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    """A TensorRT that only tells its version, and a Polygraphy that does nothing."""
    fake = ModuleType("tensorrt")
    fake.__version__ = version  # type: ignore[attr-defined]
    real = importlib.import_module
    logger = SimpleNamespace(G_LOGGER=SimpleNamespace())
    found = {"tensorrt": fake, "polygraphy.logger": logger, "polygraphy.backend.trt": logger}
    monkeypatch.setattr(importlib, "import_module", lambda name, *_: found.get(name) or real(name, *_))


def test_open_library_refuses_when_the_process_drives_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    config = SimpleNamespace(USE_TENSORRT_RTX=True)
    monkeypatch.setitem(sys.modules, "polygraphy.config", config)
    with pytest.raises(BackendError, match="run --target tensorrt in a process of its own"):
        open_library("tensorrt")
