"""What image processors of transformers do without saying so in their file: defaults, and steps of their own."""

from collections.abc import Collection, Mapping
from typing import Any

from fs_runtime.errors import InputError

_SETTINGS = (
    "do_resize",
    "size",
    "default_to_square",
    "resample",
    "do_center_crop",
    "crop_size",
    "crop_pct",
    "do_rescale",
    "rescale_factor",
    "do_normalize",
    "image_mean",
    "image_std",
    "do_pad",
)
_STEPS = ("_preprocess", "resize", "center_crop", "rescale", "normalize")
# Processors with steps of their own that hf_preprocess knows, or that touch segmentation maps only.
_KNOWN = tuple(f"{name}ImageProcessor" for name in ("Beit", "ConvNext", "DINOv3ViT", "Llava", "MobileNetV2"))


def processor_name(config: Mapping[str, Any]) -> str:
    """Name of the image processor's class, without what tells how it is implemented; empty where the file has none."""
    name = str(config.get("image_processor_type") or config.get("feature_extractor_type") or "")
    return name.removesuffix("Fast").replace("FeatureExtractor", "ImageProcessor")


def named(config: Mapping[str, Any], model: Mapping[str, Any]) -> dict[str, Any]:
    """The settings ``config`` with the processor that transformers takes where they name none: that of the model.

    Args:
        config: the settings.
        model: the model's config.json.
    """
    from transformers.models.auto import image_processing_auto

    if processor_name(config) or config.get("auto_map"):
        return dict(config)
    by_types: Mapping[str, Any] = vars(image_processing_auto)["IMAGE_PROCESSOR_MAPPING_NAMES"]
    classes = by_types.get(str(model.get("model_type")), {})
    by_type = str(classes.get("pil") or classes.get("torchvision") or "").removesuffix("Pil")
    kind = model.get("image_processor_type") or by_type
    return {**config, "image_processor_type": kind} if kind else dict(config)


def with_defaults(config: Mapping[str, Any], name: str, known: Collection[str] = ()) -> dict[str, Any]:
    """The settings of the file ``name`` with those that its processor's class adds.

    Args:
        config: the settings.
        name: what an error message calls their file.
        known: processors whose own steps the caller stands for.

    Raises:
        InputError: the class has steps of its own that no rule of ours follows, or no class is known and the file
            leaves open what one would decide.
    """
    import transformers

    kind = processor_name(config)
    if not kind:
        _check_complete(config, name)
        return dict(config)
    # The class that works on Pillow's images is there with and without torchvision.
    processor = getattr(transformers, f"{kind}Pil", None)
    if kind not in (*_KNOWN, *known) and (processor is None or _has_own_steps(processor)):
        raise InputError(
            f"{name} is for {kind}, which prepares images in a way of its own that the runtime does not know: "
            "give a preprocessor_config.json of CLIPImageProcessor or ViTImageProcessor with the same sizes"
        )
    if processor is None:
        return dict(config)
    defaults = {key: value for key in _SETTINGS if (value := getattr(processor, key, None)) is not None}
    return defaults | dict(config)


def _check_complete(config: Mapping[str, Any], name: str) -> None:
    """Refuse settings of no known processor that leave pixels to its defaults."""
    needed = [] if "size" in config else ["do_resize"]
    if config.get("do_resize", True):
        needed.append("resample")
    if config.get("do_normalize") is not False:
        needed += ["image_mean", "image_std"]
    if config.get("crop_size") is not None and not config.get("crop_pct"):
        needed.append("do_center_crop")
    missing = [key for key in needed if config.get(key) is None]
    if missing:
        raise InputError(
            f"{name} names no image processor whose defaults would hold and lacks {', '.join(missing)}: "
            "add them, or save the model's image processor again with save_pretrained"
        )


def _has_own_steps(processor: type) -> bool:
    """Whether a class does any step otherwise than all do."""
    common = next(base for base in processor.__mro__ if base.__name__ == "PilBackend")
    return any(getattr(processor, step) is not getattr(common, step) for step in _STEPS)
