"""SigLIP's vision tower, and SigLIP 2's of a fixed resolution, which has the same architecture."""

from fs_models.encoders.registry import register
from fs_models.encoders.text_tower import TextTower
from fs_models.encoders.transformers_adapter import TransformersAdapter


@register
class Siglip(TransformersAdapter):
    """``pooled``: the attention pooling that is compared with texts; ``tokens``: the patches."""

    family = "siglip"
    model_types = ("siglip", "siglip_vision_model")
    loader = "SiglipVisionModel"
    taps = ("pooled", "tokens")
    examples = ("google/siglip-base-patch16-224", "google/siglip2-base-patch16-224")

    def text_tower(self) -> TextTower | None:
        """The text tower of the same checkpoint."""
        return TextTower(self.sibling(), "SiglipTextModel", "pooler_output", "max_length", "This is a photo of {}.")
