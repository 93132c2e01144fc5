"""Idefics 3 and SmolVLM."""

from typing import Any, ClassVar

import torch

from fs_models.encoders.adapter import EncoderSpec
from fs_models.encoders.checkpoint import Checkpoint
from fs_models.encoders.hf_preprocess import read_preprocess
from fs_models.encoders.preprocessing import Preprocessing
from fs_models.encoders.registry import register
from fs_models.encoders.vision_side import VisionSide


@register
class Idefics(VisionSide):
    """One tile: the whole image at the tower's size."""

    family = "idefics"
    base_models: ClassVar[dict[str, str]] = {"idefics3": "Idefics3Model", "smolvlm": "SmolVLMModel"}
    model_types = tuple(base_models)
    language = "text_model"
    examples = ("HuggingFaceM4/Idefics3-8B-Llama3", "HuggingFaceTB/SmolVLM-256M-Instruct")

    def __init__(self, spec: EncoderSpec, network: Any) -> None:
        super().__init__(spec, network)
        # Places are looked up for each image's shape; all images here have one shape, so once is enough.
        embeddings = network.vision_model.embeddings
        blank = torch.zeros(1, 3, spec.height, spec.width)
        patches = (spec.height // embeddings.patch_size, spec.width // embeddings.patch_size)
        with torch.inference_mode():
            placed = embeddings(blank, torch.ones(1, *patches, dtype=torch.bool))
            places = placed - embeddings.patch_embedding(blank).flatten(2).mT
        self.register_buffer("places", places.clone())

    @classmethod
    def preprocessing(cls, checkpoint: Checkpoint) -> Preprocessing:
        """Of the tile that shows the whole image."""
        config, name = checkpoint.processor()
        edge = (config.get("max_image_size") or {}).get("longest_edge")
        one = {"size": {"height": edge, "width": edge}, "do_image_splitting": False, "do_pad": False}
        return read_preprocess({**config, **one}, name, known=("Idefics3ImageProcessor", "SmolVLMImageProcessor"))

    def tower(self, normalised: torch.Tensor) -> torch.Tensor:
        """The vision model's last hidden state."""
        vision = self.network.vision_model
        patches = vision.embeddings.patch_embedding(normalised).flatten(2).transpose(1, 2)
        encoded = vision.encoder(inputs_embeds=patches + self.get_buffer("places"), attention_mask=None)
        hidden: torch.Tensor = vision.post_layernorm(encoded.last_hidden_state)
        return hidden

    def project(self, hidden: torch.Tensor) -> torch.Tensor:
        """Through the connector."""
        projected: torch.Tensor = self.network.connector(hidden)
        return projected
