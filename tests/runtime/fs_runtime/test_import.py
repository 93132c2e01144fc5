"""Importing the packages is cheap, and their public names are there."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import tiny

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


@pytest.mark.parametrize(("given", "kept"), [({}, "1"), ({"ORT_DISABLE_TELEMETRY": "0"}, "0")])
def test_import_switches_onnx_runtimes_telemetry_off_when_nobody_said_otherwise(
    given: dict[str, str], kept: str
) -> None:
    script = "import fs_runtime, os; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    rest = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    answer = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env={**rest, **given}
    )
    assert answer.stdout.strip() == kept


def test_onnx_runtime_leaves_no_identifier_when_a_bundle_is_served(tmp_path: Path) -> None:
    bundle = tiny.write_bundle(tmp_path / "bundle")
    home = tmp_path / "home"
    home.mkdir()
    script = "import sys, fs_runtime; fs_runtime.load(sys.argv[1], threads=1).close()"
    # CI is what switches the telemetry off too, and so would hide that nothing else did.
    hiding = ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME", "CI", "GITHUB_ACTIONS", "TF_BUILD")
    rest = {name: value for name, value in os.environ.items() if name not in hiding}
    subprocess.run([sys.executable, "-c", script, bundle], check=True, env={**rest, "HOME": str(home)})
    assert list(home.rglob("*")) == []
