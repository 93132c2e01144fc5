"""``fs-runtime certify``: how far an attacker can turn the feature of each image."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from fs_runtime.certificates.feature import FeatureCertificate
from fs_runtime.certificates.settings import CertifySettings
from fs_runtime.cli import options
from fs_runtime.cli.certificate_table import certificate_table, explanation, summary
from fs_runtime.cli.error_line import error_line
from fs_runtime.cli.images import ImageList, image_list
from fs_runtime.cli.results_file import appending, done_before
from fs_runtime.cli.run import ABSTAINED, exit_code, tell, writing
from fs_runtime.cli.terminal import data, draw_progress, messages
from fs_runtime.encoder import SmoothedEncoder, load
from fs_runtime.errors import InputError

_DRAWS = 1024
_MOST_DRAWS = 20_000


@click.command()
@options.bundle
@options.images
@options.certifying
@options.until
@options.seed
@options.opening
@options.as_json
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write JSON lines to FILE, each as soon as its image is done.",
    metavar="FILE.jsonl",
)
@click.option("--resume", is_flag=True, help="Go on with -o FILE: skip the images that it has certificates of.")
@click.option(
    "--save",
    type=click.Path(path_type=Path, file_okay=False),
    help="Also write each certificate to FOLDER/NAME.json.",
    metavar="FOLDER",
)
def certify(
    bundle: Path,
    images: tuple[str, ...],
    draws: int | None,
    alpha: float | None,
    family_alpha: float | None,
    pilot: int | None,
    bound: str,
    reference: str,
    radius: float | None,
    cosine: float | None,
    max_draws: int | None,
    seed: int | None,
    as_json: bool,
    output: Path | None,
    resume: bool,
    save: Path | None,
    **opening: Any,
) -> int:
    """Certify how far any l2-bounded attack can turn the smoothed feature of each image.

    IMAGES are files, folders, patterns such as 'photos/**/*.jpg', or - for names on stdin. With --radius and --cosine
    each image is drawn for until that cosine is certified at that radius, or hopeless.

    Each certificate holds with probability 1 - alpha of its own: over N images some certificate fails with
    probability up to N alpha; --family-alpha divides by N. Exit code 5 if some image abstained: nothing could be
    certified, or not its target.
    """
    until = options.target(radius, cosine)
    listed = image_list(images)
    if family_alpha is not None:
        if alpha is not None:
            raise InputError("--alpha is of one certificate and --family-alpha of all together: give one of them")
        listed = listed.counted()
        alpha = family_alpha / max(listed.count or 0, 1)
    if resume and output is None:
        raise InputError("--resume needs -o FILE, the file to go on with")
    if output is not None and not resume and output.exists():
        raise InputError(f"{output} exists: go on with it by --resume, or write to another file")
    if save is not None:
        with writing(save):
            save.mkdir(parents=True, exist_ok=True)
    asked: dict[str, Any] = {
        "draws": options.draws(draws, max_draws, until, default=_DRAWS, default_most=_MOST_DRAWS),
        "alpha": 1e-3 if alpha is None else alpha,
        "pilot": pilot,
        "bound": bound,
        "reference": reference,
        "until": until,
    }
    with ExitStack() as stack:
        encoder = stack.enter_context(load(bundle, **opening))
        settings = CertifySettings.checked(encoder.manifest, **asked)
        if resume and output is not None:
            with writing(output):
                done = done_before(output, settings, encoder.graph_sha256)
            listed = _without(done, listed, encoder)
        append = None if output is None else stack.enter_context(appending(output))
        sink = _Sink(as_json=as_json, append=append, save=save)
        _certify(encoder, listed, asked, seed, sink)
    if sink.certificates and not as_json:
        data().print(certificate_table(sink.certificates))
        messages().print(explanation(sink.certificates[0]), style="dim", highlight=False, soft_wrap=True)
    if len(sink.certificates) + sink.failed > 1 or until is not None:
        line = summary(sink.certificates, failed=sink.failed, alpha=settings.alpha)
        messages().print(line, highlight=False, soft_wrap=True)
    if sink.failure:
        return sink.failure
    return ABSTAINED if any(certificate.abstained for certificate in sink.certificates) else 0


def _certify(
    encoder: SmoothedEncoder, listed: ImageList, asked: dict[str, Any], seed: int | None, sink: "_Sink"
) -> None:
    with draw_progress(listed.count) as progress:
        names: list[Path] = []

        def paths() -> Iterator[Path]:
            for path in listed.paths:
                names.append(path)
                yield path

        def watch(number: int, done: int, total: int) -> None:
            progress.update(number, str(names[number]), done, total)

        for number, result in enumerate(encoder.certify_many(paths(), seed=seed, progress=watch, **asked)):
            if result.certificate is None:
                assert result.error is not None
                sink.fail(names[number], result.error)
            else:
                sink.add(number, names[number], result.certificate)


class _Sink:
    """Where results go as they come."""

    def __init__(self, *, as_json: bool, append: Callable[[str], None] | None, save: Path | None) -> None:
        self.certificates: list[FeatureCertificate] = []
        self.failure = 0
        self.failed = 0
        self._as_json = as_json
        self._append = append
        self._save = save

    def add(self, number: int, image: Path, certificate: FeatureCertificate) -> None:
        # The table needs no feature, and images may be many.
        self.certificates.append(replace(certificate, reference=certificate.reference[:0]))
        self._write(certificate.to_json())
        if self._save is not None:
            with writing(self._save):
                certificate.save(self._save / f"{number:04d}-{image.stem}.json")

    def fail(self, image: Path, error: Exception) -> None:
        tell(error)
        self.failed += 1
        self.failure = self.failure or exit_code(error)
        self._write(error_line(image, error))

    def _write(self, line: str) -> None:
        if self._as_json:
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
