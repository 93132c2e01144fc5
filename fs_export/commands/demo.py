"""``fs-export demo``: the main job on real weights and real photos."""

import io
import shlex
import shutil
from collections.abc import Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click
from PIL import Image

from fs_export import options
from fs_export.demo_tables import (
    HEADS,
    SHARE,
    ComparedPhoto,
    certificates_table,
    explanation_of_systems,
    systems_rows,
    systems_table,
)
from fs_export.stages import StageReporter, next_commands, stage_reporter
from fs_runtime.certificates.reading import AnyCertificate
from fs_runtime.cli.certificate_table import explanation
from fs_runtime.cli.options import threads
from fs_runtime.cli.report import make_report
from fs_runtime.cli.run import writing
from fs_runtime.cli.terminal import data, draw_progress, messages, printable
from fs_runtime.environment import default_threads
from fs_runtime.errors import InputError
from fs_runtime.files import write_together
from fs_runtime.noise import Seed
from fs_runtime.preprocess import PreparedImage, prepare
from fs_runtime.report import Exhibit, ReportFiles, check_free, read_results, report_paths, require_matplotlib

if TYPE_CHECKING:
    from fs_exporters.demonstration import DrawPlan
    from fs_models.encoders import EncoderAdapter

_MODEL = "efficientnet-lite0"
_PHOTOS = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg")
_NOISE_BATCH = 32
_ALPHA = 1e-3
_PILOT = 128
# The fewest on which certificates are compared: the demo runs the gate twice.
_PARITY_DRAWS = 32
_STEPS = 10
_FS, _BOOSTED = "FS", "FS + GSB"


@click.command()
@click.option(
    "--sigma", type=float, default=0.25, show_default=True, help="Noise, in units of [0, 1] pixels: 0.1 or 0.25."
)
@click.option("--draws", type=click.IntRange(min=1), default=384, show_default=True, help="Certifying draws a photo.")
@options.output("Folder for the bundles, the photos and the report.", default="fs-demo")
@options.overwrite
@threads
def demo(sigma: float, draws: int, output: Path, overwrite: bool, threads: int | None) -> None:
    """Export EfficientNet-Lite0 with its pretrained weights, certify four photos and make a report of them.

    It is exported twice, as it is and with the smoothness booster that comes with fs-export. One table sets the bare
    encoder, the smoothed one (FS) and the boosted one (FS + GSB) side by side; another sets the bound `gram` beside
    `fcsb`, the bound of the paper that introduced feature-space smoothing, from the same draws.
    """
    from fs_exporters.bundle import check_free as check_bundle_free
    from fs_exporters.demonstration import DrawPlan
    from fs_models.encoders import LoadRequest, load_encoder

    plan = DrawPlan(draws, _PILOT, _ALPHA)
    plan.check()
    photos = _find_photos()
    require_matplotlib()
    folder = output / "photos"
    copies = [folder / photo.name for photo in photos]
    results, others, picture = (output / name for name in ("results.jsonl", "comparison.jsonl", "purified.png"))
    check_free([results, others, picture, *report_paths(output), *copies], overwrite=overwrite)
    plain = output / f"{_MODEL}-sigma{sigma:g}"
    boosted = output / f"{plain.name}-gsb"
    for bundle in (plain, boosted):
        check_bundle_free(bundle, overwrite=overwrite)
    count = threads or default_threads()
    with stage_reporter() as reporter:
        # A sigma that the booster is not for is refused before anything is traced.
        _export(boosted, "default", sigma, overwrite, count, reporter)
        _export(plain, "none", sigma, overwrite, count, reporter)
    folder.mkdir(exist_ok=True)
    for source, copy in zip(photos, copies, strict=True):
        shutil.copy(source, copy)
    encoder = load_encoder(LoadRequest(_MODEL))
    images = {copy.name: prepare(copy, encoder.spec.preprocess) for copy in copies}
    compared = _compare(encoder, plain, boosted, images, plan, count)
    certificates = [photo.smoothed[_BOOSTED].own for photo in compared]
    others_made = [each for photo in compared for each in _others(photo)]
    made = _purified(encoder, images, sigma)
    with writing(output):
        lines: dict[Path, Sequence[AnyCertificate]] = {results: certificates, others: others_made}
        files = {path: "".join(f"{each.to_json()}\n" for each in some).encode() for path, some in lines.items()}
        write_together({**files, picture: made})
    exhibit = _exhibit(compared, sigma, draws, made)
    with results.open("rb") as lines_read:
        report = make_report(read_results(lines_read, str(results)), output, overwrite=overwrite, exhibits=(exhibit,))
    data().print(systems_table(compared, sigma))
    _explain(explanation_of_systems(sigma, draws, _ALPHA))
    data().print(certificates_table(certificates))
    _explain(explanation(certificates[0]))
    place, photo = shlex.quote(str(boosted)), shlex.quote(str(copies[1]))
    next_commands(
        f"fs-runtime certify {place} {photo} --draws 2048",
        f"fs-runtime certify {place} YOUR_PHOTO.jpg --json",
        f"fs-runtime inspect {place}",
        f"xdg-open {shlex.quote(str(report.page))}",
    )
    data().print(_written(results, others, picture, report), markup=False, highlight=False, soft_wrap=True)


