"""TensorRT and TensorRT-RTX plans: one code path for TensorRT 10.16, 11 and RTX."""

from fs_exporters.tensorrt.build import BuildRequest, BuildResult, build_engines
from fs_exporters.tensorrt.library import TARGETS, Target

__all__ = ["TARGETS", "BuildRequest", "BuildResult", "Target", "build_engines"]
