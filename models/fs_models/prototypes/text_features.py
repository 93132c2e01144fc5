"""Features of texts by the text tower of an image encoder's own checkpoint."""

from collections.abc import Sequence
from typing import Any

import torch

from fs_models.encoders import TextTower
from fs_models.encoders.checkpoint import Checkpoint, explained
from fs_runtime.errors import InputError

_BATCH = 64
_VOCABULARIES = ("tokenizer.json", "vocab.json", "spiece.model", "tokenizer.model")


def text_features(tower: TextTower, texts: Sequence[str]) -> torch.Tensor:
    """Raw features [T, D] of T texts. One that is longer than the tower's context is cut, as its makers do.

    Raises:
        InputError: the checkpoint lacks the text tower or its tokenizer.
    """
    try:
        network = tower.load()
    except InputError as error:
        raise InputError(f"--labels needs the text tower: {error}") from error
    tokenizer, length = _tokenizer(tower), int(network.config.max_position_embeddings)  # type: ignore[union-attr, arg-type]
    found = []
    for start in range(0, len(texts), _BATCH):
        batch = list(texts[start : start + _BATCH])
        tokens = tokenizer(batch, padding=tower.padding, max_length=length, truncation=True, return_tensors="pt")
        # Towers that were trained on texts padded to the full context have no mask.
        kept = ("input_ids", "attention_mask") if tower.padding == "longest" else ("input_ids",)
        with torch.inference_mode():
            found.append(tower.features(network, **{name: tokens[name] for name in kept}))
    return torch.cat(found)


def _tokenizer(tower: TextTower) -> Any:
    from transformers import AutoTokenizer

    checkpoint = Checkpoint.open(tower.request)
    # transformers would make an empty tokenizer, to which every word is unknown.
    if all(checkpoint.file(name) is None for name in _VOCABULARIES):
        raise InputError(
            f"{checkpoint.model} has no tokenizer ({', '.join(_VOCABULARIES)}), which --labels needs: add its files"
        )
    tokenizer: Any = explained(
        f"the tokenizer of {checkpoint.model}",
        lambda: AutoTokenizer.from_pretrained(checkpoint.model, revision=checkpoint.hub_revision),
    )
    if tokenizer.pad_token is None:
        raise InputError(f"the tokenizer of {checkpoint.model} has no padding token: restore its tokenizer files")
    return tokenizer
