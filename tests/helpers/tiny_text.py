"""A tokenizer of whole words for tiny two-tower folders."""

from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

_WORDS = [
    "<pad>",
    "<bos>",
    "<eos>",
    "<unk>",
    "a",
    "photo",
    "of",
    "this",
    "is",
    "the",
    "cat",
    "dog",
    "red",
    "car",
    ".",
    "blue",
]


def save_tokenizer(folder: Path, **changed: Any) -> Path:
    """Save a tokenizer that puts <bos> and <eos> around words, as the text towers of tiny_huggingface expect."""
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(_WORDS)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A <eos>", special_tokens=[("<bos>", 1), ("<eos>", 2)]
    )
    tokens = {"pad_token": "<pad>", "bos_token": "<bos>", "eos_token": "<eos>", "unk_token": "<unk>", **changed}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **tokens).save_pretrained(folder)
    return folder
