"""Folders of tiny, randomly initialised transformers models: they show the path, not the meaning."""

import json
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers.models.bert import BertConfig, BertModel
from transformers.models.clip import CLIPConfig, CLIPModel, CLIPVisionConfig, CLIPVisionModelWithProjection
from transformers.models.dinov2 import Dinov2Config, Dinov2Model
from transformers.models.siglip import SiglipConfig, SiglipModel
from transformers.models.vit import ViTConfig, ViTForImageClassification, ViTModel

SIDE = 32
SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "image_size": SIDE,
    "patch_size": 8,
}
PREPROCESS: dict[str, Any] = {
    "do_resize": True,
    "size": {"shortest_edge": SIDE},
    "resample": 3,
    "do_center_crop": True,
    "crop_size": {"height": SIDE, "width": SIDE},
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.48, 0.46, 0.41],
    "image_std": [0.27, 0.26, 0.28],
}


def save(kind: str, folder: Path, preprocess: dict[str, Any] | None = PREPROCESS) -> Path:
    """Save a model of ``kind`` and its preprocessor_config.json, as a user's folder has them."""
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    with torch.random.fork_rng():
        torch.manual_seed(5)
        _MODELS[kind]().save_pretrained(folder)
    if preprocess is not None:
        (folder / "preprocessor_config.json").write_text(json.dumps(preprocess))
    return folder


def _clip() -> CLIPModel:
    text = {
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 4,
        "vocab_size": 99,
        "intermediate_size": 8,
    }
    ends = {"bos_token_id": 1, "eos_token_id": 2}
    vision = {**SIZES, "intermediate_size": 64}
    return CLIPModel(CLIPConfig(text_config={**text, **ends}, vision_config=vision, projection_dim=16))


def _siglip() -> SiglipModel:
    text = {
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 4,
        "vocab_size": 99,
        "intermediate_size": 8,
        "max_position_embeddings": 12,
        "projection_size": 32,
    }
    return SiglipModel(SiglipConfig(text_config=text, vision_config={**SIZES, "intermediate_size": 64}))


_MODELS = {
    "vit": lambda: ViTModel(ViTConfig(**SIZES, intermediate_size=64)),
    "vit-classifier": lambda: ViTForImageClassification(ViTConfig(**SIZES, intermediate_size=64, num_labels=5)),
    "clip-vision": lambda: CLIPVisionModelWithProjection(
        CLIPVisionConfig(**SIZES, intermediate_size=64, projection_dim=16)
    ),
    "clip": _clip,
    "siglip": _siglip,
    "dinov2": lambda: Dinov2Model(Dinov2Config(**SIZES)),
    "bert": lambda: BertModel(
        BertConfig(hidden_size=32, num_hidden_layers=1, num_attention_heads=4, intermediate_size=32, vocab_size=50)
    ),
}
