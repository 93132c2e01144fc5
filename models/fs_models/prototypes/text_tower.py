"""The text side of a two-tower checkpoint: texts in, features in the space of the pooled image feature out."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from fs_models.encoders import LoadRequest
from fs_models.encoders.huggingface import explained, hub_revision, model_config, model_file
from fs_runtime.errors import InputError

_BATCH = 64
_VOCABULARIES = ("tokenizer.json", "vocab.json", "spiece.model", "tokenizer.model")


class TextTower:
    """A pretrained text encoder with its tokenizer, in evaluation mode.

    Attributes:
        family: ``clip``, ``siglip`` or ``siglip2``.
    """

    def __init__(self, family: str, network: nn.Module, tokenize: Callable[[Sequence[str]], dict[str, torch.Tensor]]):
        self.family = family
        self._network = network.eval().requires_grad_(False)
        self._tokenize = tokenize

    def encode(self, texts: Sequence[str]) -> torch.Tensor:
        """Raw features [T, D] of T texts. One that is longer than the context is cut, as its makers do."""
        batches = [texts[start : start + _BATCH] for start in range(0, len(texts), _BATCH)]
        with torch.inference_mode():
            return torch.cat([self._features(batch) for batch in batches])

    def _features(self, texts: Sequence[str]) -> torch.Tensor:
        output: Any = self._network(**self._tokenize(texts))
        feature: torch.Tensor = output.text_embeds if self.family == "clip" else output.pooler_output
        return feature


def load_text_tower(request: LoadRequest) -> TextTower:
    """The text tower of the checkpoint that ``request`` names; its weights all come from there.

    Raises:
        InputError: the checkpoint has no text tower, weights or tokenizer that fit its image features.
    """
    import transformers

    model = request.model
    config = model_config(request)
    family = str(config.get("model_type"))
    classes: dict[str, Any] = {
        "clip": transformers.CLIPTextModelWithProjection,
        "siglip": transformers.SiglipTextModel,
        "siglip2": transformers.Siglip2TextModel,
    }
    if family not in classes or "text_config" not in config:
        raise InputError(
            f"{model} ({family}) has no text tower, so --labels cannot be turned into prototypes: name a "
            "CLIP or SigLIP checkpoint with both towers, or give --prototypes-from a folder of labelled images"
        )
    arguments: dict[str, Any] = {
        "revision": hub_revision(request),
        "use_safetensors": None if request.trust_pickle else True,
        "dtype": torch.float32,
        "output_loading_info": True,
    }
    if family == "clip" and "projection_dim" in config:
        # Two-tower checkpoints keep the projection's width at the top.
        arguments["projection_dim"] = config["projection_dim"]
    network, report = explained(model, lambda: classes[family].from_pretrained(model, **arguments))
    if missing := sorted(report["missing_keys"]):
        raise InputError(f"{model} lacks the text weights {', '.join(missing[:3])}...: use a complete checkpoint")
    # transformers would make an empty tokenizer, to which every word is unknown.
    if all(model_file(request, name) is None for name in _VOCABULARIES):
        raise InputError(f"{model} has no tokenizer ({', '.join(_VOCABULARIES)}), which --labels needs: add its files")
    tokenizer: Any = explained(
        f"the tokenizer of {model}",
        lambda: transformers.AutoTokenizer.from_pretrained(model, revision=hub_revision(request)),
    )
    length = int(network.config.max_position_embeddings)
    # SigLIP was trained on texts padded to the full context, and has no mask.
    padding = True if family == "clip" else "max_length"

    def tokenize(texts: Sequence[str]) -> dict[str, torch.Tensor]:
        if tokenizer.pad_token is None and len(texts) > 1:
            raise InputError(f"the tokenizer of {model} has no padding token: restore its tokenizer files")
        tokens = tokenizer(list(texts), padding=padding, max_length=length, truncation=True, return_tensors="pt")
        kept = ("input_ids", "attention_mask") if family == "clip" else ("input_ids",)
        return {name: tokens[name] for name in kept}

    return TextTower(family, network, tokenize)
