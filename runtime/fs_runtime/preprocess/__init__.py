"""From an image to the pixels a graph receives, by a map whose l2 norm is known.

Image -> decode -> pad -> float linear resize and crop -> clip to [0, 1] -> grid of step 2^-20 -> fp32 [1, 3, H, W].
Everything before the clip is one linear operator and a constant, so a certified radius at the graph's input also
covers a radius at the original image (docs/theory.md section 7).
"""

from fs_runtime.preprocess.decode import MAX_PIXELS, Decoded, ImageLike, decode
from fs_runtime.preprocess.folder import image_files
from fs_runtime.preprocess.linear_map import axis_matrix, operator_norm, rounding_error
from fs_runtime.preprocess.pipeline import PreparedImage, prepare
from fs_runtime.preprocess.resample import Kernel, resize
from fs_runtime.preprocess.rule import (
    CenterCrop,
    Exact,
    Geometry,
    PadSquare,
    PreprocessRule,
    Resize,
    ShortestEdge,
    plan,
)

__all__ = [
    "MAX_PIXELS",
    "CenterCrop",
    "Decoded",
    "Exact",
    "Geometry",
    "ImageLike",
    "Kernel",
    "PadSquare",
    "PreparedImage",
    "PreprocessRule",
    "Resize",
    "ShortestEdge",
    "axis_matrix",
    "decode",
    "image_files",
    "operator_norm",
    "plan",
    "prepare",
    "resize",
    "rounding_error",
]
