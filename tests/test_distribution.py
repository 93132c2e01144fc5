"""The runtime as its users get it: the built wheel in a clean environment, without PyTorch."""

import json
import subprocess
import sys
import textwrap
import venv
import zipfile
from pathlib import Path

import pytest
from helpers.tiny import write_bundle

ROOT = Path(__file__).parent.parent
NEVER = ("torch", "transformers", "onnx", "onnxscript", "scipy", "skimage")
LARGEST_WHEEL = 1_000_000

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, ROOT / "runtime"], check=True
    )
    (made,) = folder.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def clean_python(wheel, tmp_path_factory):
    """Python of an environment that holds the wheel with its extra [cpu], and nothing else."""
    folder = tmp_path_factory.mktemp("clean")
    venv.create(folder)
    python = folder / "bin" / "python"
    # By the pip that is here, and without compiling what nothing imports.
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-compile"]
    subprocess.run([*pip, "-c", ROOT / "constraints.txt", f"{wheel}[cpu]"], check=True)
    return python


def test_wheel_is_small_and_holds_only_the_package_when_built(wheel):
    names = subprocess.run(
        [sys.executable, "-m", "zipfile", "-l", wheel], check=True, capture_output=True, text=True
    ).stdout
    assert wheel.stat().st_size <= LARGEST_WHEEL
    assert "fs_runtime/py.typed" in names
    for kernel in ("index.json", "sm_90.cubin", "compute_75.ptx", "grid_noise.h"):
        assert f"fs_runtime/noise/device/kernels/{kernel}" in names
    assert "tests/" not in names
    assert "fs_export" not in names


def test_export_wheel_holds_the_names_and_their_licence_when_built(tmp_path):
    subprocess.run([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", tmp_path, ROOT], check=True)
    (made,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(made) as files:
        names = files.namelist()
        data = "fs_models/encoders/data"
        assert files.read(f"{data}/imagenet.names.txt").count(b"\n") == 1000
        assert files.read(f"{data}/imagenet.ids.txt").count(b"\n") == 1000
        notice = files.read(f"{data}/NOTICE")
        assert b"WordNet 3.0 Copyright 2006 by Princeton University" in notice
        (licence,) = [name for name in names if "/licenses/" in name and name.endswith("/NOTICE")]
        assert files.read(licence) == notice
    assert "fs_export/py.typed" in names
    assert not [name for name in names if name.startswith(("tests/", "fs_runtime/"))]


def test_runtime_certifies_when_the_build_machines_libraries_are_absent(clean_python, tmp_path):
    bundle = write_bundle(tmp_path / "bundle")
    script = textwrap.dedent(
        """
        import importlib.util, json, sys
        import numpy as np
        import fs_runtime

        bundle, never = sys.argv[1], sys.argv[2].split(",")
        with fs_runtime.load(bundle) as encoder:
            manifest = encoder.manifest
            image = np.full((manifest.height, manifest.width, 3), 0.5, np.float32)
            certificate = encoder.certify(image, draws=64, alpha=0.05, seed=1)
        print(json.dumps({
            "installed": [name for name in never if importlib.util.find_spec(name)],
            "imported": [name for name in never if name in sys.modules],
            "draws": certificate.draws,
            "angle": certificate.angle(0.0),
        }))
        """
    )
    command = [clean_python, "-I", "-c", script, bundle, ",".join(NEVER)]
    result = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert result["installed"] == []
    assert result["imported"] == []
    assert result["draws"] == 64
    assert 0.0 <= result["angle"] <= 3.15


def test_command_runs_when_only_the_wheel_is_installed(clean_python, tmp_path):
    bundle = write_bundle(tmp_path / "bundle")
    command = clean_python.with_name("fs-runtime")
    shown = subprocess.run([command, "inspect", bundle, "--json"], check=True, capture_output=True, text=True).stdout
    assert json.loads(shown)["schema"] == "fs-runtime/bundle/1"
    schema = subprocess.run([command, "schema", "feature"], check=True, capture_output=True, text=True).stdout
    assert json.loads(schema)["$id"] == "urn:fs-runtime:feature-certificate:1"
