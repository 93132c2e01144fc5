"""``fs-export demo``: the main job on real weights and real photos."""

import shlex
import shutil
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import click
from rich.table import Table

from fs_export import options
from fs_export.stages import next_commands, stage_reporter
from fs_runtime.certificates.feature import FeatureCertificate
from fs_runtime.cli.certificate_table import FRACTIONS, cosine_cell, explanation, score_cell
from fs_runtime.cli.options import threads
from fs_runtime.cli.report import make_report
from fs_runtime.cli.run import writing
from fs_runtime.cli.terminal import data, draw_progress, messages, printable, table
from fs_runtime.encoder import SmoothedEncoder, load
from fs_runtime.errors import InputError
from fs_runtime.files import write_together
from fs_runtime.report import ReportFiles, check_free, read_results, report_paths, require_matplotlib

_MODEL = "efficientnet-lite0"
_PHOTOS = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg")
_NOISE_BATCH = 32
_ALPHA = 1e-3
_PILOT = 128


@click.command()
@click.option("--sigma", type=float, default=0.1, show_default=True, help="Noise, in units of [0, 1] pixels.")
@click.option("--draws", type=click.IntRange(min=1), default=512, show_default=True, help="Certifying draws a photo.")
@options.output("Folder for the bundle, the photos and the report.", default="fs-demo")
@options.overwrite
@threads
def demo(sigma: float, draws: int, output: Path, overwrite: bool, threads: int | None) -> None:
    """Export EfficientNet-Lite0 with its pretrained weights, certify four photos and make a report of them.

    The table sets the bound `gram` beside `fcsb`, the bound of the paper that introduced feature-space smoothing,
    from the same draws.
    """
    import fs_export

    photos = _find_photos()
    require_matplotlib()
    results = output / "results.jsonl"
    check_free([results, *report_paths(output)], overwrite=overwrite)
    bundle = output / f"{_MODEL}-sigma{sigma:g}"
    with stage_reporter() as reporter:
        fs_export.export(
            _MODEL,
            sigma=sigma,
            noise_batch=_NOISE_BATCH,
            output=bundle,
            overwrite=overwrite,
            threads=threads,
            on_start=reporter.on_start,
            on_stage=reporter.on_stage,
        )
    folder = output / "photos"
    folder.mkdir(exist_ok=True)
    copies = [Path(shutil.copy(photo, folder)) for photo in photos]
    with load(bundle, threads=threads) as encoder:
        certificates = _certify(encoder, copies, draws)
    with writing(output):
        write_together({results: "".join(f"{each.to_json()}\n" for each in certificates).encode()})
    with results.open("rb") as lines:
        report = make_report(read_results(lines, str(results)), output, overwrite=overwrite)
    data().print(_table(certificates))
    messages().print(explanation(certificates[0]), style="dim", highlight=False, soft_wrap=True)
    place, photo = shlex.quote(str(bundle)), shlex.quote(str(copies[1]))
    next_commands(
        f"fs-runtime certify {place} {photo} --draws 2048",
        f"fs-runtime certify {place} YOUR_PHOTO.jpg --json",
        f"fs-runtime inspect {place}",
        f"xdg-open {shlex.quote(str(report.page))}",
    )
    data().print(_written(results, report), markup=False, highlight=False, soft_wrap=True)


def _written(results: Path, report: ReportFiles) -> str:
    lines = {"certificates": results, "report": report.page, "its picture": report.picture}
    return "\n".join(f"{what:<13} {printable(str(path))}" for what, path in lines.items())


def _find_photos() -> list[Path]:
    spec = find_spec("skimage")
    if spec is None or spec.origin is None:
        raise InputError("the demo's photos come with scikit-image: pip install 'fs-export[demo]'")
    photos = [Path(spec.origin).parent / "data" / name for name in _PHOTOS]
    for photo in photos:
        if not photo.is_file():
            raise InputError(f"{photo} is missing from scikit-image: pip install --force-reinstall scikit-image")
    return photos


def _certify(encoder: SmoothedEncoder, photos: list[Path], draws: int) -> list[FeatureCertificate]:
    with draw_progress(len(photos)) as progress:
        return [
            encoder.certify(
                photo,
                draws=draws,
                alpha=_ALPHA,
                pilot=_PILOT,
                progress=partial(progress.update, number, photo.name),
            )
            for number, photo in enumerate(photos)
        ]


def _table(certificates: list[FeatureCertificate]) -> Table:
    first = certificates[0]
    columns = [f"{bound}\n{name}" for bound in ("gram", "fcsb") for _, name in FRACTIONS]
    title = f"certified cosine, sigma {first.sigma:g}, {first.draws} draws, alpha {first.alpha:g}"
    made = table("photo", "score", *columns, title=title)
    for certificate in certificates:
        pair = (certificate, certificate.baseline())
        cells = [cosine_cell(each, fraction * each.sigma) for each in pair for fraction, _ in FRACTIONS]
        made.add_row(Path(certificate.image.name).name, score_cell(certificate), *cells)
    return made
