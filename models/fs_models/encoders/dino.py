"""DINOv2 with and without registers, DINOv3 ViT."""

from fs_models.encoders.registry import register
from fs_models.encoders.transformers_adapter import TransformersAdapter


@register
class Dino(TransformersAdapter):
    """``pooled`` and ``cls``: the class token; ``tokens``: class, register and patch tokens."""

    family = "dino"
    model_types = ("dinov2", "dinov2_with_registers", "dinov3_vit")
    taps = ("pooled", "cls", "tokens")
    examples = (
        "facebook/dinov2-base",
        "facebook/dinov2-with-registers-base",
        "facebook/dinov3-vitb16-pretrain-lvd1689m",
    )
