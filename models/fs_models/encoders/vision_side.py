"""The vision side of a multimodal language model: its tower, and what fits the tower's tokens to the decoder."""

from abc import abstractmethod
from typing import Any, ClassVar

import torch
from torch import nn

from fs_models.encoders.checkpoint import Checkpoint
from fs_models.encoders.transformers_adapter import TransformersAdapter
from fs_runtime.bundle.manifest import Tap


class VisionSide(TransformersAdapter):
    """``tokens``: the image's part of the decoder's input; of ``MODEL#tower``: what the tower gives to the projector.

    The language model is neither built nor are its weights kept.
    """

    taps = ("tokens",)
    parts = ("tower",)
    base_models: ClassVar[dict[str, str]]
    """For each model type the class of transformers that holds vision side and language model."""
    language: ClassVar[str] = "language_model"

    @classmethod
    def build(cls, checkpoint: Checkpoint, tap: Tap) -> nn.Module:  # noqa: ARG003
        """The base model without its language model."""
        import transformers

        loader = getattr(transformers, cls.base_models[checkpoint.model_type])
        network = checkpoint.pretrained(
            loader,
            config=_without_text(checkpoint),
            ignore_mismatched_sizes=True,  # of the language model; all others are refused
            spare=lambda name: name.startswith(f"{cls.language}."),
        )
        setattr(network, cls.language, nn.Identity())
        return network

    def encode(self, normalised: torch.Tensor) -> torch.Tensor:
        """Tokens [B, L, C]."""
        hidden = self.tower(normalised)
        return hidden if self.part == "tower" else self.project(hidden)

    @abstractmethod
    def tower(self, normalised: torch.Tensor) -> torch.Tensor:
        """What the vision tower gives to the projector, [B, L, C]."""

    @abstractmethod
    def project(self, hidden: torch.Tensor) -> torch.Tensor:
        """What the decoder reads, [B, L, C], of the tower's output."""


def _without_text(checkpoint: Checkpoint) -> Any:
    """The checkpoint's configuration with the smallest of language models, which is dropped after loading."""
    from transformers import AutoConfig

    config = checkpoint.configuration(AutoConfig)
    text = config.get_text_config()
    text.num_hidden_layers, text.vocab_size, text.pad_token_id = 0, 1, None
    if getattr(text, "layer_types", None):
        text.layer_types = []
    return config
