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


def with_defaults(config: Mapping[str, Any], name: str, known: Collection[str] = ()) -> dict[str, Any]:
    """The settings of the file ``name`` with those that its processor's class adds.

    Args:
        config: the settings.
        name: what an error message calls their file.
        known: processors whose own steps the caller stands for.

    Raises:
        InputError: the class has steps of its own that no rule of ours follows.
    """
    import transformers

    kind = processor_name(config)
    if not kind:
        return dict(config)
    # The class that works on Pillow's images is there with and without torchvision.
    processor = getattr(transformers, f"{kind}Pil", None)
    if kind not in (*_KNOWN, *known) and (processor is None or _has_own_steps(processor)):
        raise InputError(
            f"{name} names {kind}, which prepares images in a way of its own that the runtime does not know: "
            "give a preprocessor_config.json of CLIPImageProcessor or ViTImageProcessor with the same sizes"
        )
    if processor is None:
        return dict(config)
    defaults = {key: value for key in _SETTINGS if (value := getattr(processor, key, None)) is not None}
    return defaults | dict(config)


def _has_own_steps(processor: type) -> bool:
    """Whether a class does any step otherwise than all do."""
    common = next(base for base in processor.__mro__ if base.__name__ == "PilBackend")
    return any(getattr(processor, step) is not getattr(common, step) for step in _STEPS)
