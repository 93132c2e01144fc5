"""Importing the packages is cheap, and their public names are there."""

import json
import subprocess
import sys

import pytest

import fs_runtime

PUBLIC = {
    "BackendError",
    "BundleError",
    "FeatureCertificate",
    "FsError",
    "ImageError",
    "ImageResult",
    "InputError",
    "LabelTarget",
    "PredictionCertificate",
    "Prototypes",
    "SmoothedEncoder",
    "SmoothedFeature",
    "Target",
    "__version__",
    "load",
}


def _loaded_by(statement: str) -> set[str]:
    """Top-level names of the modules that a fresh interpreter has loaded after ``statement``."""
    script = f"{statement}\nimport json, sys\nprint(json.dumps(sorted({{name.split('.')[0] for name in sys.modules}})))"
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(json.loads(answer.stdout))


def test_import_loads_no_library_when_it_is_fs_runtime() -> None:
    heavy = {"onnxruntime", "click", "rich", "torch", "onnx", "msgspec", "numpy", "PIL", "safetensors"}
    assert not heavy & _loaded_by("import fs_runtime; dir(fs_runtime)")


def test_import_loads_no_backend_or_terminal_when_load_is_named() -> None:
    loaded = _loaded_by("import fs_runtime; fs_runtime.load; fs_runtime.FeatureCertificate")
    assert {"numpy", "msgspec"} <= loaded
    assert not {"onnxruntime", "click", "rich", "torch", "onnx"} & loaded


def test_import_loads_no_torch_when_it_is_the_runtime_command() -> None:
    assert not {"torch", "onnx", "transformers"} & _loaded_by("import fs_runtime.cli.main")


def test_import_loads_no_torch_when_it_is_fs_export() -> None:
    assert not {"torch", "onnx", "onnxruntime"} & _loaded_by("import fs_export; dir(fs_export)")


def test_import_loads_no_torch_when_it_is_the_export_command() -> None:
    assert not {"torch", "onnx"} & _loaded_by("import fs_export.main")


def test_public_names_resolve_when_asked_for() -> None:
    assert set(fs_runtime.__all__) == PUBLIC
    assert set(dir(fs_runtime)) >= PUBLIC
    for name in PUBLIC:
        assert getattr(fs_runtime, name) is not None
    assert fs_runtime.load.__module__ == "fs_runtime.encoder"


def test_getattr_raises_when_the_name_is_unknown() -> None:
    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        fs_runtime.lod  # noqa: B018


def test_errors_carry_their_exit_codes_when_raised() -> None:
    codes = {"FsError": 1, "InputError": 2, "BundleError": 2, "ImageError": 2, "BackendError": 4}
    assert {name: getattr(fs_runtime, name).exit_code for name in codes} == codes
