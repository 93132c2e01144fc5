"""What preprocessing a bundle asks for, and the geometry it gives for one image.

The manifest embeds these structs, so msgspec checks their bounds wherever a rule is read from JSON.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import msgspec

from fs_runtime.errors import ImageError
from fs_runtime.preprocess.resample import Kernel

MAX_RESIZED_SIDE = 16_384
"""Longest side, in pixels, that a rule may ask for or that resizing may produce."""

MAX_SOURCE_SIDE = 65_535
"""Longest side, in pixels, of an image that is to be resized (JPEG's own limit)."""

Side = Annotated[int, msgspec.Meta(ge=1, le=MAX_RESIZED_SIDE)]


class ShortestEdge(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="mode", tag="shortest_edge"):
    """Resize so that the shorter side has `edge` pixels, keeping the aspect ratio."""

    edge: Side
    kernel: Kernel


class Exact(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="mode", tag="exact"):
    """Resize to exactly `height` x `width`, whatever the aspect ratio."""

    height: Side
    width: Side
    kernel: Kernel


Resize = ShortestEdge | Exact


class CenterCrop(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Keep the central `height` x `width` pixels; where the image is smaller, pad it with zeros (black)."""

    height: Side
    width: Side


class PreprocessRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Resize, then crop; either may be absent."""

    resize: Resize | None = None
    crop: CenterCrop | None = None


@dataclass(frozen=True)
class Geometry:
    """Where the pixels of one image go: a function of its size and the rule, never of its content.

    Attributes:
        source: (height, width) of the original image.
        resized: (height, width) after resizing; equals `source` without a resize.
        kernel: Resampling kernel, None without a resize.
        offset: (top, left) of the output window in the resized image; negative where zeros are padded.
        output: (height, width) of the result.
    """

    source: tuple[int, int]
    resized: tuple[int, int]
    kernel: Kernel | None
    offset: tuple[int, int]
    output: tuple[int, int]

    def kept(self, axis: int) -> tuple[int, int]:
        """First and one past the last resized row (axis 0) or column (axis 1) that the crop keeps."""
        first = max(0, self.offset[axis])
        return first, min(self.resized[axis], self.offset[axis] + self.output[axis])


def plan(rule: PreprocessRule, height: int, width: int, *, name: str = "the image") -> Geometry:
    """Work out the geometry for an image of `height` x `width` pixels.

    Sizes and offsets follow transformers: the longer side is ``int(edge * long / short)``, and the crop starts
    at ``(resized - crop) // 2``, also when that is negative.

    Args:
        rule: What the bundle asks for.
        height: Rows of the original image.
        width: Columns of the original image.
        name: What the error message calls the image.

    Raises:
        ImageError: If the image is too elongated or too large for the rule.
    """
    resized, kernel = (height, width), None
    if rule.resize is not None:
        resized, kernel = _resized_size(rule.resize, height, width), rule.resize.kernel
        if max(height, width) > MAX_SOURCE_SIDE or max(resized) > MAX_RESIZED_SIDE:
            raise ImageError(
                f"{name} of {width} x {height} pixels cannot be resized to {resized[1]} x {resized[0]}: a side "
                f"may have at most {MAX_SOURCE_SIDE} before and {MAX_RESIZED_SIDE} after; crop or shrink it first"
            )
    output = resized if rule.crop is None else (rule.crop.height, rule.crop.width)
    offset = ((resized[0] - output[0]) // 2, (resized[1] - output[1]) // 2)
    return Geometry((height, width), resized, kernel, offset, output)


def _resized_size(rule: Resize, height: int, width: int) -> tuple[int, int]:
    if isinstance(rule, Exact):
        return rule.height, rule.width
    if height <= width:
        return rule.edge, int(rule.edge * width / height)
    return int(rule.edge * height / width), rule.edge
