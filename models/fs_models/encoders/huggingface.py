"""Any other transformers model that takes the pixels of one image."""

from typing import Any

from torch import nn

from fs_models.encoders.checkpoint import Checkpoint
from fs_models.encoders.registry import register
from fs_models.encoders.transformers_adapter import TransformersAdapter
from fs_runtime.bundle.manifest import Tap
from fs_runtime.errors import InputError

_CLASS_TOKENS = ("cls_token", "class_token", "class_embedding")


@register
class HuggingFace(TransformersAdapter):
    """Models without a family of their own, as far as their base model gives hidden states or a pooled feature.

    Taps: ``pooled`` (the pooler's output), ``cls`` (the first token of the last hidden state) and ``tokens``
    (all of it).
    """

    family = "huggingface"
    taps = ("pooled", "cls", "tokens")
    examples = ("facebook/ijepa_vith14_1k", "microsoft/swin-tiny-patch4-window7-224", "./folder")

    @classmethod
    def reads(cls, checkpoint: Checkpoint) -> bool:
        """Whether the base model of this type takes an image, or comes with code that the user trusts."""
        return "auto_map" in checkpoint.config or takes_images(checkpoint.model_type)

    @classmethod
    def build(cls, checkpoint: Checkpoint, tap: Tap) -> nn.Module:
        """The base model; without a class token its first token is a patch like all others, and no ``cls``."""
        network = super().build(checkpoint, tap)
        names = [name for name, _ in network.named_parameters()]
        if tap == "cls" and not any(part in name for part in _CLASS_TOKENS for name in names):
            raise InputError(f"{checkpoint.model} has no class token, so no tap 'cls': use another --tap")
        return network


def takes_images(model_type: str) -> bool:
    """Whether the base model that transformers has for this type takes an image and nothing else."""
    return model_inputs(model_type) == "pixel_values"


def model_inputs(model_type: str) -> str | None:
    """The main input of the base model of this type; None where transformers has none."""
    from transformers import CONFIG_MAPPING, MODEL_MAPPING

    if model_type not in CONFIG_MAPPING:
        return None
    base: Any = MODEL_MAPPING.get(CONFIG_MAPPING[model_type], None)
    if isinstance(base, tuple):
        base = base[0]
    return None if base is None else str(base.main_input_name)
