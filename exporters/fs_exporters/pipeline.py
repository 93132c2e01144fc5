"""The whole way from a model's name to a bundle."""

import math
import platform
import shutil
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

import msgspec

from fs_exporters.bundle import add_prototypes, check_free, check_writable, new_folder, unwritable
from fs_exporters.calibration import CalibrationImages, NoisyBatches, check_calibration
from fs_exporters.graph import multiply_adds, smoothed_graph
from fs_exporters.onnx import OPSET, OPSETS, trace, write_graph
from fs_exporters.parity import (
    LEAST_PARITY_DRAWS,
    PARITY_DRAWS,
    angle_change,
    check_parity,
    measure_bare,
    measure_bundle,
)
from fs_exporters.stage import Stage, Watch
from fs_models.encoders import EncoderAdapter, EncoderSpec, LoadRequest, OfferedPrototypes, load_encoder
from fs_models.gsb import NONE, ChosenBooster, choose_booster, no_booster
from fs_models.prototypes import PrototypeRequest, requested_prototypes
from fs_runtime.bundle import MANIFEST, SCHEMA_VERSION, Bundle, Manifest, read_bundle
from fs_runtime.bundle.files import digest, total_bytes
from fs_runtime.bundle.manifest import Booster, Calibration, File, Graph, Parity, Precision, Source, Tap
from fs_runtime.bundle.prototypes import prototype_names
from fs_runtime.environment import default_threads
from fs_runtime.errors import InputError
from fs_runtime.noise import LARGEST_SIGMA

PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16", "bf16", "int8")
"""What an encoder can be exported in."""

GRAPH = "model.onnx"
"""The smoothed graph's file in a bundle."""

CLEAN = "clean.onnx"
"""The bare encoder's, in a bundle with a booster."""

_LARGEST_BATCH = 4096
_MOST_IMAGES = 64
_MOST_PARITY_DRAWS = 4096
_TOOLS = ("fs-export", "fs-runtime", "torch", "onnx", "onnxscript", "onnxruntime", "onnxruntime-gpu")


@dataclass(frozen=True)
class ExportResult:
    """A bundle that was written.

    Attributes:
        path: its folder.
        manifest: what it says of itself.
        manifest_sha256: for ``--expect-sha256`` on the deployment machine.
        stages: the steps, in order.
    """

    path: Path
    manifest: Manifest
    manifest_sha256: str
    stages: tuple[Stage, ...]


