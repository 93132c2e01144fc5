"""InternVL 2.5 and 3 as transformers has them (ids that end in -hf)."""

from typing import ClassVar

import torch

from fs_models.encoders.checkpoint import Checkpoint
from fs_models.encoders.hf_preprocess import read_preprocess
from fs_models.encoders.preprocessing import Preprocessing
from fs_models.encoders.registry import register
from fs_models.encoders.vision_side import VisionSide


@register
class InternVL(VisionSide):
    """One tile: the whole image at the tower's size."""

    family = "internvl"
    base_models: ClassVar[dict[str, str]] = {"internvl": "InternVLModel"}
    model_types = tuple(base_models)
    examples = ("OpenGVLab/InternVL3-1B-hf",)

    @classmethod
    def preprocessing(cls, checkpoint: Checkpoint) -> Preprocessing:
        """Of the tile that shows the whole image."""
        config, name = checkpoint.processor()
        return read_preprocess(config, name, known=("GotOcr2ImageProcessor",))

    def tower(self, normalised: torch.Tensor) -> torch.Tensor:
        """Hidden states of the configured layer, without the class token where so configured."""
        config, layer = self.network.config, self.network.config.vision_feature_layer
        output = self.network.vision_tower(pixel_values=normalised, output_hidden_states=True)
        hidden: torch.Tensor = output.last_hidden_state if layer == -1 else output.hidden_states[layer]
        return hidden[:, 1:] if config.vision_feature_select_strategy == "default" else hidden

    def project(self, hidden: torch.Tensor) -> torch.Tensor:
        """Neighbouring tokens put together, then the multimodal projector."""
        side = int(hidden.shape[1] ** 0.5)
        grid = hidden.reshape(len(hidden), side, side, -1)
        fewer = self.network.pixel_shuffle(grid, scale_factor=self.network.config.downsample_ratio)
        projected: torch.Tensor = self.network.multi_modal_projector(fewer.flatten(1, 2))
        return projected
