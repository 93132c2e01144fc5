"""LLaVA 1.5 and LLaVA-NeXT: the vision tower at the configured layer, and the projector."""

from typing import ClassVar

import torch

from fs_models.encoders.checkpoint import Checkpoint
from fs_models.encoders.hf_preprocess import read_preprocess
from fs_models.encoders.preprocessing import Preprocessing
from fs_models.encoders.registry import register
from fs_models.encoders.vision_side import VisionSide


@register
class Llava(VisionSide):
    """Of LLaVA-NeXT one tile: the whole image at the tower's size, without the tiles' line breaks."""

    family = "llava"
    base_models: ClassVar[dict[str, str]] = {"llava": "LlavaModel", "llava_next": "LlavaNextModel"}
    model_types = tuple(base_models)
    examples = ("llava-hf/llava-1.5-7b-hf", "llava-hf/llava-v1.6-mistral-7b-hf", "llava-hf/llava-1.5-7b-hf#tower")

    @classmethod
    def preprocessing(cls, checkpoint: Checkpoint) -> Preprocessing:
        """The file's, but of LLaVA-NeXT the first tile's, for which the image is resized whatever its shape."""
        if checkpoint.model_type == "llava":
            return checkpoint.preprocessing()
        config, name = checkpoint.processor()
        read = read_preprocess({**config, "do_pad": False}, name, known=("LlavaNextImageProcessor",))
        return read.squeezed()

    def tower(self, normalised: torch.Tensor) -> torch.Tensor:
        """Hidden states of the configured layers, side by side, without the class token where so configured."""
        config = self.network.config
        layers = config.vision_feature_layer
        hidden = self.network.vision_tower(normalised, output_hidden_states=True).hidden_states
        chosen = [hidden[layer] for layer in ([layers] if isinstance(layers, int) else layers)]
        if config.vision_feature_select_strategy == "default":
            chosen = [states[:, 1:] for states in chosen]
        return torch.cat(chosen, dim=-1)

    def project(self, hidden: torch.Tensor) -> torch.Tensor:
        """Through the multimodal projector."""
        projected: torch.Tensor = self.network.multi_modal_projector(hidden)
        return projected
