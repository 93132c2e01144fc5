"""CLIP's vision tower with its projection, from a two-tower checkpoint or the vision tower's own."""

import torch
from torch import nn

from fs_models.encoders.checkpoint import Checkpoint
from fs_models.encoders.registry import register
from fs_models.encoders.text_tower import TextTower
from fs_models.encoders.transformers_adapter import TransformersAdapter
from fs_runtime.bundle.manifest import Tap


@register
class Clip(TransformersAdapter):
    """``pooled``: the projection that is compared with texts; ``cls`` and ``tokens``: before the last layer norm."""

    family = "clip"
    model_types = ("clip", "clip_vision_model")
    taps = ("pooled", "cls", "tokens")
    examples = ("openai/clip-vit-base-patch32", "openai/clip-vit-large-patch14-336")

    @classmethod
    def build(cls, checkpoint: Checkpoint, tap: Tap) -> nn.Module:
        """CLIPVisionModelWithProjection; of a two-tower checkpoint only the vision tower is loaded."""
        from transformers import CLIPVisionModelWithProjection

        # Two-tower checkpoints keep the projection's width at the top.
        width = checkpoint.config.get("projection_dim") if "vision_config" in checkpoint.config else None
        arguments = {} if width is None else {"projection_dim": width}
        # A plain vision tower has no projection; only the pooled feature needs one.
        return checkpoint.pretrained(
            CLIPVisionModelWithProjection, spare=lambda name: tap != "pooled" and "projection" in name, **arguments
        )

    def encode(self, normalised: torch.Tensor) -> torch.Tensor:
        """The tap's feature: [B, D], or [B, L, C] for tokens."""
        if self.spec.tap == "pooled":
            projected: torch.Tensor = self.network(pixel_values=normalised).image_embeds
            return projected
        return super().encode(normalised)

    def text_tower(self) -> TextTower | None:
        """The text tower of the same checkpoint."""
        width = {"projection_dim": self.network.config.projection_dim}
        return TextTower(
            self.sibling(), "CLIPTextModelWithProjection", "text_embeds", "longest", "a photo of a {}.", width
        )
