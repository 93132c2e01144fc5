"""One case for each encoder family: a tiny, randomly initialised model in a folder, as a user's own would be.

They show that the graph computes what transformers computes, not that a feature means anything.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import transformers
from PIL import Image
from torch import nn
from transformers import models as hf

SIDE = 32
PATCH = 8
Outputs = dict[str, torch.Tensor]

VIT: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "image_size": SIDE,
    "patch_size": PATCH,
}
TEXT: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "vocab_size": 99,
}
_ENDS: dict[str, Any] = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}


def processed(folder: Path, image: Image.Image) -> npt.NDArray[np.float32]:
    """By the processor of transformers."""
    return transformers.AutoImageProcessor.from_pretrained(folder)(image, return_tensors="np")["pixel_values"]


@dataclass(frozen=True)
class Case:
    """A family's tiny model, and what transformers itself makes of it.

    Attributes:
        name: of the case.
        family: the adapter that must be chosen.
        make: writes the folder.
        expected: every tap of normalised pixels [B, 3, H, W], by the folder's whole model.
        exported: the tap that the export test takes.
        size: (height, width) that the user asks for, where the encoder takes several.
        norms: LayerNormalization nodes of the graph of the exported tap.
        request: what else the user has to say.
        pixels: what the model's own processor makes of an image, [1, 3, H, W], normalised.
    """

    name: str
    family: str
    make: Callable[[Path], None]
    expected: Callable[[Path, torch.Tensor], Outputs]
    exported: Any
    norms: int
    size: tuple[int, int] | None = None
    request: dict[str, Any] = field(default_factory=dict)
    pixels: Callable[[Path, Image.Image], npt.NDArray[np.float32]] | None = processed


def save(case: Case, folder: Path) -> Path:
    """Make the case's folder."""
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    folder.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng():
        torch.manual_seed(5)
        case.make(folder)
    return folder


def livened(network: nn.Module) -> nn.Module:
    """Give a new model the spread that trained ones have; as initialised its layers hardly do anything."""
    for name, value in network.named_parameters():
        if value.dim() > 1:
            nn.init.normal_(value, std=0.7 / value[0].numel() ** 0.5)
        elif "weight" in name or "scale" in name or "lambda" in name:
            nn.init.uniform_(value, 0.7, 1.3)
        else:
            nn.init.normal_(value, std=0.1)
    for name, value in network.named_buffers():
        if name.endswith("running_mean"):
            nn.init.normal_(value, std=0.1)
        elif name.endswith("running_var"):
            nn.init.uniform_(value, 0.5, 1.5)
    return network


def _maker(model: Callable[[], nn.Module], processor: Callable[[], Any]) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        livened(model()).save_pretrained(folder)  # type: ignore[operator]
        processor().save_pretrained(folder)

    return make


def _pretrained(loader: Any, folder: Path) -> Any:
    return loader.from_pretrained(folder).eval()


def _clip_processor() -> Any:
    return transformers.CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE})


def _exact_processor(kind: str) -> Callable[[], Any]:
    return lambda: getattr(transformers, kind)(size={"height": SIDE, "width": SIDE})


def _hidden(folder: Path, pixels: torch.Tensor) -> Outputs:
    output = _pretrained(transformers.AutoModel, folder)(pixel_values=pixels)
    hidden = output.last_hidden_state
    if hidden.dim() == 4:
        return {"pooled": output.pooler_output.flatten(1), "tokens": hidden.flatten(2).mT}
    taps = {"cls": hidden[:, 0], "tokens": hidden}
    return taps if output.pooler_output is None else {"pooled": output.pooler_output, **taps}


# ---- two towers


def _clip() -> nn.Module:
    config = hf.clip.CLIPConfig(text_config={**TEXT, **_ENDS}, vision_config=VIT, projection_dim=16)
    return hf.clip.CLIPModel(config)


def _clip_expected(folder: Path, pixels: torch.Tensor) -> Outputs:
    output = _pretrained(hf.clip.CLIPModel, folder).get_image_features(pixels)
    hidden = output.last_hidden_state
    return {"pooled": output.pooler_output, "cls": hidden[:, 0], "tokens": hidden}


def _clip_vision_expected(folder: Path, pixels: torch.Tensor) -> Outputs:
    output = _pretrained(hf.clip.CLIPVisionModelWithProjection, folder)(pixels)
    hidden = output.last_hidden_state
    return {"pooled": output.image_embeds, "cls": hidden[:, 0], "tokens": hidden}


