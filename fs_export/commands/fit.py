"""``fs-export fit``: a smoothness booster for one encoder, from a folder of photos."""

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn

from fs_export import options
from fs_export.stages import next_commands
from fs_runtime.cli.options import as_json, threads
from fs_runtime.cli.terminal import cell, data, messages, printable, table

if TYPE_CHECKING:
    from fs_models.gsb.fitting import FitProgress, FitResult


def _sigmas(_: click.Context, __: click.Parameter, value: str) -> tuple[float, ...]:
    """Numbers with commas between."""
    try:
        return tuple(float(each) for each in value.split(","))
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is no list of numbers: give 0.25, or 0.1,0.25") from error


@click.command()
@options.model
@click.option(
    "--data", "photos", type=click.Path(path_type=Path), required=True, metavar="DIR", help="Photos, any sizes."
)
@click.option(
    "--sigma",
    "sigmas",
    callback=_sigmas,
    required=True,
    metavar="S[,S2..]",
    help="Noise that the booster shall serve, in units of [0, 1] pixels.",
)
@options.output("Folder of the booster.")
@click.option(
    "--steps",
    type=int,
    metavar="N",
    help="Of the purifier; the mapper has as many, 3000 at most. Default: 6000, or as many as --minutes allows.",
)
@click.option("--minutes", type=float, metavar="M", help="For all of the training.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of crops, noise, first weights, held-out photos.")
@click.option(
    "--diffusion",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Purify by one step of this diffusers UNet2DModel, fine-tuned, in place of the light U-Net.",
)
@click.option("--device", metavar="cpu|cuda", help="Default: the GPU, if there is one.")
@click.option("--resume", is_flag=True, help="Go on where the same fit was interrupted.")
@click.option("--overwrite", is_flag=True, help="Replace a booster that is there.")
@options.loading
@options.trusting
@threads
@as_json
def fit(
    model: str,
    photos: Path,
    sigmas: tuple[float, ...],
    output: Path,
    steps: int | None,
    minutes: float | None,
    seed: int,
    diffusion: Path | None,
    device: str | None,
    resume: bool,
    overwrite: bool,
    tap: Any,
    image_size: tuple[int, int] | None,
    revision: str | None,
    trust_pickle: bool,
    trust_remote_code: bool,
    threads: int | None,
    as_json: bool,
) -> None:
    """Fit a Gaussian Smoothness Booster for MODEL: a purifier before it, a mapper after it; MODEL stays as it is.

    Some photos are held out: what is reported of them is the mean robustness score of their noisy features against
    MODEL's own clean ones. A fit that was interrupted goes on with --resume.
    """
    from fs_models.encoders import LoadRequest, load_encoder
    from fs_models.gsb.fitting import FitRequest, fit_booster

    request = FitRequest(
        data=photos,
        sigmas=sigmas,
        output=output,
        steps=steps,
        minutes=minutes,
        seed=seed,
        diffusion=diffusion,
        device=device,
        resume=resume,
        overwrite=overwrite,
    )
    request.check()
    encoder = load_encoder(LoadRequest(model, tap, revision, trust_pickle, trust_remote_code, image_size))
    with _reporter() as reporter:
        result = fit_booster(
            encoder,
            request,
            threads=threads,
            on_photos=reporter.photos,
            on_progress=reporter.progress,
            on_stage=reporter.stage,
        )
    _show(result, as_json)
    place = shlex.quote(str(output))
    next_commands(
        f"fs-export export {shlex.quote(model)} --sigma {sigmas[-1]:g} --noise-batch 32 --gsb {place} -o BUNDLE",
    )


@dataclass(frozen=True)
class _Reporter:
    """What a fit calls: lines for finished steps, a bar for the running one."""

    bar: Progress
    task: TaskID

    def photos(self, done: int, total: int) -> None:
        """Files read."""
        self.bar.update(self.task, description="photos", completed=done / max(total, 1), detail=f"{done} of {total}")

    def progress(self, now: "FitProgress") -> None:
        """Steps made."""
        scores = ", ".join(f"{score:.3f} at {sigma:g}" for sigma, score in now.scores.items())
        parts = [f"step {now.step}"]
        if now.loss == now.loss:  # not a NaN, which means that there is none yet
            parts.append(f"loss {now.loss:.3f}")
        parts += [f"score {scores}"] if scores else []
        if now.images_per_second:
            parts.append(f"{now.images_per_second:.0f} images/s, {now.seconds_left / 60.0:.0f} min left")
        self.bar.update(self.task, description=now.stage, completed=now.share, detail="  ".join(parts))

    def stage(self, line: str) -> None:
        """A finished step."""
        self.bar.console.print(printable(line), markup=False, highlight=False, soft_wrap=True)


@contextmanager
def _reporter() -> Iterator[_Reporter]:
    console = messages()
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        TaskProgressColumn(),
        TextColumn("{task.fields[detail]}", markup=False),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        yield _Reporter(bar, bar.add_task("starting", total=1.0, detail=""))


def _show(result: "FitResult", as_json: bool) -> None:
    """Print what came of it, on stdout."""
    training = result.config.training
    assert training is not None
    if as_json:
        line = {
            "schema": "fs-export/fit/1",
            "path": str(result.path),
            "sha256": result.sha256,
            "kind": result.config.kind,
            "training": training,
            "skipped": result.skipped,
            "repeated": result.repeated,
        }
        click.echo(msgspec.json.encode(line))
        return
    made = table(
        "sigma", "score without", "with", title=f"{training.held_out} held-out photos, against the clean feature"
    )
    for score in training.scores:
        made.add_row(cell(f"{score.sigma:g}"), f"{score.without:.4f}", f"{score.with_gsb:.4f}")
    data().print(made)
    click.echo(
        f"mean cosine between different photos: {training.clean_between:.3f} clean, {training.boosted_between:.3f} "
        "boosted"
    )
    for name in result.skipped:
        click.echo(printable(f"skipped, could not be read: {name}"), err=True)
    for name in result.repeated:
        click.echo(printable(f"skipped, the same pixels as another: {name}"), err=True)
    click.echo(printable(f"{result.path}  {result.config.kind}, sha256 {result.sha256}"))
