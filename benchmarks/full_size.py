"""Full-size encoders of random weights, made on the spot: they have the real cost and no meaning.

python benchmarks/full_size.py vit-l-14-336 FOLDER
"""

import json
import sys
from pathlib import Path
from typing import Any

CLIP_MEAN, CLIP_STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
IMAGENET_MEAN, IMAGENET_STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
NAMES = ("vit-b-32", "vit-l-14-336", "siglip-so400m-14-384", "dinov2-giant", "vit-tiny")


def save_model(name: str, folder: str | Path) -> None:
    """Save ``name`` with its preprocessor_config.json into ``folder``, as a user's folder has them."""
    import torch

    torch.manual_seed(0)
    network, side, mean, std = _made(name)
    network.save_pretrained(folder)
    preprocess = {
        "size": {"shortest_edge": side},
        "resample": 3,
        "do_center_crop": True,
        "crop_size": side,
        "image_mean": mean,
        "image_std": std,
    }
    (Path(folder) / "preprocessor_config.json").write_text(json.dumps(preprocess), encoding="utf-8")


def _made(name: str) -> tuple[Any, int, list[float], list[float]]:
    """The network, the side of its input, and its normalisation."""
    from transformers.models.clip import CLIPVisionConfig, CLIPVisionModelWithProjection
    from transformers.models.dinov2 import Dinov2Config, Dinov2Model
    from transformers.models.siglip import SiglipVisionConfig, SiglipVisionModel

    if name == "vit-b-32":
        config = CLIPVisionConfig(image_size=224, patch_size=32, projection_dim=512)
        return CLIPVisionModelWithProjection(config), 224, CLIP_MEAN, CLIP_STD
    if name == "vit-tiny":  # to try a benchmark out
        sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}
        config = CLIPVisionConfig(image_size=32, patch_size=16, projection_dim=16, **sizes)
        return CLIPVisionModelWithProjection(config), 32, CLIP_MEAN, CLIP_STD
    if name == "vit-l-14-336":
        sizes = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16}
        config = CLIPVisionConfig(image_size=336, patch_size=14, projection_dim=768, **sizes)
        return CLIPVisionModelWithProjection(config), 336, CLIP_MEAN, CLIP_STD
    if name == "siglip-so400m-14-384":
        sizes = {"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27, "num_attention_heads": 16}
        config = SiglipVisionConfig(image_size=384, patch_size=14, **sizes)
        return SiglipVisionModel(config), 384, [0.5] * 3, [0.5] * 3
    if name == "dinov2-giant":  # at a quarter of its usual pixels: the weights are what is large here
        sizes = {"hidden_size": 1536, "num_hidden_layers": 40, "num_attention_heads": 24}
        config = Dinov2Config(image_size=518, patch_size=14, use_swiglu_ffn=True, **sizes)
        return Dinov2Model(config), 112, IMAGENET_MEAN, IMAGENET_STD
    raise ValueError(f"no model {name!r}: choose one of {', '.join(NAMES)}")


if __name__ == "__main__":
    save_model(sys.argv[1], sys.argv[2])
