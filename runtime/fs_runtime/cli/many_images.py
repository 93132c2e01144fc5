"""What commands that certify many images share: where results go, as they come, and how a run ends."""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import click
import numpy as np

from fs_runtime.certificates.reading import AnyCertificate
from fs_runtime.certifying import ImageResult, ManyProgress
from fs_runtime.cli.error_line import error_line
from fs_runtime.cli.images import ImageList
from fs_runtime.cli.results_file import Settings, appending, done_before
from fs_runtime.cli.run import ABSTAINED, exit_code, tell, writing
from fs_runtime.cli.terminal import draw_progress, messages
from fs_runtime.encoder import SmoothedEncoder
from fs_runtime.errors import InputError
from fs_runtime.report.results import Failure

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
        InputError: both levels are given.
    """
    if family_alpha is None:
        return listed, default if alpha is None else alpha
    if alpha is not None:
        raise InputError("--alpha is of one certificate and --family-alpha of all together: give one of them")
    listed = listed.counted()
    return listed, family_alpha / max(listed.count or 0, 1)


class Run(Generic[Certificate]):
    """One run over many images.

    Attributes:
        certificates: of the images that did not fail, without the features that no table shows.
        failed: how many did.
        saved: file of the first certificate, where there is a folder for them.
    """

    def __init__(self, places: Places, light: Callable[[Certificate], Certificate]) -> None:
        """``light`` takes features from a certificate: images may be many."""
        self.certificates: list[Certificate] = []
        self.failed = 0
        self.saved: Path | None = None
        self._failure = 0
        self._places = places
        self._light = light
        self._append: Callable[[str], None] | None = None

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
            settings: of the certificates, which a resumed file must agree with.
            read: reads a line of that file.
            command: that wrote it.
        """
        output = self._places.output
        if self._places.resume and output is not None:
            with writing(output):
                done = done_before(output, settings, encoder.graph_sha256, read=read, command=command)
            listed = _without(done, listed, encoder)
        with nullcontext() if output is None else appending(output) as self._append:
            self._certify(listed, many)

    @property
    def code(self) -> int:
        """The exit code: of the first failure, or of an abstention."""
        if self._failure:
            return self._failure
        return ABSTAINED if any(certificate.abstained for certificate in self.certificates) else 0

    def _certify(self, listed: ImageList, many: Many[Certificate]) -> None:
        with draw_progress(listed.count) as progress:
            names: list[Path] = []

            def paths() -> Iterator[Path]:
                for path in listed.paths:
                    names.append(path)
                    yield path

            def watch(number: int, done: int, total: int) -> None:
                progress.update(number, str(names[number]), done, total)

            for number, result in enumerate(many(paths(), progress=watch)):
                if result.certificate is None:
                    assert result.error is not None
                    self._fail(names[number], result.error)
                else:
                    self._add(number, names[number], result.certificate)

    def _add(self, number: int, image: Path, certificate: Certificate) -> None:
        self.certificates.append(self._light(certificate))
        self._write(certificate.to_json())
        if self._places.save is not None:
            path = self._places.save / f"{number:04d}-{image.stem}.json"
            with writing(self._places.save):
                certificate.save(path)
            self.saved = self.saved or path

    def _fail(self, image: Path, error: Exception) -> None:
        tell(error)
        self.failed += 1
        self._failure = self._failure or exit_code(error)
        self._write(error_line(image, error))

    def _write(self, line: str) -> None:
        if self._places.as_json:
            click.echo(line)
        if self._append is not None:
            self._append(line)


def _without(done: frozenset[str], listed: ImageList, encoder: SmoothedEncoder) -> ImageList:
    """The images that are not done; those that cannot be read are left for their error."""

    def remaining() -> Iterator[Path]:
        skipped = 0
        for path in listed.paths:
            try:
                sha256 = encoder.image_sha256(path)
            except InputError:
                sha256 = ""
            if sha256 in done:
                skipped += 1
            else:
                yield path
        messages().print(f"{skipped} images were done before", style="dim", highlight=False)

    return ImageList(remaining(), None)


def summary(certificates: Sequence[AnyCertificate], *, failed: int, alpha: float) -> str:
    """Images, what became of them, the draws used, and what alpha means over all of them."""
    abstained = sum(certificate.abstained for certificate in certificates)
    counts = [certificate.draws for certificate in certificates]
    parts = [f"{len(certificates) - abstained} certified", f"{abstained} abstained", f"{failed} failed"]
    line = f"{len(certificates) + failed} images: {', '.join(parts)}."
    if not counts:
        return line
    if certificates[0].until is None:
        line += f" {sum(counts):,} draws, {counts[0]:,} an image."
    else:
        line += (
            f" {sum(counts):,} draws, {int(np.median(counts)):,} in the median, at most {max(counts):,} of the "
            f"{certificates[0].most_draws:,} allowed."
        )
    together = min(1.0, len(counts) * alpha)
    return f"{line} Some certificate of these is wrong with probability at most {together:.3g}."
