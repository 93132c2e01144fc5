"""From the name of a model or a bundle to its evaluation."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fs_exporters.evaluation.run import Evaluation, Watch, evaluate_encoder
from fs_exporters.evaluation.settings import EvaluationPlaces, EvaluationSettings
from fs_exporters.verify import encoder_of, same_booster
from fs_models.encoders import EncoderAdapter, LoadRequest, OfferedPrototypes, load_encoder
from fs_models.gsb import NONE, Booster, choose_booster
from fs_runtime.bundle import MANIFEST, Bundle, read_bundle
from fs_runtime.bundle.prototypes import (
    Prototypes,
    is_prototype_file,
    prototype_names,
    read_prototype_file,
    read_prototypes,
)
from fs_runtime.errors import InputError


@dataclass(frozen=True, eq=False)
class _Opened:
    """What is evaluated."""

    encoder: EncoderAdapter
    bundle: Bundle | None


def evaluate_model(
    model: str | LoadRequest,
    data: str | Path,
    settings: EvaluationSettings,
    places: EvaluationPlaces,
    *,
    gsb: str = NONE,
    prototypes: str | None = None,
    encoder_at: str | None = None,
    threads: int | None = None,
    watch: Watch = Watch(),  # noqa: B008  # it is frozen
) -> Evaluation:
    """Evaluate an encoder by its name, or the one that a bundle was exported from, at the bundle's sigma.

    Args:
        model: encoder id or folder, or the folder of a bundle; a request says more, such as the tap.
        data: folder of images.
        settings: what to do; no sigmas: the bundle's.
        places: where results go.
        gsb: ``"none"``, ``"default"`` for the booster that comes with the package, or the folder of one, fitted for
            this encoder and every one of the sigmas. For a bundle with a booster the folder of that very one;
            ``"none"``: it is the one that comes with the package.
        prototypes: a name of those that come with the encoder or lie in the bundle, a ``.safetensors`` file of them, or
            ``"none"``; None: the only ones that there are.
        encoder_at: where a bundle's encoder is now, if not where the manifest says.
        threads: for the noise and PyTorch; default: the cores this process may use.
        watch: what is told of the progress.

    Raises:
        InputError: an argument is out of range, or the encoder, its prototypes, images or labels cannot be had.
    """
    request = LoadRequest(model) if isinstance(model, str) else model
    opened, settings = _opened(request, settings, encoder_at)
    boosters, sha256 = _boosters(gsb, opened, settings.sigmas)
    return evaluate_encoder(
        opened.encoder,
        Path(data),
        settings,
        places,
        prototypes=_prototypes(prototypes, opened),
        boosters=boosters,
        booster_sha256=sha256,
        bundle=opened.bundle,
        threads=threads,
        watch=watch,
    )


def _opened(
    request: LoadRequest, settings: EvaluationSettings, encoder_at: str | None
) -> tuple[_Opened, EvaluationSettings]:
    """The encoder, and the settings with their sigmas."""
    if not (Path(request.model) / MANIFEST).is_file():
        if encoder_at is not None:
            raise InputError(
                f"--model says where a bundle's encoder is, and {request.model} is no bundle: leave it out"
            )
        settings.check()
        return _Opened(load_encoder(request), None), settings
    bundle = read_bundle(request.model)
    given = {"--tap": request.tap, "--revision": request.revision, "--image-size": request.image_size}
    if named := [flag for flag, value in given.items() if value is not None]:
        raise InputError(f"{request.model} is a bundle, which states that itself: leave out {', '.join(named)}")
    sigma = bundle.manifest.sigma
    if settings.sigmas not in ((), (sigma,)):
        raise InputError(
            f"{request.model} is a bundle for sigma {sigma:g}: leave out --sigma, or name the encoder "
            f"{bundle.manifest.source.model} in its place"
        )
    settings = replace(settings, sigmas=(sigma,))
    settings.check()
    trust = {"trust_pickle": request.trust_pickle, "trust_remote_code": request.trust_remote_code}
    encoder = encoder_of(bundle, model=encoder_at, **trust)
    return _Opened(encoder, bundle), settings


def _boosters(gsb: str, opened: _Opened, sigmas: tuple[float, ...]) -> tuple[dict[float, Booster], str | None]:
    """The booster at each sigma, and its hash."""
    if opened.bundle is None:
        chosen = {sigma: choose_booster(gsb, opened.encoder, sigma) for sigma in sigmas}
    else:
        chosen = {
            opened.bundle.manifest.sigma: same_booster(opened.bundle, opened.encoder, None if gsb == NONE else gsb)
        }
    boosters = {sigma: each.booster for sigma, each in chosen.items() if each.kind is not None}
    return boosters, next(each.sha256 for each in chosen.values())


def _prototypes(source: str | None, opened: _Opened) -> Prototypes | None:
    """The prototypes that ``source`` means; see :func:`evaluate_model`."""
    if source == "none":
        return None
    if source is not None and is_prototype_file(source):
        return read_prototype_file(source, int(np.prod(opened.encoder.spec.feature_shape)))
    bundle = opened.bundle
    offered: Mapping[str, OfferedPrototypes] = opened.encoder.prototypes() if bundle is None else {}
    names = tuple(offered) if bundle is None else prototype_names(bundle.manifest)
    if source is None:
        if len(names) > 1:
            raise InputError(f"there are several sets of prototypes, {', '.join(names)}: name one with --prototypes")
        if not names:
            return None
        source = names[0]
    if bundle is not None:
        return read_prototypes(source, bundle)
    if source not in offered:
        has = f"it has {', '.join(names)}" if names else "it has none"
        raise InputError(
            f"{opened.encoder.spec.model} comes with no prototypes named {source!r} ({has}): name others, a file that "
            "ends in .safetensors, or none"
        )
    found = offered[source]
    return Prototypes.made_of(source, found.vectors.numpy(force=True), found.labels)
