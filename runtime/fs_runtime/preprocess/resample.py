"""Resizing as a linear operator: Pillow's kernels on float planes (docs/theory.md section 7).

In mode "F" Pillow accumulates each output in double precision and stores it as fp32, without the rounding to
integers and the clipping that its 8-bit path applies after each of its two passes. What is left is linear up
to fp32 rounding, which `fs_runtime.preprocess.linear_map.rounding_error` bounds.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Kernel = Literal["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"]

_PILLOW_FILTERS: dict[Kernel, Image.Resampling] = {
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "hamming": Image.Resampling.HAMMING,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def resize(pixels: NDArray[np.float32], height: int, width: int, kernel: Kernel) -> NDArray[np.float32]:
    """Resample an image, with antialiasing when it shrinks.

    Args:
        pixels: [H, W, 3], any finite values.
        height: Rows of the result.
        width: Columns of the result.
        kernel: Pillow's name of the kernel.

    Returns:
        [height, width, 3]. Bicubic and Lanczos overshoot: values can leave the range of the input.
    """
    resized = np.empty((height, width, pixels.shape[2]), np.float32)
    for channel in range(pixels.shape[2]):
        resized[:, :, channel] = resize_plane(pixels[:, :, channel], height, width, kernel)
    return resized


def resize_plane(plane: NDArray[np.float32], height: int, width: int, kernel: Kernel) -> NDArray[np.float32]:
    """Resample one channel: [H, W] -> [height, width]; see `resize`."""
    image = Image.fromarray(np.ascontiguousarray(plane, np.float32))
    return np.asarray(image.resize((width, height), _PILLOW_FILTERS[kernel]), np.float32)
