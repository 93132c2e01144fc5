"""Seeds that depend on what they are for alone, so that a run that was cut off goes on with the same numbers."""

import hashlib
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Seeds:
    """The seeds of one image.

    Attributes:
        base: of the run.
        image: hash of the image.
    """

    base: int
    image: str

    def value(self, *purpose: object) -> int:
        """128 bits for a purpose."""
        content = repr((self.base, self.image, *purpose)).encode()
        return int.from_bytes(hashlib.sha256(content).digest()[:16], "big")

    def generator(self, device: torch.device, *purpose: object) -> torch.Generator:
        """A generator for a purpose."""
        return torch.Generator(device).manual_seed(self.value(*purpose) >> 65)