def _written(results: Path, others: Path, picture: Path, report: ReportFiles) -> str:
    lines = {
        "certificates": results,
        "the others": others,
        "purified": picture,
        "report": report.page,
        "its picture": report.picture,
    }
    return "\n".join(f"{what:<13} {printable(str(path))}" for what, path in lines.items())


def _explain(words: str) -> None:
    messages().print(words, style="dim", highlight=False, soft_wrap=True)


def _find_photos() -> list[Path]:
    spec = find_spec("skimage")
    if spec is None or spec.origin is None:
        raise InputError("the demo's photos come with scikit-image: pip install 'fs-export[demo]'")
    photos = [Path(spec.origin).parent / "data" / name for name in _PHOTOS]
    for photo in photos:
        if not photo.is_file():
            raise InputError(f"{photo} is missing from scikit-image: pip install --force-reinstall scikit-image")
    return photos


def _export(bundle: Path, gsb: str, sigma: float, overwrite: bool, threads: int, reporter: StageReporter) -> None:
    import fs_export

    fs_export.export(
        _MODEL,
        sigma=sigma,
        noise_batch=_NOISE_BATCH,
        output=bundle,
        gsb=gsb,
        overwrite=overwrite,
        threads=threads,
        parity_draws=_PARITY_DRAWS,
        on_start=reporter.on_start,
        on_stage=reporter.on_stage,
    )


def _compare(
    encoder: "EncoderAdapter",
    plain: Path,
    boosted: Path,
    images: Mapping[str, PreparedImage],
    plan: "DrawPlan",
    threads: int,
) -> list[ComparedPhoto]:
    """Attack the bare encoder and certify both smoothed systems, from the same draws."""
    from fs_exporters.demonstration import Certified, Drawn, attack_encoder, bare_encoder
    from fs_models.threads import torch_threads

    bare = bare_encoder(encoder)
    made: list[ComparedPhoto] = []
    with (
        torch_threads(threads),
        draw_progress(2 * len(images)) as progress,
        Drawn(plain, threads=threads) as fs,
        Drawn(boosted, threads=threads) as fs_gsb,
    ):
        for name, image in images.items():
            radius = SHARE * fs.manifest.sigma
            attacked = attack_encoder(bare, image, fs.prototypes, radius=radius, steps=_STEPS)
            seed = Seed.make(None)
            smoothed: dict[str, Certified] = {}
            for system, drawn in {_FS: fs, _BOOSTED: fs_gsb}.items():
                watch = partial(progress.update, 2 * len(made) + len(smoothed), f"{name}, {system}")
                smoothed[system] = drawn.certify(image, plan=plan, seed=seed, progress=watch)
            made.append(ComparedPhoto(name, attacked, smoothed))
    return made


def _others(photo: ComparedPhoto) -> list[AnyCertificate]:
    """All certificates of a photo but the one that the report is about."""
    fs, boosted = photo.smoothed[_FS], photo.smoothed[_BOOSTED]
    return [fs.own, fs.clean, fs.label, boosted.clean, boosted.label]


def _purified(encoder: "EncoderAdapter", images: Mapping[str, PreparedImage], sigma: float) -> bytes:
    """The picture of what the purifier makes of noise."""
    from fs_exporters.demonstration import denoise, draw_denoised
    from fs_models.gsb import choose_booster

    booster = choose_booster("default", encoder, sigma).booster
    shown = [denoise(encoder, booster, image, sigma=sigma, name=name) for name, image in images.items()]
    return draw_denoised(shown, sigma)


def _exhibit(compared: Sequence[ComparedPhoto], sigma: float, draws: int, picture: bytes) -> Exhibit:
    """The comparison, for the report."""
    rows = [(photo.name, *cells) for photo in compared for cells in systems_rows(photo, sigma)]
    with Image.open(io.BytesIO(picture)) as opened:
        shown = opened.convert("RGB")
    return Exhibit(
        title="Encoder, FS, and FS + GSB side by side",
        words=explanation_of_systems(sigma, draws, _ALPHA),
        heads=("photo", *(head.replace("\n", " ") for head in HEADS)),
        rows=tuple(rows),
        picture=shown,
        said="Each photo clean, with noise, and with the noise taken out by the booster's purifier",
        note="One noisy copy of each photo, and what the booster's purifier makes of it; the noise is an illustration. "
        "Cosines: of the copy's feature to the clean one, by the bare encoder and by the boosted one. The certificates "
        "that follow are those of FS + GSB.",
    )
