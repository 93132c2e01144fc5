"""Backends by name."""

import subprocess
import sys
from pathlib import Path

import pytest
from helpers import tiny

import fs_runtime
from fs_runtime.backends import BACKENDS, find_backend, registry
from fs_runtime.errors import BackendError


def test_find_backend_gives_onnx_runtime_when_auto() -> None:
    assert find_backend("auto") is find_backend("onnxruntime")
    assert find_backend("auto").__name__ == "OnnxRuntimeBackend"


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("auto", "OnnxRuntimeCudaBackend"),
        ("onnxruntime", "OnnxRuntimeCudaBackend"),
        ("onnxruntime-tensorrt", "OnnxRuntimeTensorRtBackend"),
        ("tensorrt", "TensorRtBackend"),
    ],
)
@pytest.mark.parametrize("device", ["cuda", "cuda:3"])
def test_find_backend_gives_another_class_when_the_device_is_a_gpu(name: str, found: str, device: str) -> None:
    assert find_backend(name, device).__name__ == found


@pytest.mark.parametrize("name", ["triton", "", "ONNXRUNTIME", "os"])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_find_backend_raises_when_the_name_is_unknown(name: str, device: str) -> None:
    with pytest.raises(BackendError, match=r"no backend .*choose one of auto, onnxruntime") as caught:
        find_backend(name, device)
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("name", [name for name in BACKENDS if name != "onnxruntime"])
def test_find_backend_raises_when_the_backend_needs_a_gpu(name: str) -> None:
    with pytest.raises(BackendError, match=f"the backend {name} does not run on the device 'cpu': use --device cuda"):
        find_backend(name)


def test_find_backend_says_what_to_install_when_onnx_runtime_is_absent() -> None:
    script = (
        "import sys; sys.modules['onnxruntime'] = None\n"
        "from fs_runtime.backends import find_backend\n"
        "from fs_runtime.errors import BackendError\n"
        "for device in ('cpu', 'cuda'):\n"
        "    try:\n        find_backend('auto', device)\n"
        "    except BackendError as error:\n        print(error.exit_code, error)\n"
    )
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    lines = answer.splitlines()
    assert len(lines) == 2
    for line in lines:
        assert line.startswith("4 ")
        assert "pip install 'fs-runtime[cpu]'" in line


# ---- backends of other packages: a package with such an entry point is really found, as an installed one is


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The module of a package that names the backends ``mine`` and, in vain, ``onnxruntime``."""
    _offer(tmp_path, "fs-mine", "mine = fs_mine_backend\nonnxruntime = fs_mine_backend\n")
    module = tmp_path / "fs_mine_backend.py"
    module.write_text(
        "from fs_runtime.backends import BackendInfo, register\n"
        "from fs_runtime.backends.onnxruntime.cpu import OnnxRuntimeBackend\n"
        "@register('mine', 'cpu')\n"
        "class Mine(OnnxRuntimeBackend):\n"
        "    def __init__(self, bundle, graph, *, device, threads):\n"
        "        super().__init__(bundle, graph, device=device, threads=threads)\n"
        "        self.info = BackendInfo('mine', '1.0', device)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    find_backend("onnxruntime")  # a module registers once in a process, which must outlive the test
    monkeypatch.setattr(registry, "_BACKENDS", dict(registry._BACKENDS))
    monkeypatch.delitem(sys.modules, "fs_mine_backend", raising=False)
    return module


def _offer(folder: Path, package: str, entries: str) -> None:
    """What says that a package is installed, and which backends it has."""
    information = folder / f"{package.replace('-', '_')}-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(f"[fs_runtime.backends]\n{entries}")


def test_load_takes_a_backend_of_another_package(package: Path, tmp_path: Path) -> None:
    root, image = tiny.write_bundle(tmp_path / "bundle"), tiny.image_array()
    with fs_runtime.load(root, backend="mine", threads=1) as encoder:
        certificate = encoder.certify(image, draws=41, alpha=0.05, pilot=12, seed=5)
    assert certificate.provenance.backend.name == "mine"
    with fs_runtime.load(root, threads=1) as encoder:
        assert encoder.backend.info.name == "onnxruntime"
        assert encoder.replay(certificate, image).equal
    sys.modules.pop("fs_mine_backend")


def test_find_backend_names_those_of_other_packages(package: Path) -> None:
    with pytest.raises(BackendError, match="choose one of auto, onnxruntime, onnxruntime-tensorrt, tensorrt, mine"):
        find_backend("triton")
    with pytest.raises(BackendError, match="the backend mine does not run on the device 'cuda': use --device cpu"):
        find_backend("mine", "cuda")
    sys.modules.pop("fs_mine_backend")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import fs_nothing", r"of the package fs-mine cannot be loaded .ModuleNotFoundError: .*fs_nothing"),
        ("", "of the package fs-mine is not registered by fs_mine_backend: mend or install it again"),
        ("from fs_runtime import BackendError; raise BackendError('needs a driver: get one')", "^needs a driver"),
    ],
)
def test_find_backend_says_why_when_anothers_package_is_broken(package: Path, text: str, message: str) -> None:
    package.write_text(text)
    with pytest.raises(BackendError, match=message):
        find_backend("mine")
    sys.modules.pop("fs_mine_backend", None)


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("kind", ["cpu", "cuda"])
def test_register_refuses_a_name_of_this_package_when_the_module_is_anothers(
    package: Path, name: str, kind: str
) -> None:
    package.write_text(package.read_text().replace("@register('mine', 'cpu')", f"@register('{name}', '{kind}')"))
    message = f"^fs_mine_backend registers a backend as {name} on {kind}, but {name} is one of fs_runtime's own: give"
    with pytest.raises(BackendError, match=message):
        find_backend("mine")
    assert all(found.__module__.startswith("fs_runtime.") for found in registry._BACKENDS.values())
    assert find_backend("onnxruntime").__name__ == "OnnxRuntimeBackend"


def test_find_backend_names_both_packages_when_two_offer_one_name(package: Path) -> None:
    _offer(package.parent, "fs-yours", "mine = fs_your_backend\nyours = fs_your_backend\n")
    with pytest.raises(BackendError, match=r"^the backend mine is offered by .*: uninstall all but one") as caught:
        find_backend("mine")
    for offer in ("the package fs-mine (fs_mine_backend)", "the package fs-yours (fs_your_backend)"):
        assert offer in str(caught.value)
    assert "fs_mine_backend" not in sys.modules
    with pytest.raises(BackendError, match=r"tensorrt, (mine, yours|yours, mine)$"):
        find_backend("triton")


def test_register_names_both_modules_when_two_take_one_name(package: Path) -> None:
    _offer(package.parent, "fs-yours", "yours = fs_your_backend\n")
    (package.parent / "fs_your_backend.py").write_text(package.read_text())
    first = find_backend("mine")
    with pytest.raises(
        BackendError, match=r"^fs_mine_backend and fs_your_backend both register a backend as mine on cpu: give one"
    ):
        find_backend("yours")
    assert find_backend("mine") is first
    sys.modules.pop("fs_mine_backend")
