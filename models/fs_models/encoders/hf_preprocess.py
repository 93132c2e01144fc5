"""A Hugging Face ``preprocessor_config.json`` as a rule that the runtime follows without transformers."""

import math
from collections.abc import Collection, Mapping
from typing import Any

from fs_models.encoders.hf_processors import processor_name, with_defaults
from fs_models.encoders.preprocessing import Kernel, Preprocessing
from fs_runtime.errors import InputError
from fs_runtime.preprocess import CenterCrop, Exact, PadSquare, PreprocessRule, Resize, ShortestEdge

# Pillow's numbers, which the files use.
_KERNELS: dict[int, Kernel] = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box", 5: "hamming"}
_BILINEAR = 2
# From here on ConvNeXt neither enlarges nor crops.
_CONVNEXT_WARPS = 384
# Steps that no rule of ours expresses; a file that asks for one is refused.
_UNSUPPORTED = ("do_thumbnail", "do_align_long_axis", "do_flip_channel_order", "do_image_splitting")


def read_preprocess(config: Mapping[str, Any], name: str, known: Collection[str] = ()) -> Preprocessing:
    """Translate the file ``name``, already decoded.

    Args:
        config: its content.
        name: what an error message calls it.
        known: processors whose own steps the caller stands for.

    Raises:
        InputError: a step has no linear counterpart, or the size of the result is not fixed.
    """
    config = with_defaults(config.get("image_processor", config), name, known)
    for step in _UNSUPPORTED:
        if config.get(step):
            raise InputError(
                f"{name} asks for {step}, which the runtime cannot do: set it to false or use another model"
            )
    _check_rescale(config, name)
    mean, std = _normalisation(config, name)
    rule = PreprocessRule(resize=_resize(config, name), crop=_crop(config, name), pad=_pad(config, name, mean))
    fixed = rule.crop if rule.crop is not None else rule.resize
    if not isinstance(fixed, CenterCrop | Exact):
        raise InputError(
            f"{name} leaves the size of the input open (a shortest edge without a crop): "
            "add do_center_crop with a crop_size, or a size with height and width"
        )
    return Preprocessing(rule=rule, height=fixed.height, width=fixed.width, mean=mean, std=std)


def _resize(config: Mapping[str, Any], name: str) -> Resize | None:
    if not config.get("do_resize", "size" in config):
        return None
    size = config.get("size")
    number = config.get("resample", _BILINEAR)
    if number not in _KERNELS:
        raise InputError(f"{name} has resample {number!r}: it must be one of Pillow's numbers 0..5")
    kernel = _KERNELS[number]
    if isinstance(size, int) and not isinstance(size, bool):
        # Old files. Where nothing says what a number means, it is the shortest edge if a crop follows, else a square.
        square = config.get("default_to_square", not config.get("do_center_crop"))
        size = {"height": size, "width": size} if square else {"shortest_edge": size}
    size = _without_nulls(size)
    if isinstance(size, Mapping) and isinstance(size.get("height"), int) and isinstance(size.get("width"), int):
        return Exact(height=size["height"], width=size["width"], kernel=kernel)
    if isinstance(size, Mapping) and isinstance(size.get("shortest_edge"), int) and "longest_edge" not in size:
        edge = size["shortest_edge"]
        if ratio := config.get("crop_pct"):
            if edge >= _CONVNEXT_WARPS:
                return Exact(height=edge, width=edge, kernel=kernel)
            # ConvNeXt: enlarge, then crop back to the edge.
            edge = math.floor(edge / ratio)
        return ShortestEdge(edge=edge, kernel=kernel)
    raise InputError(f"{name} has size {size!r}: it must give height and width, or shortest_edge")


def _crop(config: Mapping[str, Any], name: str) -> CenterCrop | None:
    size = _without_nulls(config.get("crop_size"))
    if config.get("crop_pct") and not config.get("do_center_crop"):
        edge = config.get("size")
        size = edge.get("shortest_edge") if isinstance(edge, Mapping) else edge
        if isinstance(size, int) and size >= _CONVNEXT_WARPS:
            return None
    elif not config.get("do_center_crop"):
        return None
    if isinstance(size, int) and not isinstance(size, bool):
        return CenterCrop(height=size, width=size)
    if isinstance(size, Mapping) and isinstance(size.get("height"), int) and isinstance(size.get("width"), int):
        return CenterCrop(height=size["height"], width=size["width"])
    raise InputError(f"{name} has crop_size {size!r}: it must give height and width")


def _pad(config: Mapping[str, Any], name: str, mean: tuple[float, ...]) -> PadSquare | None:
    if not config.get("do_pad"):
        return None
    if processor_name(config) != "LlavaImageProcessor":
        raise InputError(f"{name} asks for do_pad, which the runtime does as LlavaImageProcessor only: set it to false")
    red, green, blue = (int(value * 255) / 255 for value in mean)
    return PadSquare(fill=(red, green, blue))


def _without_nulls(size: Any) -> Any:
    return {key: value for key, value in size.items() if value is not None} if isinstance(size, Mapping) else size


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
