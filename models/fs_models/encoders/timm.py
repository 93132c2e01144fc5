"""Models of the timm package: those on the hub through TimmWrapperModel, and ``timm:NAME`` through timm itself."""

import math
from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from typing import Any, Self, cast

import torch
from torch import nn

from fs_models.encoders.adapter import EncoderAdapter, EncoderSpec, LoadRequest
from fs_models.encoders.checkpoint import Checkpoint
from fs_models.encoders.preprocessing import Kernel, Preprocessing
from fs_models.encoders.registry import register
from fs_models.encoders.transformers_adapter import TransformersAdapter
from fs_runtime.errors import InputError
from fs_runtime.preprocess import CenterCrop, Exact, PreprocessRule, ShortestEdge

_PREFIX = "timm:"
_KERNELS = ("nearest", "bilinear", "bicubic", "lanczos")


@register
class TimmWrapper(TransformersAdapter):
    """``pooled``: the feature before the classifier; ``tokens``: the last feature map or tokens. Needs timm."""

    family = "timm-wrapper"
    model_types = ("timm_wrapper",)
    loader = "TimmWrapperModel"
    taps = ("pooled", "tokens")
    examples = ("timm/resnet50.a1_in1k", "timm/vit_base_patch16_224.augreg2_in21k_ft_in1k")

    @classmethod
    def reads(cls, checkpoint: Checkpoint) -> bool:
        """Whether config.json is timm's own or a wrapper's."""
        return super().reads(checkpoint) or {"architecture", "pretrained_cfg"} <= checkpoint.config.keys()

    @classmethod
    def preprocessing(cls, checkpoint: Checkpoint) -> Preprocessing:
        """What timm does at inference with the configuration's settings."""
        settings = checkpoint.config.get("pretrained_cfg")
        return read_timm(settings if isinstance(settings, Mapping) else {}, f"{checkpoint.model}/config.json")


@register
class Timm(EncoderAdapter):
    """``pooled``: the feature before the classifier of a model that timm downloads by itself."""

    family = "timm"
    taps = ("pooled",)
    examples = ("timm:resnet50.a1_in1k",)

    def __init__(self, spec: EncoderSpec, network: nn.Module) -> None:
        super().__init__(spec)
        self.network = network

    @classmethod
    def accepts(cls, model: str) -> bool:
        """Whether the name begins with ``timm:``."""
        return model.startswith(_PREFIX)

    @classmethod
    def load(cls, request: LoadRequest) -> Self:
        """Let timm make the model with its pretrained weights."""
        try:
            timm = import_module("timm")
        except (ImportError, RuntimeError) as error:  # torchvision of another build raises the latter
            raise InputError(f"{request.model} needs timm, which cannot be imported here: {error}") from error
        name = request.model.removeprefix(_PREFIX)
        try:
            network = timm.create_model(name, pretrained=True, num_classes=0).eval()
        except (RuntimeError, ValueError, OSError) as error:
            raise InputError(f"timm cannot load {name}: {error}") from error
        settings = cast(Mapping[str, Any], network.pretrained_cfg)
        preprocess = read_timm(settings, request.model)
        tag = settings.get("tag") or None
        if request.revision not in (None, tag):
            raise InputError(f"{request.model} is {tag}, not {request.revision}: name the tag behind the model's name")
        spec = EncoderSpec.unmeasured(request, preprocess, revision=tag, family=cls.family, tap="pooled")
        with torch.inference_mode():
            shape = network(torch.zeros(1, 3, spec.height, spec.width)).shape[1:]
        return cls(replace(spec, feature_shape=tuple(shape)), network)

    def encode(self, normalised: torch.Tensor) -> torch.Tensor:
        """Features [B, D]."""
        feature: torch.Tensor = self.network(normalised)
        return feature


def read_timm(settings: Mapping[str, Any], name: str) -> Preprocessing:
    """Translate timm's ``pretrained_cfg``, which error messages call ``name``.

    Raises:
        InputError: it lacks a setting, or asks for what no rule of ours expresses.
    """
    size, mean, std = (settings.get(key) for key in ("input_size", "mean", "std"))
    if not all(isinstance(part, list | tuple) and len(part) == 3 for part in (size, mean, std)):
        raise InputError(f"{name} has no input_size, mean and std of three numbers each: restore timm's file")
    _, height, width = (int(side) for side in cast(tuple[int, int, int], size))
    kernel, mode = settings.get("interpolation", "bilinear"), settings.get("crop_mode", "center")
    if kernel not in _KERNELS or mode not in ("center", "squash") or height != width:
        raise InputError(f"{name} asks for a {kernel} resize of mode {mode!r} to {size}, which the runtime cannot do")
    edge = math.floor(height / float(settings.get("crop_pct") or 0.875))
    resize = ShortestEdge(edge=edge, kernel=cast(Kernel, kernel))
    squash = Exact(height=edge, width=edge, kernel=cast(Kernel, kernel))
    rule = PreprocessRule(resize=squash if mode == "squash" else resize, crop=CenterCrop(height=height, width=width))
    red, green, blue = (float(value) for value in cast(list[float], mean))
    spread = tuple(float(value) for value in cast(list[float], std))
    return Preprocessing(rule, height, width, (red, green, blue), cast(tuple[float, float, float], spread))
