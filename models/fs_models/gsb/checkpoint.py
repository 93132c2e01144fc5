"""A fitted booster on disk: ``config.json`` and ``gsb.safetensors`` in a folder (docs/gsb.md)."""

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import nn

from fs_models.encoders import EncoderAdapter
from fs_models.gsb.booster import Booster, booster_at
from fs_models.gsb.diffusers_folder import make_network
from fs_models.gsb.diffusion import DiffusionPurifier, DiffusionSizes
from fs_models.gsb.mapper import PooledMapper, PooledMapperSizes, TokenMapper, TokenMapperSizes
from fs_models.gsb.unet import UNetPurifier, UNetSizes
from fs_runtime.errors import FsError, InputError
from fs_runtime.files import write_together

CONFIG = "config.json"
WEIGHTS = "gsb.safetensors"
_PURIFIER, _MAPPER = "purifier.", "mapper."
_LARGEST_CONFIG = 1 << 20
_SCHEMA: Final = 2

MOST_SIGMAS = 16
"""That one booster may serve."""

PurifierSizes = UNetSizes | DiffusionSizes
MapperSizes = PooledMapperSizes | TokenMapperSizes


class FittedEncoder(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The encoder that a booster was fitted for; ``weights_sha256`` is of its tensors, whatever it is called."""

    family: str
    model: str
    revision: str | None
    tap: str
    feature_shape: tuple[int, ...]
    height: int
    width: int
    weights_sha256: str

    @classmethod
    def of(cls, encoder: EncoderAdapter) -> "FittedEncoder":
        """The facts of an encoder that is loaded."""
        spec = encoder.spec
        return cls(
            family=spec.family,
            model=spec.model,
            revision=spec.revision,
            tap=spec.tap,
            feature_shape=spec.feature_shape,
            height=spec.height,
            width=spec.width,
            weights_sha256=weights_sha256(encoder),
        )


class Score(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Mean Gaussian robustness score of held-out photos against their clean features, at one sigma."""

    sigma: float
    without: float
    with_gsb: float


class Training(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a booster came to be; for people.

    ``clean_between`` and ``boosted_between`` are mean cosines between different held-out photos, of clean features and
    of boosted noisy ones: a booster that only draws all features together raises the second.
    """

    photos: int
    held_out: int
    skipped: int
    purifier_steps: int
    mapper_steps: int
    samples: int
    seconds: float
    seed: int
    scores: tuple[Score, ...]
    clean_between: float
    boosted_between: float
    torch: str
    stopped_early: str | None = None


class GsbConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What ``config.json`` says.

    ``weights_sha256`` is of ``gsb.safetensors``, as :func:`write_checkpoint` wrote it beside the configuration.
    """

    schema_version: Literal[2] = _SCHEMA
    encoder: FittedEncoder
    sigmas: Annotated[
        tuple[Annotated[float, msgspec.Meta(gt=0.0, le=2.0)], ...], msgspec.Meta(min_length=1, max_length=MOST_SIGMAS)
    ]
    purifier: PurifierSizes | None
    mapper: MapperSizes | None
    weights_sha256: str = ""
    training: Training | None = None

    @property
    def kind(self) -> str:
        """Purifier and mapper, in short."""
        parts = [str(type(part).__struct_config__.tag) for part in (self.purifier, self.mapper) if part is not None]
        return " + ".join(parts) or "nothing"


@dataclass(frozen=True, eq=False)
class GsbCheckpoint:
    """A booster that was read.

    Attributes:
        folder: where it lies.
        config: what it says of itself.
        sha256: over both files.
        purifier: called with normalised pixels and sigma; None: there is none.
        mapper: called with raw features and sigma; None: there is none.
    """

    folder: Path
    config: GsbConfig
    sha256: str
    purifier: nn.Module | None
    mapper: nn.Module | None

    def booster(self, encoder: EncoderAdapter, sigma: float) -> Booster:
        """The booster for an encoder at one sigma.

        Raises:
            InputError: it was fitted for another encoder, tap, size or sigma; the message names both sides.
        """
        self.check(encoder, sigma)
        return booster_at(self.purifier, self.mapper, sigma)

    def check(self, encoder: EncoderAdapter, sigma: float) -> None:
        """Refuse what :meth:`booster` refuses."""
        fitted, spec = self.config.encoder, encoder.spec
        if not any(math.isclose(sigma, known, rel_tol=1e-6) for known in self.config.sigmas):
            known = " and ".join(f"{each:g}" for each in self.config.sigmas)
            raise InputError(
                f"{self.folder} was fitted at sigma {known}, not at --sigma {sigma:g}: export at a sigma it was fitted "
                f"at, or fit one with fs-export fit --sigma {sigma:g}"
            )
        for what, theirs, ours in (
            ("family", fitted.family, spec.family),
            ("tap", fitted.tap, spec.tap),
            ("input size", f"{fitted.height} x {fitted.width}", f"{spec.height} x {spec.width}"),
            ("feature shape", fitted.feature_shape, spec.feature_shape),
        ):
            if theirs != ours:
                raise InputError(
                    f"{self.folder} was fitted for {fitted.model} with {what} {theirs}, but {spec.model} has {ours}: "
                    "fit one for it with fs-export fit"
                )
        if (ours := weights_sha256(encoder)) != fitted.weights_sha256:
            raise InputError(
                f"{self.folder} was fitted for the weights {fitted.weights_sha256[:12]} of {fitted.model}, but "
                f"{spec.model} has the weights {ours[:12]}: fit one for it with fs-export fit"
            )


class _Version(msgspec.Struct, frozen=True):
    """What a configuration of any version says."""

    schema_version: int


def read_checkpoint(folder: str | Path) -> GsbCheckpoint:
    """Read a booster.

    Raises:
        InputError: it is missing, damaged, of another version, or of a kind that this version does not know.
    """
    folder = Path(folder)
    config_bytes, weight_bytes = (_read(folder, name) for name in (CONFIG, WEIGHTS))
    config = _decoded(config_bytes, folder)
    if (found := _digest(weight_bytes)) != config.weights_sha256:
        raise InputError(
            f"{folder / WEIGHTS} is damaged, or of another fit than {CONFIG} (sha256 {found[:12]}, not "
            f"{config.weights_sha256[:12]}): copy or fit the booster again"
        )
    try:
        tensors = load_tensors(weight_bytes)
    except SafetensorError as error:
        raise InputError(f"{folder / WEIGHTS} is damaged ({error}): copy or fit the booster again") from error
    purifier, mapper = make_purifier(config.purifier), make_mapper(config.mapper)
    known = 0
    for part, prefix in ((purifier, _PURIFIER), (mapper, _MAPPER)):
        own = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
        known += len(own)
        _load(part, own, folder)
    if known != len(tensors):
        raise InputError(f"{folder / WEIGHTS} holds tensors that are no booster's: fit it again with fs-export fit")
    return GsbCheckpoint(folder, config, _digest(config_bytes, weight_bytes), purifier, mapper)


def read_config(folder: Path) -> GsbConfig:
    """What a booster says of itself, without a look at its weights.

    Raises:
        InputError: as for :func:`read_checkpoint`.
    """
    return _decoded(_read(folder, CONFIG), folder)


def write_checkpoint(folder: Path, config: GsbConfig, purifier: nn.Module | None, mapper: nn.Module | None) -> None:
    """Write a booster, its weights in fp16, their hash in its configuration.

    The files take their places one after the other: should only the first do so, reading them is refused.

    Raises:
        FsError: a weight is beyond what fp16 holds; nothing was written.
        OSError: the folder cannot be written.
    """
    tensors: dict[str, torch.Tensor] = {}
    for part, prefix in ((purifier, _PURIFIER), (mapper, _MAPPER)):
        for name, tensor in ({} if part is None else part.state_dict()).items():
            tensors[prefix + name] = kept = rounded(tensor).contiguous().cpu()
            if kept.is_floating_point() and not bool(torch.isfinite(kept).all()):
                raise FsError(
                    f"{prefix + name} reaches {float(tensor.abs().max()):g}, and a booster's fp16 ends at "
                    f"{torch.finfo(torch.float16).max:g}: {folder} is as it was; fit with another --seed"
                )
    folder.mkdir(parents=True, exist_ok=True)
    weights = save_tensors(tensors)
    config = msgspec.structs.replace(config, weights_sha256=_digest(weights))
    encoded = msgspec.json.format(msgspec.json.encode(config), indent=2) + b"\n"
    write_together({folder / WEIGHTS: weights, folder / CONFIG: encoded})


def rounded(tensor: torch.Tensor) -> torch.Tensor:
    """What a checkpoint keeps of a tensor."""
    return tensor.detach().half() if tensor.is_floating_point() else tensor.detach()


def make_purifier(sizes: PurifierSizes | None) -> nn.Module | None:
    """An untrained purifier.

    Raises:
        InputError: it needs a library that is not installed.
    """
    if isinstance(sizes, UNetSizes):
        return UNetPurifier(sizes)
    return None if sizes is None else DiffusionPurifier(sizes, make_network(sizes.unet))


def make_mapper(sizes: MapperSizes | None) -> nn.Module | None:
    """An untrained mapper."""
    if isinstance(sizes, PooledMapperSizes):
        return PooledMapper(sizes)
    return None if sizes is None else TokenMapper(sizes)


def weights_sha256(encoder: nn.Module) -> str:
    """Hash of a module's tensors, with their names, shapes and types."""
    digest = hashlib.sha256()
    for name, tensor in sorted(encoder.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _decoded(content: bytes, folder: Path) -> GsbConfig:
    path, again = folder / CONFIG, "fit it again with fs-export fit"
    if len(content) > _LARGEST_CONFIG:
        raise InputError(f"{path} is too large to be a booster's: name the folder that fs-export fit wrote")
    try:
        # First of all, as another version may have other fields.
        version = msgspec.json.decode(content, type=_Version).schema_version
        if version == _SCHEMA:
            return msgspec.json.decode(content, type=GsbConfig)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{path} is no booster's ({error}): {again}") from error
    raise InputError(
        f"{path} was written by another version of fs-export (schema {version}, this one reads {_SCHEMA}): {again}"
    )


def _digest(*contents: bytes) -> str:
    digest = hashlib.sha256()
    for content in contents:
        digest.update(content)
    return digest.hexdigest()


def _read(folder: Path, name: str) -> bytes:
    try:
        return (folder / name).read_bytes()
    except OSError as error:
        raise InputError(
            f"{folder / name} cannot be read ({error.strerror or error}): name the folder that fs-export fit wrote"
        ) from error


def _load(part: nn.Module | None, tensors: dict[str, torch.Tensor], folder: Path) -> None:
    """Put tensors into a part, all of them and none missing."""
    stated: dict[str, Any] = {} if part is None else part.state_dict()
    shapes = [{name: tuple(tensor.shape) for name, tensor in each.items()} for each in (stated, tensors)]
    if shapes[0] != shapes[1]:
        raise InputError(f"{folder / WEIGHTS} does not hold what {CONFIG} states: copy or fit the booster again")
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise InputError(f"{folder / WEIGHTS} holds numbers that are not finite in {name}: fit the booster again")
    if part is not None:
        part.load_state_dict({name: tensor.to(stated[name].dtype) for name, tensor in tensors.items()})
        part.eval().requires_grad_(False)
