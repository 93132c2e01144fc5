"""What the families that transformers implements have in common: files in, taps out."""

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import nn

from fs_models.encoders.adapter import EncoderAdapter, EncoderSpec, LoadRequest
from fs_models.encoders.checkpoint import Checkpoint, split_part
from fs_models.encoders.preprocessing import Preprocessing
from fs_runtime.bundle.manifest import Tap
from fs_runtime.errors import InputError


class TransformersAdapter(EncoderAdapter):
    """An encoder from a :class:`Checkpoint`. A family names its model types, and says where it differs from the rest.

    By default ``pooled`` is the network's ``pooler_output``, ``cls`` the first token of its last hidden state and
    ``tokens`` all of it.
    """

    request: LoadRequest
    network: Any  # attributes of transformers' modules carry no types
    model_types: ClassVar[tuple[str, ...]] = ()
    loader: ClassVar[str] = "AutoModel"
    """The class of transformers that reads the network; of a larger checkpoint it loads its own part only."""
    parts: ClassVar[tuple[str, ...]] = ()
    """What may follow ``#`` in a model's name."""

    def __init__(self, spec: EncoderSpec, network: nn.Module) -> None:
        super().__init__(spec)
        self.network = network
        self.part = split_part(spec.model)[1]

    @classmethod
    def reads(cls, checkpoint: Checkpoint) -> bool:
        """Whether config.json names one of the family's model types."""
        return checkpoint.model_type in cls.model_types

    @classmethod
    def load(cls, request: LoadRequest) -> Self:
        """Load config, weights and preprocessing; safetensors only, unless pickle is trusted."""
        checkpoint = Checkpoint.open(request)
        _, part = split_part(request.model)
        if part not in ("", *cls.parts):
            known = " or ".join(f"#{name}" for name in cls.parts) or "none"
            raise InputError(f"{request.model} names the part {part!r}, which {cls.family} has not: it knows {known}")
        tap = request.tap or cls.taps[0]
        spec = EncoderSpec.unmeasured(
            request,
            cls.preprocessing(checkpoint),
            revision=checkpoint.revision,
            family=cls.family,
            tap=tap,
            config_files=cls.config_files(checkpoint),
        )
        adapter = cls(spec, cls.build(checkpoint, tap)).eval()
        adapter.request = request
        adapter.spec = replace(spec, feature_shape=adapter._measure())
        return adapter

    @classmethod
    def build(cls, checkpoint: Checkpoint, tap: Tap) -> nn.Module:
        """The network with its weights. A pooler may lack weights where the tap does not need it."""
        import transformers

        return checkpoint.pretrained(
            getattr(transformers, cls.loader), spare=lambda name: tap != "pooled" and "pooler" in name
        )

    @classmethod
    def preprocessing(cls, checkpoint: Checkpoint) -> Preprocessing:
        """How an image becomes pixels: what the model's own file says, unless a family knows better."""
        return checkpoint.preprocessing()

    @classmethod
    def config_files(cls, checkpoint: Checkpoint) -> tuple[Path, ...]:
        """The model's own configuration files, for its bundle."""
        return checkpoint.config_files()

    def encode(self, normalised: torch.Tensor) -> torch.Tensor:
        """The tap's feature: [B, D], or [B, L, C] for tokens."""
        output = self.network(pixel_values=normalised)
        if self.spec.tap == "pooled":
            pooled: torch.Tensor = output.pooler_output
            return pooled.flatten(1)
        hidden: torch.Tensor = output.last_hidden_state
        if hidden.dim() == 4:  # [B, C, H, W] of a convolutional network
            hidden = hidden.flatten(2).transpose(1, 2)
        return hidden[:, 0] if self.spec.tap == "cls" else hidden

    def sibling(self) -> LoadRequest:
        """A request for another part of the checkpoint that this encoder was loaded from, at the same revision."""
        return LoadRequest(
            split_part(self.spec.model)[0],
            revision=self.spec.revision,
            trust_pickle=self.request.trust_pickle,
            trust_remote_code=self.request.trust_remote_code,
        )

    def _measure(self) -> tuple[int, ...]:
        """Shape of one feature, by running one image; tells whether the sizes fit, too."""
        spec = self.spec
        image = torch.zeros(1, 3, spec.height, spec.width)
        try:
            with torch.inference_mode():
                return tuple(self.encode(image).shape[1:])
        except (ValueError, RuntimeError) as error:
            size = f"{spec.height} x {spec.width}"
            raise InputError(
                f"{spec.model} cannot take the {size} images that its preprocessing makes: {error}"
            ) from error
        except (AttributeError, TypeError) as error:
            raise InputError(f"{spec.model} has no tap {spec.tap!r}: try another --tap") from error