def _siglip() -> nn.Module:
    return hf.siglip.SiglipModel(hf.siglip.SiglipConfig(text_config={**TEXT, **_ENDS}, vision_config=VIT))


def _siglip_expected(folder: Path, pixels: torch.Tensor) -> Outputs:
    output = _pretrained(hf.siglip.SiglipModel, folder).get_image_features(pixels)
    return {"pooled": output.pooler_output, "tokens": output.last_hidden_state}


CASES: tuple[Case, ...] = (
    Case("clip", "clip", _maker(_clip, _clip_processor), _clip_expected, "pooled", 6),
    Case(
        "clip-vision",
        "clip",
        _maker(
            lambda: hf.clip.CLIPVisionModelWithProjection(hf.clip.CLIPVisionConfig(**VIT, projection_dim=16)),
            _clip_processor,
        ),
        _clip_vision_expected,
        "tokens",
        5,
    ),
    Case(
        "siglip", "siglip", _maker(_siglip, _exact_processor("SiglipImageProcessorPil")), _siglip_expected, "pooled", 6
    ),
    Case(
        "dinov2",
        "dino",
        _maker(lambda: hf.dinov2.Dinov2Model(hf.dinov2.Dinov2Config(**VIT)), _clip_processor),
        _hidden,
        "pooled",
        5,
    ),
    Case(
        "dinov2-registers",
        "dino",
        _maker(
            lambda: hf.dinov2_with_registers.Dinov2WithRegistersModel(
                hf.dinov2_with_registers.Dinov2WithRegistersConfig(**VIT)
            ),
            _clip_processor,
        ),
        _hidden,
        "tokens",
        5,
    ),
    Case(
        "dinov3",
        "dino",
        _maker(
            lambda: hf.dinov3_vit.DINOv3ViTModel(hf.dinov3_vit.DINOv3ViTConfig(**VIT, num_register_tokens=2)),
            _exact_processor("ViTImageProcessorPil"),
        ),
        _hidden,
        "cls",
        5,
    ),
    Case(
        "vit",
        "vit",
        _maker(lambda: hf.vit.ViTModel(hf.vit.ViTConfig(**VIT)), _exact_processor("ViTImageProcessorPil")),
        _hidden,
        "pooled",
        5,
    ),
    Case(
        "deit",
        "vit",
        _maker(lambda: hf.deit.DeiTModel(hf.deit.DeiTConfig(**VIT)), _clip_processor),
        _hidden,
        "cls",
        5,
    ),
    Case(
        "beit",
        "vit",
        _maker(
            lambda: hf.beit.BeitModel(hf.beit.BeitConfig(**VIT, use_relative_position_bias=True)),
            _exact_processor("BeitImageProcessorPil"),
        ),
        _hidden,
        "pooled",
        5,
    ),
    Case(
        "convnext",
        "convnext",
        _maker(
            lambda: hf.convnext.ConvNextModel(hf.convnext.ConvNextConfig(hidden_sizes=[8, 12, 16, 20], depths=[1] * 4)),
            lambda: transformers.ConvNextImageProcessorPil(size={"shortest_edge": SIDE}),
        ),
        _hidden,
        "pooled",
        9,
    ),
    Case(
        "convnextv2",
        "convnext",
        _maker(
            lambda: hf.convnextv2.ConvNextV2Model(
                hf.convnextv2.ConvNextV2Config(hidden_sizes=[8, 12, 16, 20], depths=[1] * 4)
            ),
            lambda: transformers.ConvNextImageProcessorPil(size={"shortest_edge": SIDE}),
        ),
        _hidden,
        "tokens",
        8,
    ),
    Case(
        "resnet",
        "resnet",
        _maker(
            lambda: hf.resnet.ResNetModel(
                hf.resnet.ResNetConfig(embedding_size=8, hidden_sizes=[8, 12, 16, 20], depths=[1] * 4)
            ),
            lambda: transformers.ConvNextImageProcessorPil(size={"shortest_edge": SIDE}),
        ),
        _hidden,
        "pooled",
        0,
    ),
    Case(
        "swin",
        "huggingface",
        _maker(
            lambda: hf.swin.SwinModel(
                hf.swin.SwinConfig(
                    image_size=SIDE, patch_size=4, embed_dim=8, depths=[1, 1], num_heads=[2, 2], window_size=4
                )
            ),
            _exact_processor("ViTImageProcessorPil"),
        ),
        _hidden,
        "pooled",
        7,
    ),
)
