"""Checkpoints of the open_clip package, read without it: their ViT is CLIP's under other names."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn

from fs_models.encoders.checkpoint import OPEN_CLIP as CONFIG
from fs_models.encoders.checkpoint import Checkpoint
from fs_models.encoders.preprocessing import Preprocessing
from fs_models.encoders.registry import register
from fs_models.encoders.transformers_adapter import TransformersAdapter
from fs_runtime.bundle.manifest import Tap
from fs_runtime.errors import InputError
from fs_runtime.preprocess import CenterCrop, Exact, PreprocessRule, ShortestEdge

_SAFE, _PICKLED = "open_clip_model.safetensors", "open_clip_pytorch_model.bin"
_MEAN, _STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
# What the mapping knows, with open_clip's default; any other value means another network.
_PLAIN: dict[str, Any] = {
    "ls_init_value": None,
    "attentional_pool": False,
    "no_ln_pre": False,
    "pos_embed_type": "learnable",
    "final_ln_after_pool": False,
    "pool_type": "tok",
    "global_average_pool": False,
    "act_kwargs": None,
    "norm_kwargs": None,
    "block_type": None,
    "qk_norm": False,
    "scaled_cosine_attn": False,
    "scale_heads": False,
    "scale_attn_inner": False,
    "scale_attn": False,
    "scale_fc": False,
    "timm_model_name": None,
}
_WHOLE = ("width", "layers", "patch_size", "image_size")
# patch_dropout does nothing at inference.
_READ = (*_WHOLE, "head_width", "mlp_ratio", "patch_dropout")
_NAMES = (
    (r"^class_embedding$", "vision_model.embeddings.class_embedding"),
    (r"^positional_embedding$", "vision_model.embeddings.position_embedding.weight"),
    (r"^conv1\.", "vision_model.embeddings.patch_embedding."),
    (r"^ln_pre\.", "vision_model.pre_layrnorm."),
    (r"^ln_post\.", "vision_model.post_layernorm."),
    (r"^transformer\.resblocks\.(\d+)\.ln_([12])\.", r"vision_model.encoder.layers.\1.layer_norm\2."),
    (r"^transformer\.resblocks\.(\d+)\.mlp\.c_fc\.", r"vision_model.encoder.layers.\1.mlp.fc1."),
    (r"^transformer\.resblocks\.(\d+)\.mlp\.c_proj\.", r"vision_model.encoder.layers.\1.mlp.fc2."),
    (r"^transformer\.resblocks\.(\d+)\.attn\.out_proj\.", r"vision_model.encoder.layers.\1.self_attn.out_proj."),
)
_PACKED = re.compile(r"^transformer\.resblocks\.(\d+)\.attn\.in_proj_(weight|bias)$")


@register
class OpenClip(TransformersAdapter):
    """``pooled``: the projection; ``cls`` and ``tokens``: before the last layer norm, ``tokens`` the patches alone.

    These are the tokens that OpenFlamingo's decoder reads from CLIP ViT-L/14 (open_clip 2.16).
    """

    family = "open-clip"
    model_types: ClassVar[tuple[str, ...]] = ()
    taps = ("pooled", "cls", "tokens")
    examples = ("laion/CLIP-ViT-L-14-DataComp.XL-s13B-b90K", "./folder-of-open_clip")

    @classmethod
    def reads(cls, checkpoint: Checkpoint) -> bool:
        """Whether open_clip's configuration is there and transformers' is not."""
        return not checkpoint.model_type and checkpoint.file(CONFIG) is not None

    @classmethod
    def build(cls, checkpoint: Checkpoint, tap: Tap) -> nn.Module:  # noqa: ARG003
        """CLIPVisionModelWithProjection with the checkpoint's vision weights."""
        from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

        model = _config(checkpoint, "model_cfg")
        vision = _vision(checkpoint)
        config = CLIPVisionConfig(
            hidden_size=vision["width"],
            intermediate_size=int(vision["width"] * vision.get("mlp_ratio", 4.0)),
            num_hidden_layers=vision["layers"],
            num_attention_heads=vision["width"] // vision.get("head_width", 64),
            image_size=vision["image_size"],
            patch_size=vision["patch_size"],
            projection_dim=model["embed_dim"],
            hidden_act="quick_gelu" if model.get("quick_gelu") else "gelu",
        )
        network: nn.Module = CLIPVisionModelWithProjection(config)
        try:
            network.load_state_dict(_renamed(_vision_weights(checkpoint)))
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:300]
            raise InputError(f"{checkpoint.model} lacks the weights that {CONFIG} describes: {reason}") from error
        return network

    @classmethod
    def preprocessing(cls, checkpoint: Checkpoint) -> Preprocessing:
        """What open_clip does at inference with the checkpoint's settings."""
        vision, settings = _vision(checkpoint), _config(checkpoint, "preprocess_cfg", {})
        side, name = vision["image_size"], f"{checkpoint.model}/{CONFIG}"
        kernel, mode = settings.get("interpolation", "bicubic"), settings.get("resize_mode") or "shortest"
        if kernel not in ("bicubic", "bilinear") or mode not in ("shortest", "squash"):
            raise InputError(f"{name} asks for a {kernel} resize of mode {mode!r}, which the runtime cannot do")
        mean, std = (tuple(map(float, settings.get(key) or base)) for key, base in (("mean", _MEAN), ("std", _STD)))
        rule = PreprocessRule(resize=ShortestEdge(edge=side, kernel=kernel), crop=CenterCrop(height=side, width=side))
        if mode == "squash":
            rule = PreprocessRule(resize=Exact(height=side, width=side, kernel=kernel))
        return Preprocessing(rule, side, side, mean, std)  # type: ignore[arg-type]  # three numbers each

    def encode(self, normalised: torch.Tensor) -> torch.Tensor:
        """The tap's feature: [B, D], or [B, L, C] for tokens."""
        output = self.network(pixel_values=normalised)
        pooled: torch.Tensor = output.image_embeds
        hidden: torch.Tensor = output.last_hidden_state
        return {"pooled": pooled, "cls": hidden[:, 0], "tokens": hidden[:, 1:]}[self.spec.tap]

    @classmethod
    def config_files(cls, checkpoint: Checkpoint) -> tuple[Path, ...]:
        """open_clip's own."""
        path = checkpoint.file(CONFIG)
        return () if path is None else (path,)


