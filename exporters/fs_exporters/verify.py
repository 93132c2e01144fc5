"""Holding a bundle against its encoder again."""

from pathlib import Path

import numpy as np

from fs_exporters.parity import PARITY_DRAWS, ParityError, check_parity, measure_bare, measure_bundle
from fs_exporters.pipeline import check_parity_draws
from fs_models.encoders import FOLDER_REVISION, EncoderAdapter, EncoderSpec, LoadRequest, load_encoder, split_part
from fs_models.gsb import DEFAULT, NONE, ChosenBooster, choose_booster
from fs_runtime.bundle import MANIFEST, Bundle, read_bundle
from fs_runtime.bundle.manifest import Parity
from fs_runtime.bundle.prototypes import Prototypes, prototype_names, read_prototypes
from fs_runtime.environment import default_threads
from fs_runtime.errors import InputError

_PROTOTYPE_TOLERANCE = 1e-6
"""Of the unit rows' coordinates; they are stored in fp32."""


def verify_bundle(
    path: str | Path,
    *,
    threads: int | None = None,
    expect_sha256: str | None = None,
    model: str | None = None,
    parity_draws: int = PARITY_DRAWS,
    gsb: str | Path | None = None,
    trust_pickle: bool = False,
    trust_remote_code: bool = False,
) -> Parity:
    """Check a bundle's files, load its encoder again, and hold graph and prototypes against it on fresh runs of both.

    Args:
        path: the bundle's folder.
        threads: threads for the graph and the noise; default: the cores this process may use.
        expect_sha256: SHA-256 that manifest.json must have.
        model: where the encoder is now, if not where the manifest says.
        parity_draws: as of :func:`fs_exporters.pipeline.export_bundle`.
        gsb: folder of the booster inside the bundle; None: a shipped one, if it is that.
        trust_pickle: read weights that are Python pickles.
        trust_remote_code: run Python code that comes with the model.

    Raises:
        BundleError: the bundle is damaged, unsafe or not the expected one.
        InputError: the encoder it names cannot be loaded here.
        ParityError: the graph does not compute what the encoder computes, or the manifest or the prototypes say
            otherwise than the encoder.
    """
    check_parity_draws(parity_draws)
    bundle = read_bundle(path, expect_sha256=expect_sha256)
    encoder = encoder_of(bundle, model=model, trust_pickle=trust_pickle, trust_remote_code=trust_remote_code)
    _check_same_prototypes(bundle, encoder)
    chosen = same_booster(bundle, encoder, gsb)
    threads = threads or default_threads()
    parity = measure_bundle(bundle, encoder, threads=threads, draws=parity_draws, booster=chosen.booster)
    check_parity(parity)
    if chosen.kind is not None:
        check_parity(measure_bare(bundle, encoder, threads=threads))
    return parity


def encoder_of(
    bundle: Bundle, *, model: str | None = None, trust_pickle: bool = False, trust_remote_code: bool = False
) -> EncoderAdapter:
    """The encoder that a bundle was exported from, loaded again; arguments as of :func:`verify_bundle`.

    Raises:
        InputError: it cannot be loaded here.
        ParityError: it is another one than the manifest states.
    """
    source = bundle.manifest.source
    if (source.revision or "").startswith(FOLDER_REVISION) and not Path(split_part(model or source.model)[0]).exists():
        raise InputError(
            f"{bundle.root} was exported from the folder {source.model}, which is not here: say where it is with "
            "--model"
        )
    size = (bundle.manifest.height, bundle.manifest.width)
    request = LoadRequest(
        model or source.model, bundle.manifest.tap, source.revision, trust_pickle, trust_remote_code, size
    )
    encoder = load_encoder(request)
    _check_same_facts(bundle, encoder.spec)
    return encoder


def same_booster(bundle: Bundle, encoder: EncoderAdapter, gsb: str | Path | None) -> ChosenBooster:
    """The booster inside a bundle, from where it is now.

    Raises:
        InputError: it is not here, or is another.
    """
    stated, sigma = bundle.manifest.gsb, bundle.manifest.sigma
    if stated is None:
        if gsb is not None:
            raise InputError(f"{bundle.root} was exported without a booster: leave out --gsb")
        return choose_booster(NONE, encoder, sigma)
    chosen = choose_booster(gsb or DEFAULT, encoder, sigma)
    if chosen.sha256 != stated.sha256:
        raise InputError(
            f"{bundle.root} holds the booster {stated.sha256[:12]}, but {gsb or 'the shipped one'} is "
            f"{(chosen.sha256 or 'none')[:12]}: say where it is with --gsb"
        )
    return chosen


def _check_same_facts(bundle: Bundle, spec: EncoderSpec) -> None:
    """Refuse a manifest that tells the runtime to prepare images otherwise than the encoder wants them."""
    manifest = bundle.manifest
    for name in ("family", "tap", "feature_shape", "height", "width", "mean", "std", "preprocess"):
        stated, found = getattr(manifest, name), getattr(spec, name)
        if stated != found:
            raise ParityError(f"{bundle.root / MANIFEST} states {name} {stated}, but {spec.model} has {found}")


def _check_same_prototypes(bundle: Bundle, encoder: EncoderAdapter) -> None:
    """Refuse prototypes under the encoder's own names that are not the encoder's; others are not known to it."""
    offered = encoder.prototypes()
    for name in prototype_names(bundle.manifest):
        if name not in offered:
            continue
        stored = read_prototypes(name, bundle)
        own = Prototypes.made_of(name, offered[name].vectors.numpy(force=True), offered[name].labels)
        if stored.labels != own.labels:
            raise ParityError(f"{bundle.root}: the labels of its prototypes {name!r} are not those of the encoder")
        if np.abs(stored.vectors - own.vectors).max() > _PROTOTYPE_TOLERANCE:
            raise ParityError(f"{bundle.root}: its prototypes {name!r} are not those of the encoder")
