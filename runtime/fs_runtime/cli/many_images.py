"""What commands that certify many images share: where results go, as they come, and how a run ends."""

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import click
import numpy as np

from fs_runtime.certificates.reading import AnyCertificate
from fs_runtime.certificates.settings import Fact
from fs_runtime.certifying import ImageResult, ManyProgress
from fs_runtime.cli.error_line import error_line
from fs_runtime.cli.images import ImageList
from fs_runtime.cli.results_file import Settings, appending, done_before
from fs_runtime.cli.run import ABSTAINED, exit_code, tell, writing
from fs_runtime.cli.terminal import draw_progress, messages
from fs_runtime.encoder import SmoothedEncoder
from fs_runtime.errors import BackendError, InputError
from fs_runtime.plural import count
from fs_runtime.report.results import Failure, SpentDraws

Certificate = TypeVar("Certificate", bound=AnyCertificate)


class Many(Protocol[Certificate]):
    """Certifies images in their order."""

    def __call__(self, images: Iterable[Path], *, progress: ManyProgress) -> Generator[ImageResult[Certificate]]:
        """One result an image."""


@dataclass(frozen=True)
class Places:
    """Where results go, as the command line says.

    Attributes:
        as_json: to stdout, as JSON lines.
        output: a file of JSON lines.
        resume: whether to go on with that file.
        save: a folder of certificates.
    """

    as_json: bool
    output: Path | None
    resume: bool
    save: Path | None

    def check(self) -> None:
        """Refuse what does not go together, and make the folder.

        Raises:
            InputError: ``--resume`` without a file, or a file that is there without ``--resume``.
            FsError: the folder cannot be made.
        """
        if self.resume and self.output is None:
            raise InputError("--resume needs -o FILE, the file to go on with")
        if self.output is not None and not self.resume and self.output.exists():
            raise InputError(f"{self.output} exists: go on with it by --resume, or write to another file")
        if self.save is not None:
            with writing(self.save):
                self.save.mkdir(parents=True, exist_ok=True)


def divided_alpha(
    listed: ImageList, alpha: float | None, family_alpha: float | None, *, default: float = 1e-3
) -> tuple[ImageList, float]:
    """The images, counted where need be, and the level of each.

    Raises:
        InputError: both levels are given, or that of all together is out of range.
    """
    if family_alpha is None:
        return listed, default if alpha is None else alpha
    if alpha is not None:
        raise InputError("--alpha is of one certificate and --family-alpha of all together: give one of them")
    if not 0.0 < family_alpha < 1.0:
        raise InputError(f"--family-alpha must lie strictly between 0 and 1, not {family_alpha}")
    listed = listed.counted()
    return listed, family_alpha / max(listed.count or 0, 1)


