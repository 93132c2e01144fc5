"""Convolutional networks: ConvNeXt, ConvNeXt V2, DINOv3 ConvNeXt and ResNet."""

from fs_models.encoders.registry import register
from fs_models.encoders.transformers_adapter import TransformersAdapter


class _ConvNet(TransformersAdapter):
    """``pooled``: the average over the last feature map; ``tokens``: that map, one token a place."""

    taps = ("pooled", "tokens")


@register
class ConvNext(_ConvNet):
    """ConvNeXt: its pooled feature has a layer norm."""

    family = "convnext"
    model_types = ("convnext", "convnextv2", "dinov3_convnext")
    examples = ("facebook/convnext-tiny-224", "facebook/convnextv2-tiny-22k-224")


@register
class ResNet(_ConvNet):
    """ResNet with basic or bottleneck blocks."""

    family = "resnet"
    model_types = ("resnet",)
    examples = ("microsoft/resnet-50", "microsoft/resnet-18")