def _config(checkpoint: Checkpoint, key: str, default: Any = None) -> dict[str, Any]:
    content = (checkpoint.json(CONFIG) or {}).get(key, default)
    if not isinstance(content, dict):
        raise InputError(f"{checkpoint.model}/{CONFIG} has no {key}: restore the file that open_clip writes")
    return content


def _vision(checkpoint: Checkpoint) -> dict[str, Any]:
    """The vision tower's settings.

    Raises:
        InputError: it is not a plain ViT, or has a setting that is not known here.
    """
    model, name = _config(checkpoint, "model_cfg"), f"{checkpoint.model}/{CONFIG}"
    vision = model.get("vision_cfg")
    if not isinstance(vision, dict) or not isinstance(model.get("embed_dim"), int):
        raise InputError(f"{name} has no vision_cfg or embed_dim: restore the file that open_clip writes")
    odd = [key for key, plain in _PLAIN.items() if vision.get(key, plain) != plain]
    odd += [key for key in _WHOLE if not isinstance(vision.get(key), int)]
    if odd:
        found = ", ".join(f"{key} {vision.get(key)!r}" for key in odd)
        raise InputError(f"{name} describes a vision tower that is not CLIP's plain ViT ({found}): it cannot be mapped")
    if unknown := sorted(vision.keys() - _PLAIN.keys() - set(_READ)):
        raise InputError(
            f"{name} has the vision_cfg keys {', '.join(unknown)}, which this adapter does not know, so the network "
            "could be another one: remove them if they do not change it, or use a checkpoint of CLIP's plain ViT"
        )
    return vision


def _vision_weights(checkpoint: Checkpoint) -> dict[str, torch.Tensor]:
    """The tensors below ``visual.``, in fp32; of a safetensors file only these are read."""
    from safetensors import SafetensorError, safe_open

    path = checkpoint.file(_SAFE)
    try:
        if path is not None:
            with safe_open(path, "pt") as file:
                names = [name for name in file.keys() if name.startswith("visual.")]  # noqa: SIM118  # no dict
                found = {name: file.get_tensor(name) for name in names}
        elif (pickled := checkpoint.file(_PICKLED)) is None:
            raise InputError(f"{checkpoint.model} has no {_SAFE}: download it beside {CONFIG}")
        elif not checkpoint.request.trust_pickle:
            raise InputError(f"{checkpoint.model} has its weights as the pickle {_PICKLED} only: give --trust-pickle")
        else:
            found = torch.load(pickled, map_location="cpu", weights_only=True)
            found = found.get("state_dict", found)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{checkpoint.model} cannot be loaded: {error}") from error
    prefix = "visual."
    return {name.removeprefix(prefix): value.float() for name, value in found.items() if name.startswith(prefix)}


def _renamed(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The same tensors under the names of transformers."""
    renamed: dict[str, torch.Tensor] = {}
    for name, value in weights.items():
        if name == "proj":
            renamed["visual_projection.weight"] = value.T
        elif packed := _PACKED.match(name):
            place = f"vision_model.encoder.layers.{packed[1]}.self_attn"
            for part, rows in zip("qkv", value.chunk(3), strict=True):
                renamed[f"{place}.{part}_proj.{packed[2]}"] = rows
        else:
            for pattern, target in _NAMES:
                name = re.sub(pattern, target, name)
            renamed[name] = value
    return renamed
