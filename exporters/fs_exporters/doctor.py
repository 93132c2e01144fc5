"""What the build machine needs beyond the deployment machine."""

from importlib.util import find_spec

from fs_runtime.doctor.check import Check, judged
from fs_runtime.doctor.packages import Package, check_packages, check_python

_LEAST_PYTHON = (3, 11)
_PACKAGES = (
    Package("torch", "torch", "2.9"),
    Package("transformers", "transformers", "5.0"),
    Package("onnx", "onnx", "1.18"),
    Package("onnxscript", "onnxscript", "0.5"),
    Package("onnx-ir", "onnx_ir", "1.1"),
)


def check_build_machine() -> tuple[Check, ...]:
    """Python, the packages that exporting needs, and Polygraphy, which only plans need."""
    polygraphy = judged(
        "polygraphy",
        find_spec("polygraphy") is not None,
        needed=False,
        expected="installed, for fs-export build",
        actual="installed" if find_spec("polygraphy") else "not installed",
        remedy="pip install 'fs-export[tensorrt-rtx]' or 'fs-export[tensorrt]'",
    )
    return (check_python(_LEAST_PYTHON), *check_packages(_PACKAGES), polygraphy)
