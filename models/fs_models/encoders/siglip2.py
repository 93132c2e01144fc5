"""SigLIP 2 of any resolution (NaFlex), at one that is fixed by the export."""

import math
from typing import Any

import torch

from fs_models.encoders.adapter import EncoderSpec
from fs_models.encoders.checkpoint import Checkpoint
from fs_models.encoders.hf_preprocess import read_preprocess
from fs_models.encoders.preprocessing import Preprocessing
from fs_models.encoders.registry import register
from fs_models.encoders.text_tower import TextTower
from fs_models.encoders.transformers_adapter import TransformersAdapter
from fs_runtime.errors import InputError


@register
class Siglip2(TransformersAdapter):
    """``pooled``: the attention pooling that is compared with texts; ``tokens``: the patches, cut inside."""

    family = "siglip2-naflex"
    model_types = ("siglip2", "siglip2_vision_model")
    loader = "Siglip2VisionModel"
    taps = ("pooled", "tokens")
    examples = ("google/siglip2-base-patch16-naflex",)

    def __init__(self, spec: EncoderSpec, network: Any) -> None:
        super().__init__(spec, network)
        embeddings = network.embeddings
        self.patch = embeddings.patch_size
        rows, columns = spec.height // self.patch, spec.width // self.patch
        side = embeddings.position_embedding_size
        learnt = embeddings.position_embedding.weight.detach().reshape(side, side, -1)
        shape = torch.tensor([[rows, columns]])
        self.register_buffer("places", embeddings.resize_positional_embeddings(learnt, shape, rows * columns))

    @classmethod
    def preprocessing(cls, checkpoint: Checkpoint) -> Preprocessing:
        """Resized to the size that was asked for, or to the square that has as many patches as the file allows."""
        config, name = checkpoint.processor()
        patch, most = config.get("patch_size", 16), config.get("max_num_patches", 256)
        height, width = checkpoint.request.image_size or (patch * math.isqrt(most),) * 2
        if height % patch or width % patch or (height // patch) * (width // patch) > most:
            raise InputError(
                f"{checkpoint.model} takes sides that are multiples of {patch} with at most {most} patches, "
                f"not {height} x {width}: choose another --image-size"
            )
        size = {"height": height, "width": width}
        return read_preprocess({**config, "size": size}, name, known=("Siglip2ImageProcessor",))

    def encode(self, normalised: torch.Tensor) -> torch.Tensor:
        """The tap's feature: [B, D], or [B, L, C] for tokens."""
        patch = self.patch
        rows, columns = self.spec.height // patch, self.spec.width // patch
        grid = normalised.reshape(-1, 3, rows, patch, columns, patch)
        patches = grid.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)
        embedded = self.network.embeddings.patch_embedding(patches) + self.get_buffer("places")
        encoded = self.network.encoder(inputs_embeds=embedded).last_hidden_state
        tokens: torch.Tensor = self.network.post_layernorm(encoded)
        if self.spec.tap == "tokens":
            return tokens
        pooled: torch.Tensor = self.network.head(tokens)
        return pooled

    def text_tower(self) -> TextTower | None:
        """The text tower of the same checkpoint."""
        return TextTower(self.sibling(), "Siglip2TextModel", "pooler_output", "max_length", "This is a photo of {}.")
