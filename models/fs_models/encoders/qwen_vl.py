"""Qwen2-VL and Qwen2.5-VL, at a resolution that is fixed by the export."""

from typing import Any, ClassVar

import torch

from fs_models.encoders.adapter import EncoderSpec
from fs_models.encoders.checkpoint import Checkpoint
from fs_models.encoders.hf_preprocess import read_preprocess
from fs_models.encoders.preprocessing import Preprocessing
from fs_models.encoders.qwen_vision import QwenVision
from fs_models.encoders.registry import register
from fs_models.encoders.vision_side import VisionSide
from fs_runtime.errors import InputError

_DEFAULT = 448


@register
class QwenVL(VisionSide):
    """``tokens``: after the merger; of ``MODEL#tower``: before it, in the order of the attention windows."""

    family = "qwen-vl"
    base_models: ClassVar[dict[str, str]] = {"qwen2_vl": "Qwen2VLModel", "qwen2_5_vl": "Qwen2_5_VLModel"}
    model_types = tuple(base_models)
    examples = ("Qwen/Qwen2-VL-2B-Instruct", "Qwen/Qwen2.5-VL-3B-Instruct")

    def __init__(self, spec: EncoderSpec, network: Any) -> None:
        super().__init__(spec, QwenVision(network.visual, spec.height, spec.width))

    @classmethod
    def preprocessing(cls, checkpoint: Checkpoint) -> Preprocessing:
        """Resized to the size that was asked for, whatever the image's shape."""
        config, name = checkpoint.processor()
        height, width = checkpoint.request.image_size or (_DEFAULT, _DEFAULT)
        vision = checkpoint.config.get("vision_config", {})
        unit = vision.get("patch_size", 14) * vision.get("spatial_merge_size", 2)
        least, most = _pixels(config)
        if height % unit or width % unit or not least <= height * width <= most:
            raise InputError(
                f"{checkpoint.model} takes sides that are multiples of {unit} with {least} to {most} pixels in all, "
                f"not {height} x {width}: choose another --image-size"
            )
        size = {"height": height, "width": width}
        return read_preprocess({**config, "size": size}, name, known=("Qwen2VLImageProcessor",))

    def tower(self, normalised: torch.Tensor) -> torch.Tensor:
        """Hidden states before the merger."""
        hidden: torch.Tensor = self.network(normalised)
        return hidden

    def project(self, hidden: torch.Tensor) -> torch.Tensor:
        """Through the merger."""
        merged: torch.Tensor = self.network.merged(hidden)
        return merged


def _pixels(config: dict[str, Any]) -> tuple[int, int]:
    """The fewest and the most pixels that the processor makes."""
    size = config.get("size") or {}
    least = config.get("min_pixels") or size.get("shortest_edge") or 56 * 56
    most = config.get("max_pixels") or size.get("longest_edge") or 28 * 28 * 1280
    return int(least), int(most)