def export_bundle(
    model: str,
    *,
    sigma: float,
    noise_batch: int,
    output: str | Path,
    images: int = 1,
    precision: Precision = "fp32",
    tap: Tap | None = None,
    revision: str | None = None,
    image_size: tuple[int, int] | None = None,
    trust_pickle: bool = False,
    trust_remote_code: bool = False,
    prototypes: PrototypeRequest = PrototypeRequest(),  # noqa: B008  # it is frozen
    overwrite: bool = False,
    threads: int | None = None,
    calibration: str | Path | None = None,
    parity_draws: int = PARITY_DRAWS,
    gsb: str | Path = NONE,
    on_start: Callable[[str], None] = lambda _: None,
    on_progress: Callable[[str, int, int], None] = lambda _, __, ___: None,
    on_stage: Callable[[Stage], None] = lambda _: None,
) -> ExportResult:
    """Export a smoothed encoder.

    Args:
        model: encoder id or folder; ``fs-export list`` shows the families.
        sigma: noise standard deviation, in units of [0, 1] pixels.
        noise_batch: draws in one run of the graph, baked in.
        output: folder of the bundle; made whole or not at all.
        images: how many images' draws one noise batch can mix, baked in too; it keeps large batches full.
        precision: ``"fp32"``, ``"fp16"``, ``"bf16"`` (for engines; ONNX Runtime's CPU provider cannot run it) or
            ``"int8"`` (for CPUs), of the encoder inside the graph (docs/precision.md).
        tap: which feature; default: the family's first.
        revision: version of the weights.
        image_size: (height, width) of the input, for encoders that take several sizes.
        trust_pickle: read weights that are Python pickles.
        trust_remote_code: run Python code that comes with the model.
        prototypes: which named prototypes the bundle is to hold, for labels and retrieval.
        overwrite: replace a bundle that is there.
        threads: threads for the parity gate; default: the cores this process may use.
        calibration: folder of photos like those the encoder will see, which the scales of int8 come from.
        parity_draws: draws that the parity gate compares certificates on; with fewer than 32 it compares none, and the
            manifest says so.
        gsb: ``"none"``, ``"default"`` for the booster that comes with the package, or the folder of one that
            ``fs-export fit`` made (docs/gsb.md).
        on_start: called with the name of each step as it begins.
        on_progress: called with a long step's name, the images done, and the images in all.
        on_stage: called with each finished step.

    Raises:
        InputError: an argument is out of range, the output exists, the model cannot be loaded, the booster is of
            another encoder, tap, size or sigma, or int8 has too few photos to calibrate on.
        ParityError: the graph does not compute what the encoder computes; nothing is written.
    """
    output = Path(output)
    photos = None if calibration is None else Path(calibration)
    request = LoadRequest(model, tap, revision, trust_pickle, trust_remote_code, image_size)
    check_request(sigma, noise_batch, precision, images, photos, parity_draws)
    prototypes.check()
    check_free(output, overwrite=overwrite)
    check_writable(output)
    prototypes.check_model(request)
    watch = Watch(on_start, on_stage)
    settings = _Settings(sigma, noise_batch, images, precision, threads or default_threads(), photos, parity_draws)
    with watch.step("load") as notes:
        encoder = load_encoder(request)
        parameters = sum(parameter.numel() for parameter in encoder.parameters())
        notes.detail = f"{model}, {parameters / 1e6:.2f} M parameters"
        chosen = choose_booster(gsb, encoder, sigma)
        if chosen.kind is not None:
            parameters = sum(parameter.numel() for parameter in chosen.booster.parameters())
            notes.detail += f"; booster {chosen.kind}, {parameters / 1e6:.2f} M parameters"
    sets = _prototypes(prototypes, encoder, sigma, watch, on_progress)
    try:
        with new_folder(output, overwrite=overwrite) as folder:
            manifest = _fill(folder, encoder, chosen, sets, settings, watch, on_progress)
            with watch.step("write") as notes:
                (folder / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")
                written = read_bundle(folder)
                files = [path for path in folder.rglob("*") if path.is_file()]
                names = "".join(f", prototypes {name}" for name in prototype_names(manifest))
                notes.detail = f"{len(files)} files{names}, hashes checked"
                notes.path, notes.bytes = output, total_bytes(files)
    except OSError as error:
        raise unwritable(output, error) from error
    return ExportResult(output, manifest, written.manifest_sha256, tuple(watch.stages))


def _prototypes(
    request: PrototypeRequest,
    encoder: EncoderAdapter,
    sigma: float,
    watch: Watch,
    on_progress: Callable[[str, int, int], None],
) -> dict[str, OfferedPrototypes]:
    """The prototypes that the bundle is to hold; a step of its own where the user asked for some."""
    if not request.names:
        return requested_prototypes(request, encoder, sigma=sigma).sets
    with watch.step("prototypes") as notes:
        made = requested_prototypes(request, encoder, sigma=sigma, on_progress=on_progress)
        notes.detail = "; ".join((*made.summary, *(f"skipped: {reason}" for reason in made.skipped)))
    return made.sets


def check_request(
    sigma: float,
    noise_batch: int,
    precision: str,
    images: int,
    calibration: Path | None = None,
    parity_draws: int = PARITY_DRAWS,
) -> None:
    """Refuse what cannot be exported, before any work.

    Raises:
        InputError: an argument is out of range.
    """
    if precision not in PRECISIONS:
        raise InputError(f"--precision must be one of {', '.join(PRECISIONS)}, not {precision!r}")
    if not 0.0 < sigma <= LARGEST_SIGMA:
        raise InputError(f"--sigma must lie in (0, {LARGEST_SIGMA:g}], in units of [0, 1] pixels, not {sigma:g}")
    if not 1 <= noise_batch <= _LARGEST_BATCH:
        raise InputError(f"--noise-batch must lie in 1..{_LARGEST_BATCH}, not {noise_batch}")
    if not 1 <= images <= min(noise_batch, _MOST_IMAGES):
        raise InputError(
            f"--images must lie in 1..{min(noise_batch, _MOST_IMAGES)}, at most one image a draw, not {images}"
        )
    check_parity_draws(parity_draws)
    if precision == "int8":
        check_calibration(calibration)
    elif calibration is not None:
        raise InputError(f"--calibration is for --precision int8, not {precision}: leave it out")


def check_parity_draws(draws: int) -> None:
    """Refuse a number of draws that the parity gate cannot work with.

    Raises:
        InputError: it is out of range.
    """
    if not LEAST_PARITY_DRAWS <= draws <= _MOST_PARITY_DRAWS:
        raise InputError(f"--parity-draws must lie in {LEAST_PARITY_DRAWS}..{_MOST_PARITY_DRAWS}, not {draws}")


@dataclass(frozen=True)
class _Settings:
    """What a bundle is filled by, beside its encoder; arguments of :func:`export_bundle`."""

    sigma: float
    noise_batch: int
    images: int
    precision: Precision
    threads: int
    calibration: Path | None
    parity_draws: int


def _fill(
    folder: Path,
    encoder: EncoderAdapter,
    chosen: ChosenBooster,
    prototypes: Mapping[str, OfferedPrototypes],
    settings: _Settings,
    watch: Watch,
    on_progress: Callable[[str, int, int], None],
) -> Manifest:
    """Write everything but the manifest."""
    draft = draft_manifest(encoder.spec, settings.sigma, settings.noise_batch, settings.images, chosen)
    traced: Precision = "fp32" if settings.precision == "int8" else settings.precision
    with watch.step("trace") as notes:
        counted = multiply_adds(smoothed_graph(encoder, chosen.booster, images=1))
        external = trace(
            smoothed_graph(encoder, chosen.booster, images=settings.images),
            draft.smoothed_inputs,
            draft.smoothed_outputs,
            folder / GRAPH,
            metadata=_metadata(draft),
            precision=traced,
        )
        mixed = f" of {settings.images} images" if settings.images > 1 else ""
        notes.detail = f"ONNX opset {OPSETS[traced]}, {traced}, noise batch {settings.noise_batch}{mixed}, checked"
        notes.path, notes.bytes = Path(GRAPH), total_bytes(folder / name for name in (GRAPH, *external))
    calibration = None
    if settings.precision == "int8":
        with watch.step("calibrate") as notes:
            external, calibration = _quantise(folder, draft, settings, on_progress)
            skipped = f", {calibration.skipped} skipped" if calibration.skipped else ""
            names = f" ({', '.join(calibration.skipped_names[:3])})" if calibration.skipped else ""
            notes.detail = f"int8 by {calibration.images} photos with noise{skipped}{names}, checked"
            notes.path, notes.bytes = Path(GRAPH), total_bytes(folder / name for name in (GRAPH, *external))
    graphs = [stated_graph(folder, draft, "smoothed", GRAPH, external, settings.precision, counted, calibration)]
    if chosen.kind is not None:
        with watch.step("clean") as notes:
            graphs.append(_clean_graph(folder, encoder, draft, traced))
            notes.detail = "the bare encoder, for clean references, checked"
            notes.path, notes.bytes = Path(CLEAN), total_bytes([folder / CLEAN])
    added = _add_files(folder, encoder.spec, prototypes)
    manifest = msgspec.structs.replace(draft, graphs=tuple(graphs), files=added)
    with watch.step("parity") as notes:
        bundle = Bundle(folder, manifest, "")
        parity = measure_bundle(
            bundle, encoder, threads=settings.threads, draws=settings.parity_draws, booster=chosen.booster
        )
        check_parity(parity)
        notes.detail = parity_line(parity)
        bare = (measure_bare(bundle, encoder, threads=settings.threads),) if chosen.kind is not None else ()
        for each in bare:
            check_parity(each)
    return msgspec.structs.replace(manifest, parity=(parity, *bare))


def _clean_graph(folder: Path, encoder: EncoderAdapter, draft: Manifest, precision: Precision) -> Graph:
    """Write the graph of role ``clean``: the smoothed one without the booster, for one draw of one image."""
    bare = draft.bare
    external = trace(
        smoothed_graph(encoder, no_booster(), images=1),
        bare.smoothed_inputs,
        bare.smoothed_outputs,
        folder / CLEAN,
        metadata=_metadata(msgspec.structs.replace(bare, gsb=None)),
        precision=precision,
        sharing=folder / GRAPH,
    )
    counted = multiply_adds(smoothed_graph(encoder, no_booster(), images=1))
    return stated_graph(folder, bare, "clean", CLEAN, external, precision, counted)


def stated_graph(
    folder: Path,
    draft: Manifest,
    role: Literal["smoothed", "clean"],
    file: str,
    external: tuple[str, ...],
    precision: Precision,
    counted: int | None,
    calibration: Calibration | None = None,
) -> Graph:
    """What the manifest says of a graph that was written."""
    files = [folder / name for name in (file, *external)]
    return Graph(
        role=role,
        file=file,
        external_data=external,
        sha256=digest(files),
        bytes=total_bytes(files),
        precision=precision,
        calibration=calibration,
        opset=OPSETS.get(precision, OPSET),
        inputs=draft.smoothed_inputs,
        outputs=draft.smoothed_outputs,
        multiply_adds=counted,
    )


def _quantise(
    folder: Path, draft: Manifest, settings: _Settings, on_progress: Callable[[str, int, int], None]
) -> tuple[tuple[str, ...], Calibration]:
    """Put an int8 graph in the place of the fp32 one; its external data, and what its scales come from."""
    from fs_exporters.onnx.quantise import quantise  # needs ONNX Runtime, which tracing does not

    images = CalibrationImages.find(settings.calibration, draft.preprocess)
    feeds = NoisyBatches(
        images, draft, threads=settings.threads, progress=lambda done, total: on_progress("calibrate", done, total)
    )
    with tempfile.TemporaryDirectory(dir=folder, prefix=".int8-") as work:
        model = quantise(folder / GRAPH, Path(work) / GRAPH, feeds)
        model.metadata_props.update(_metadata(draft))
        for path in folder.glob(f"{GRAPH}*"):
            path.unlink()
        external = write_graph(model, folder / GRAPH, draft.smoothed_inputs, draft.smoothed_outputs)
    return external, images.record()


def _add_files(folder: Path, spec: EncoderSpec, prototypes: Mapping[str, OfferedPrototypes]) -> dict[str, File]:
    """Write the model's own configuration and the prototypes."""
    paths = [Path(shutil.copyfile(file, folder / file.name)) for file in spec.config_files]
    paths += add_prototypes(folder, prototypes, dimension=math.prod(spec.feature_shape))
    return {
        path.relative_to(folder).as_posix(): File(sha256=digest([path]), bytes=total_bytes([path])) for path in paths
    }


def parity_line(parity: Parity) -> str:
    """The figures of a parity report in one line."""
    change = angle_change(parity)
    angle = "no certificate compared" if change is None else f"certified angle changes by {change:.1e} rad"
    return f"smallest cosine {parity.smallest_cosine:.7f} over {parity.pilot + parity.draws} draws, {angle}"


def draft_manifest(
    spec: EncoderSpec, sigma: float, noise_batch: int, images: int = 1, chosen: ChosenBooster | None = None
) -> Manifest:
    """The manifest before there is a graph."""
    gsb = None
    if chosen is not None and chosen.kind is not None and chosen.sha256 is not None:
        gsb = Booster(kind=chosen.kind, sha256=chosen.sha256)
    return Manifest(
        schema_version=SCHEMA_VERSION,
        source=Source(model=spec.model, revision=spec.revision),
        family=spec.family,
        tap=spec.tap,
        feature_shape=spec.feature_shape,
        height=spec.height,
        width=spec.width,
        sigma=sigma,
        noise_batch=noise_batch,
        images=images,
        mean=spec.mean,
        std=spec.std,
        preprocess=spec.preprocess,
        gsb=gsb,
        graphs=(),
        tools=_tools(),
    )


def _tools() -> dict[str, str]:
    """Versions of what made the bundle, as far as it is installed."""
    found = {"python": platform.python_version()}
    for name in _TOOLS:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def _metadata(manifest: Manifest) -> dict[str, str]:
    """Key facts for ``metadata_props``, so that a lone ONNX file still says what it is."""
    return {
        "fs.model": manifest.source.model,
        "fs.revision": manifest.source.revision or "",
        "fs.family": manifest.family,
        "fs.tap": manifest.tap,
        "fs.sigma": repr(manifest.sigma),
        "fs.noise_batch": str(manifest.noise_batch),
        "fs.images": str(manifest.images),
        "fs.feature_shape": ",".join(map(str, manifest.feature_shape)),
        "fs.schema_version": str(manifest.schema_version),
        **({} if manifest.gsb is None else {"fs.gsb": f"{manifest.gsb.kind}, sha256 {manifest.gsb.sha256}"}),
    }
