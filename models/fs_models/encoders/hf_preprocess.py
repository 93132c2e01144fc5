"""A Hugging Face ``preprocessor_config.json`` as a rule that the runtime follows without transformers."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from fs_runtime.errors import InputError
from fs_runtime.preprocess import CenterCrop, Exact, PreprocessRule, Resize, ShortestEdge

Kernel = Literal["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"]

# Pillow's numbers, which the files use.
_KERNELS: dict[int, Kernel] = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box", 5: "hamming"}
_BILINEAR = 2
# Steps that no rule of ours expresses; a file that asks for one is refused.
_UNSUPPORTED = ("do_pad", "do_thumbnail", "do_align_long_axis", "do_flip_channel_order", "do_image_splitting")


@dataclass(frozen=True)
class HfPreprocess:
    """What the file says.

    Attributes:
        rule: resize and crop.
        height: rows that come out of them.
        width: columns that come out of them.
        mean: per-channel mean of the normalisation, over [0, 1] pixels.
        std: per-channel standard deviation.
    """

    rule: PreprocessRule
    height: int
    width: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


def read_preprocess(config: Mapping[str, Any], name: str) -> HfPreprocess:
    """Translate the file ``name``, already decoded.

    Raises:
        InputError: a step has no linear counterpart, or the size of the result is not fixed.
    """
    config = config.get("image_processor", config)
    for step in _UNSUPPORTED:
        if config.get(step):
            raise InputError(
                f"{name} asks for {step}, which the runtime cannot do: set it to false or use another model"
            )
    _check_rescale(config, name)
    rule = PreprocessRule(resize=_resize(config, name), crop=_crop(config, name))
    mean, std = _normalisation(config, name)
    fixed = rule.crop if rule.crop is not None else rule.resize
    if not isinstance(fixed, CenterCrop | Exact):
        raise InputError(
            f"{name} leaves the size of the input open (a shortest edge without a crop): "
            "add do_center_crop with a crop_size, or a size with height and width"
        )
    return HfPreprocess(rule=rule, height=fixed.height, width=fixed.width, mean=mean, std=std)


def _resize(config: Mapping[str, Any], name: str) -> Resize | None:
    if not config.get("do_resize", "size" in config):
        return None
    size = config.get("size")
    number = config.get("resample", _BILINEAR)
    if number not in _KERNELS:
        raise InputError(f"{name} has resample {number!r}: it must be one of Pillow's numbers 0..5")
    kernel = _KERNELS[number]
    if isinstance(size, int) and not isinstance(size, bool):
        # Old files: a number is the shortest edge where a crop follows, else a square.
        size = {"shortest_edge": size} if config.get("do_center_crop") else {"height": size, "width": size}
    if isinstance(size, Mapping) and isinstance(size.get("height"), int) and isinstance(size.get("width"), int):
        return Exact(height=size["height"], width=size["width"], kernel=kernel)
    if isinstance(size, Mapping) and isinstance(size.get("shortest_edge"), int) and "longest_edge" not in size:
        edge = size["shortest_edge"]
        ratio = config.get("crop_pct")
        if ratio:
            # ConvNeXt: enlarge, then crop back to the edge.
            edge = math.floor(edge / ratio)
        return ShortestEdge(edge=edge, kernel=kernel)
    raise InputError(f"{name} has size {size!r}: it must give height and width, or shortest_edge")


def _crop(config: Mapping[str, Any], name: str) -> CenterCrop | None:
    size = config.get("crop_size")
    if config.get("crop_pct") and not config.get("do_center_crop"):
        size = config.get("size", {}).get("shortest_edge")
    elif not config.get("do_center_crop"):
        return None
    if isinstance(size, int) and not isinstance(size, bool):
        return CenterCrop(height=size, width=size)
    if isinstance(size, Mapping) and isinstance(size.get("height"), int) and isinstance(size.get("width"), int):
        return CenterCrop(height=size["height"], width=size["width"])
    raise InputError(f"{name} has crop_size {size!r}: it must give height and width")


def _check_rescale(config: Mapping[str, Any], name: str) -> None:
    factor = config.get("rescale_factor", 1 / 255)
    if not config.get("do_rescale", True) or not math.isclose(factor, 1 / 255, rel_tol=1e-6) or config.get("offset"):
        raise InputError(
            f"{name} does not rescale by 1/255, so its pixels are not in [0, 1]: set rescale_factor to 1/255"
        )


def _normalisation(
    config: Mapping[str, Any], name: str
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    if not config.get("do_normalize", "image_mean" in config):
        return (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    mean, std = _three_numbers(config, "image_mean", name), _three_numbers(config, "image_std", name)
    if min(std) <= 0.0:
        raise InputError(f"{name} has image_std {std!r}: it must be positive")
    return mean, std


def _three_numbers(config: Mapping[str, Any], key: str, name: str) -> tuple[float, float, float]:
    values = config.get(key)
    if not isinstance(values, list | tuple) or len(values) != 3 or not all(map(_is_number, values)):
        raise InputError(f"{name} has {key} {values!r}: it must be three numbers")
    return float(values[0]), float(values[1]), float(values[2])


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
