"""TensorRT and TensorRT-RTX plans: one code path for TensorRT 10.16, 11 and RTX."""

from fs_exporters.tensorrt.build import BuildRequest, BuildResult, build_engines
from fs_exporters.tensorrt.library import TARGETS, Target
from fs_exporters.tensorrt.verify import EngineVerdict, verify_engines

__all__ = [
    "TARGETS",
    "BuildRequest",
    "BuildResult",
    "EngineVerdict",
    "Target",
    "build_engines",
    "verify_engines",
]
