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

MAX_PADDED_SIDE = 8_000
"""Side, in pixels, of the largest square that an image is padded to: 64 megapixels."""

Side = Annotated[int, msgspec.Meta(ge=1, le=MAX_RESIZED_SIDE)]
Unit = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]


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


class PadSquare(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Put the image in the middle of a square as long as its longer side, on a ground of one colour (RGB in [0, 1])."""

    fill: tuple[Unit, Unit, Unit]


class PreprocessRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Pad, then resize, then crop; each may be absent."""

    resize: Resize | None = None
    crop: CenterCrop | None = None
    pad: PadSquare | None = None


@dataclass(frozen=True)
class Geometry:
    """Where the pixels of one image go: a function of its size and the rule, never of its content.

    Attributes:
        source: (height, width) of the original image.
        padded: (height, width) after padding; equals `source` without it.
        place: (top, left) of the original image in the padded one.
        fill: Colour of what is padded before resizing.
        resized: (height, width) after resizing; equals `padded` without a resize.
        kernel: Resampling kernel, None without a resize.
        offset: (top, left) of the output window in the resized image; negative where zeros are padded.
        output: (height, width) of the result.
    """

    source: tuple[int, int]
    padded: tuple[int, int]
    place: tuple[int, int]
    fill: tuple[float, float, float]
    resized: tuple[int, int]
    kernel: Kernel | None
    offset: tuple[int, int]
    output: tuple[int, int]

    @property
    def resizes(self) -> bool:
        """Whether resampling does anything; Pillow copies an image that keeps its size."""
        return self.kernel is not None and self.resized != self.padded

    def placed(self, axis: int) -> tuple[int, int]:
        """First and one past the last padded row (axis 0) or column (axis 1) that the original image fills."""
        return self.place[axis], self.place[axis] + self.source[axis]

    def kept(self, axis: int) -> tuple[int, int]:
        """First and one past the last resized row (axis 0) or column (axis 1) that the crop keeps."""
        first = max(0, self.offset[axis])
        return first, min(self.resized[axis], self.offset[axis] + self.output[axis])


def plan(rule: PreprocessRule, height: int, width: int, *, name: str = "the image") -> Geometry:
    """Work out the geometry for an image of `height` x `width` pixels.

    Sizes and offsets follow transformers: the longer side is ``int(edge * long / short)``, the crop starts
    at ``(resized - crop) // 2``, also when that is negative, and padding starts at ``(long - short) // 2``.

    Args:
        rule: What the bundle asks for.
        height: Rows of the original image.
        width: Columns of the original image.
        name: What the error message calls the image.

    Raises:
        ImageError: If the image is too elongated or too large for the rule.
    """
    padded = (height, width)
    if rule.pad is not None:
        padded = (max(height, width),) * 2
        if max(padded) > MAX_PADDED_SIDE:
            raise ImageError(
                f"{name} of {width} x {height} pixels cannot be padded to a square: its longer side may have at most "
                f"{MAX_PADDED_SIDE} pixels; crop or shrink it first"
            )
    place = ((padded[0] - height) // 2, (padded[1] - width) // 2)
    resized, kernel = padded, None
    if rule.resize is not None:
        resized, kernel = _resized_size(rule.resize, *padded), rule.resize.kernel
        if max(padded) > MAX_SOURCE_SIDE or max(resized) > MAX_RESIZED_SIDE:
            raise ImageError(
                f"{name} of {width} x {height} pixels cannot be resized to {resized[1]} x {resized[0]}: a side "
                f"may have at most {MAX_SOURCE_SIDE} before and {MAX_RESIZED_SIDE} after; crop or shrink it first"
            )
    output = resized if rule.crop is None else (rule.crop.height, rule.crop.width)
    offset = ((resized[0] - output[0]) // 2, (resized[1] - output[1]) // 2)
    return Geometry(
        source=(height, width),
        padded=padded,
        place=place,
        fill=(0.0, 0.0, 0.0) if rule.pad is None else rule.pad.fill,
        resized=resized,
        kernel=kernel,
        offset=offset,
        output=output,
    )


def _resized_size(rule: Resize, height: int, width: int) -> tuple[int, int]:
    if isinstance(rule, Exact):
        return rule.height, rule.width
    if height <= width:
        return rule.edge, int(rule.edge * width / height)
    return int(rule.edge * height / width), rule.edge