class Run(Generic[Certificate]):
    """One run over many images.

    Attributes:
        certificates: of the images that did not fail, without the features that no table shows.
        failed: how many did.
        refused: how many of these after draws were made, whose alpha is spent.
        before: how many were done by an earlier run.
        saved: file of the first certificate, where there is a folder for them.
    """

    def __init__(self, places: Places, light: Callable[[Certificate], Certificate]) -> None:
        """``light`` takes features from a certificate: images may be many."""
        self.certificates: list[Certificate] = []
        self.failed = self.refused = self.before = 0
        self.saved: Path | None = None
        self._failure = 0
        self._places = places
        self._light = light
        self._append: Callable[[str], None] | None = None
        self._facts: dict[str, Fact] = {}

    def over(
        self,
        listed: ImageList,
        many: Many[Certificate],
        *,
        encoder: SmoothedEncoder,
        settings: Settings[Certificate],
        read: Callable[[bytes], Certificate | Failure],
        command: str,
    ) -> None:
        """Certify the images; those that a resumed file has are left out.

        Args:
            listed: the images.
            many: what certifies them.
            encoder: that it uses.
            settings: of the certificates, which a resumed file must agree with, and a line about spent draws holds.
            read: reads a line of that file.
            command: that wrote it.
        """
        output, runs_on = self._places.output, encoder.backend.info
        if runs_on.device != "cpu":
            line = f"runs on {runs_on.name} {runs_on.version}, {runs_on.device}"
            messages().print(line, style="dim", markup=False, highlight=False, soft_wrap=True)
        if self._places.resume and output is not None:
            with writing(output):
                done = done_before(output, settings, encoder.graph_sha256, read=read, command=command)
            listed = self._without(done, listed, encoder)
        self._facts = settings.facts(encoder.graph_sha256)
        with nullcontext() if output is None else appending(output) as self._append:
            self._certify(listed, many)

    @property
    def code(self) -> int:
        """The exit code: of the first failure, or of an abstention."""
        if self._failure:
            return self._failure
        return ABSTAINED if any(certificate.abstained for certificate in self.certificates) else 0

    def _without(self, done: frozenset[str], listed: ImageList, encoder: SmoothedEncoder) -> ImageList:
        """The images that are not done; those that cannot be read are left for their error."""

        def remaining() -> Iterator[Path]:
            for path in listed.paths:
                try:
                    sha256 = encoder.image_sha256(path)
                except InputError:
                    sha256 = ""
                if sha256 in done:
                    self.before += 1
                else:
                    yield path
            was = "image was" if self.before == 1 else "images were"
            messages().print(f"{self.before:,} {was} done before", style="dim", highlight=False)

        return ImageList(remaining(), None)

    def _certify(self, listed: ImageList, many: Many[Certificate]) -> None:
        with draw_progress(listed.count) as progress:
            names: list[Path] = []

            def paths() -> Iterator[Path]:
                for path in listed.paths:
                    names.append(path)
                    yield path

            def watch(number: int, done: int, total: int) -> None:
                progress.update(number, str(names[number]), done, total)

            try:
                for number, result in enumerate(many(paths(), progress=watch)):
                    if result.certificate is None:
                        assert result.error is not None
                        self._fail(names[number], result.error, result.drawn_sha256)
                    else:
                        self._add(number, names[number], result.certificate)
            except BackendError as error:
                # The device is lost for all images that are left; what is done is shown all the same.
                tell(error)
                self._failure = exit_code(error)

    def _add(self, number: int, image: Path, certificate: Certificate) -> None:
        self.certificates.append(self._light(certificate))
        self._write(certificate.to_json())
        if self._places.save is not None:
            path = self._places.save / f"{number:04d}-{image.stem}.json"
            with writing(self._places.save):
                certificate.save(path)
            self.saved = self.saved or path

    def _fail(self, image: Path, error: Exception, drawn_sha256: str | None) -> None:
        tell(error)
        self.failed += 1
        self.refused += drawn_sha256 is not None
        self._failure = self._failure or exit_code(error)
        spent = None if drawn_sha256 is None else SpentDraws(drawn_sha256, self._facts)
        self._write(error_line(image, error, spent))

    def _write(self, line: str) -> None:
        if self._places.as_json:
            click.echo(line)
        if self._append is not None:
            self._append(line)


def say_summary(run: Run[Any], *, alpha: float, family_alpha: float | None, has_target: bool) -> None:
    """Print :func:`summary` of a run on stderr, where there is more to say than of one image and its draws."""
    images = len(run.certificates) + run.failed
    if images == 0 or (images + run.before == 1 and not has_target):
        return
    messages().print(summary(run, alpha=alpha, family_alpha=family_alpha), highlight=False, soft_wrap=True)


def summary(run: Run[Any], *, alpha: float, family_alpha: float | None) -> str:
    """Images, what became of them, the draws used, and what alpha means over all of them."""
    counts = [certificate.draws for certificate in run.certificates]
    abstained = sum(certificate.abstained for certificate in run.certificates)
    failed = f"{run.failed} failed" + (f" ({run.refused} after its draws)" if run.refused else "")
    parts = [f"{len(counts) - abstained} certified", f"{abstained} abstained", failed]
    line = f"{count(len(counts) + run.failed, 'image')}: {', '.join(parts)}."
    if counts and run.certificates[0].until is None:
        line += f" {sum(counts):,} draws, {counts[0]:,} an image."
    elif counts:
        line += (
            f" {sum(counts):,} draws, {int(np.median(counts)):,} in the median, at most {max(counts):,} of the "
            f"{run.certificates[0].most_draws:,} allowed."
        )
    # Which images are refused may depend on their draws, so those without a certificate count, too.
    spent = len(counts) + run.refused + run.before
    if spent == 0:
        return line
    together = f"{min(1.0, spent * alpha):.3g}"
    if family_alpha is not None:
        together += f": --family-alpha {family_alpha:g} is divided by the images, {alpha:.3g} for each"
    whose = f"these and the {run.before} done before" if run.before else "these"
    return f"{line} Some certificate of {whose} is wrong with probability at most {together}."
