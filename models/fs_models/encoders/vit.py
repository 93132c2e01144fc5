"""ViT and its relatives DeiT and BEiT, also from a classifier's checkpoint."""

from fs_models.encoders.registry import register
from fs_models.encoders.transformers_adapter import TransformersAdapter


@register
class Vit(TransformersAdapter):
    """``pooled``: the pooler's output, where it was trained; ``cls``: the class token; ``tokens``: all tokens."""

    family = "vit"
    model_types = ("vit", "deit", "beit")
    taps = ("pooled", "cls", "tokens")
    examples = (
        "google/vit-base-patch16-224-in21k",
        "facebook/deit-base-distilled-patch16-224",
        "microsoft/beit-base-patch16-224-pt22k-ft22k",
    )
