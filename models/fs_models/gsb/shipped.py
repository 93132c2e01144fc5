"""Boosters that come with the package, and what ``--gsb`` may name."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fs_models.encoders import EncoderAdapter, EncoderSpec
from fs_models.gsb.booster import Booster, no_booster
from fs_models.gsb.checkpoint import CONFIG, GsbConfig, read_checkpoint, read_config
from fs_runtime.errors import InputError

NONE, DEFAULT = "none", "default"
_DATA = Path(__file__).with_name("data")


@dataclass(frozen=True, eq=False)
class ChosenBooster:
    """What goes into a graph.

    Attributes:
        booster: at the graph's sigma; the empty slot where there is none.
        kind: of its purifier and mapper, in short; None: there is none.
        sha256: of its checkpoint; None: there is none.
    """

    booster: Booster
    kind: str | None = None
    sha256: str | None = None


@cache
def shipped() -> dict[Path, GsbConfig]:
    """Folders of the boosters that come with the package, and what they say of themselves.

    Raises:
        InputError: one is damaged.
    """
    folders = [path.parent for path in sorted(_DATA.glob(f"*/{CONFIG}"))]
    try:
        return {folder: read_config(folder) for folder in folders}
    except InputError as error:
        raise InputError(
            f"a booster that comes with fs-export is damaged ({error}): install fs-export again"
        ) from error


def shipped_for(model: str, tap: str | None, sigma: float) -> Path | None:
    """The shipped booster for an encoder's name, a tap (None: its family's default) and sigma, if there is one."""
    for folder, config in shipped().items():
        if config.encoder.model == model and tap in (None, config.encoder.tap) and sigma in config.sigmas:
            return folder
    return None


def find_folder(gsb: str | Path, spec: EncoderSpec) -> Path | None:
    """The folder that ``--gsb`` names for an encoder; None: no booster is wanted.

    Raises:
        InputError: ``default``, where none is shipped for such an encoder.
    """
    if str(gsb) == NONE:
        return None
    if str(gsb) != DEFAULT:
        return Path(gsb)
    for folder, config in shipped().items():
        fitted = config.encoder
        if (fitted.family, fitted.feature_shape, fitted.tap) == (spec.family, spec.feature_shape, spec.tap):
            return folder
    known = ", ".join(config.encoder.model for config in shipped().values()) or "no encoder"
    raise InputError(
        f"--gsb default: none is shipped for {spec.model} with tap {spec.tap} (there is one for {known}): fit one with "
        "fs-export fit, and give its folder"
    )


def choose_booster(gsb: str | Path, encoder: EncoderAdapter, sigma: float) -> ChosenBooster:
    """The booster that ``--gsb`` names, at one sigma.

    Args:
        gsb: ``"none"``, ``"default"`` or a folder.
        encoder: loaded.
        sigma: noise standard deviation over [0, 1] pixels.

    Raises:
        InputError: there is none, it is damaged, or it was fitted for another encoder, tap, size or sigma.
    """
    folder = find_folder(gsb, encoder.spec)
    if folder is None:
        return ChosenBooster(no_booster())
    checkpoint = read_checkpoint(folder)
    return ChosenBooster(checkpoint.booster(encoder, sigma), checkpoint.config.kind, checkpoint.sha256)
