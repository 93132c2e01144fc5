"""open_clip's vision transformer, written anew from its description, to hold the renamed weights against."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

WIDTH, LAYERS, EMBED = 32, 2, 16


class _Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.mlp = nn.ModuleDict({"c_fc": nn.Linear(width, 4 * width), "c_proj": nn.Linear(4 * width, width)})

    def forward(self, hidden: torch.Tensor, quick: bool) -> torch.Tensor:
        normed = self.ln_1(hidden)
        hidden = hidden + self.attn(normed, normed, normed, need_weights=False)[0]
        inner = self.mlp["c_fc"](self.ln_2(hidden))
        inner = inner * torch.sigmoid(1.702 * inner) if quick else nn.functional.gelu(inner)
        return hidden + self.mlp["c_proj"](inner)


class _Visual(nn.Module):
    def __init__(self, side: int, patch: int, head_width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, WIDTH, patch, patch, bias=False)
        self.class_embedding = nn.Parameter(torch.zeros(WIDTH))
        self.positional_embedding = nn.Parameter(torch.zeros((side // patch) ** 2 + 1, WIDTH))
        self.ln_pre, self.ln_post = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        blocks = [_Block(WIDTH, WIDTH // head_width) for _ in range(LAYERS)]
        self.transformer = nn.ModuleDict({"resblocks": nn.ModuleList(blocks)})
        self.proj = nn.Parameter(torch.zeros(WIDTH, EMBED))

    def forward(self, pixels: torch.Tensor, quick: bool) -> dict[str, torch.Tensor]:
        patches = self.conv1(pixels).flatten(2).mT
        first = self.class_embedding.expand(len(pixels), 1, -1)
        hidden = self.ln_pre(torch.cat((first, patches), 1) + self.positional_embedding)
        for block in self.transformer["resblocks"]:
            hidden = block(hidden, quick)
        return {"pooled": self.ln_post(hidden[:, 0]) @ self.proj, "cls": hidden[:, 0], "tokens": hidden[:, 1:]}


def write(folder: Path, side: int, patch: int, livened: Any, **changes: Any) -> None:
    """A folder as open_clip saves it, with a text tower's weight that must stay unread."""
    visual = livened(_Visual(side, patch, 8))
    weights = {f"visual.{name}": value for name, value in visual.state_dict().items()}
    save_file({**weights, "token_embedding.weight": torch.zeros(3, 4)}, folder / "open_clip_model.safetensors")
    vision = {"image_size": side, "layers": LAYERS, "width": WIDTH, "patch_size": patch, "head_width": 8}
    model = {"embed_dim": EMBED, "quick_gelu": True, "vision_cfg": {**vision, **changes}, "text_cfg": {}}
    preprocess = {"mean": [0.5, 0.4, 0.3], "std": [0.3, 0.2, 0.25], "interpolation": "bicubic"}
    content = {"model_cfg": model, "preprocess_cfg": {**preprocess, "resize_mode": "shortest"}}
    (folder / "open_clip_config.json").write_text(json.dumps(content))


def expected(folder: Path, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
    """Every tap of the folder's model."""
    config = json.loads((folder / "open_clip_config.json").read_text())["model_cfg"]
    vision = config["vision_cfg"]
    visual = _Visual(vision["image_size"], vision["patch_size"], vision["head_width"])
    weights = load_file(folder / "open_clip_model.safetensors")
    visual.load_state_dict({name[7:]: value for name, value in weights.items() if name.startswith("visual.")})
    return visual.eval()(pixels, config["quick_gelu"])
