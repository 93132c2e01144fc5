"""The text encoder beside an image encoder, for features of texts that compare with those of images."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import nn

from fs_models.encoders.adapter import LoadRequest
from fs_models.encoders.checkpoint import Checkpoint


@dataclass(frozen=True)
class TextTower:
    """Where to find the text encoder whose features compare with an encoder's pooled ones.

    Attributes:
        request: the same checkpoint at the same revision; its tokenizer lies there too.
        model_class: name of the class of transformers that reads the text encoder from it.
        output: the field of its result that holds the text feature [B, D].
        padding: how the encoder was trained to pad texts, as the tokenizer names it.
        template: the sentence, with ``{}`` for the label, that its makers recommend for zero-shot labels.
        arguments: what ``from_pretrained`` has to be told.
    """

    request: LoadRequest
    model_class: str
    output: str
    padding: Literal["longest", "max_length"]
    template: str
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def load(self) -> nn.Module:
        """The text encoder with all its weights, in evaluation mode.

        Raises:
            InputError: the checkpoint holds the image encoder only.
        """
        import transformers

        checkpoint = Checkpoint.open(self.request)
        return checkpoint.pretrained(getattr(transformers, self.model_class), **self.arguments)

    def features(self, encoder: nn.Module, **tokens: torch.Tensor) -> torch.Tensor:
        """Text features [B, D], of any length, of what the tokenizer gives."""
        feature: torch.Tensor = getattr(encoder(**tokens), self.output)
        return feature
