"""``fs-runtime replay``: make a certificate's draws again, and say whether they give what it says."""

from functools import partial
from pathlib import Path
from typing import Any, Literal

import click
import msgspec

from fs_runtime.certificates.files import certificate_text
from fs_runtime.certificates.reading import AnyCertificate, parse_certificate
from fs_runtime.certificates.replay import Difference, Replay
from fs_runtime.cli import options
from fs_runtime.cli.terminal import cell, data, draw_progress, encodable, printable, table
from fs_runtime.encoder import SmoothedEncoder, load
from fs_runtime.errors import FsError, InputError


@click.command()
@click.argument("certificate", metavar="CERT", type=click.Path(path_type=Path))
@click.argument("image", metavar="IMAGE", type=click.Path(path_type=Path))
@click.option(
    "--bundle", metavar="DIR", type=click.Path(path_type=Path), required=True, help="The bundle that it was made with."
)
@click.option(
    "--prototypes",
    metavar="NAME|FILE",
    help="What a prediction is about. Default: the bundle's prototypes of the name in CERT.",
)
@options.opening
@options.as_json
def replay(certificate: Path, image: Path, bundle: Path, prototypes: str | None, as_json: bool, **opening: Any) -> int:
    """Make the draws of the certificate CERT for IMAGE again, and compare.

    CERT is a file that `certify`, `classify` or `search` wrote by --save, or JSON lines of theirs, in which the line
    about IMAGE is taken. Exit code 1 if some field did not come out again; a hand-edited certificate is found out so.

    A certificate that was made on a GPU replays on the CPU, with room for rounding. One of a TensorRT plan is compared
    exactly on that plan (--backend tensorrt, on its GPU), and with room for rounding on the graph that it was built
    from, in a bundle that lists it.
    """
    with load(bundle, **opening) as encoder, draw_progress(1) as progress:
        stated = _certificate(certificate, image, encoder)
        watch = partial(progress.update, 0, str(image))
        result = encoder.replay(stated, image, prototypes=prototypes, progress=watch)
    if as_json:
        click.echo(_line(certificate, image, result))
    else:
        _show(stated, result)
    return 0 if result.equal else FsError.exit_code


def _certificate(path: Path, image: Path, encoder: SmoothedEncoder) -> AnyCertificate:
    """The certificate in ``path``; of several, the one about ``image``."""
    text = certificate_text(path, "certify or classify")
    # No splitlines: it would also split at characters that a label may hold.
    lines = [line for line in text.split("\n") if line.strip()]
    if len(lines) <= 1:
        return parse_certificate(text, str(path), path.parent)
    sha256 = encoder.image_sha256(image)
    for number, line in enumerate(lines, 1):
        if sha256 in line:
            return parse_certificate(line, f"{path}, line {number}", path.parent)
    raise InputError(f"{path} holds no certificate of {image} (by the hash of its pixels): name the image it is about")


def _show(stated: AnyCertificate, result: Replay) -> None:
    certificate = result.certificate
    backend = certificate.provenance.backend
    where = f"{backend.name} {backend.version} on {backend.device}"
    how = "the same backend" if result.same_backend else "another backend, so rounding may differ"
    bound, ran = stated.provenance.graph_sha256, certificate.provenance.graph_sha256
    if bound != ran:
        how = f"of {bound[:12]} on {ran[:12]}, a plan and its graph, so rounding may differ"
    click.echo(printable(f"{certificate.draws} draws made again by {where} ({how})"))
    if result.equal:
        click.echo("equal: the certificate is confirmed")
        return
    made = table("field", "the certificate says", "the draws give", words=3)
    for difference in result.differences:
        made.add_row(cell(difference.field), cell(difference.stated), cell(difference.found))
    data().print(made)


class ReplayLine(msgspec.Struct, frozen=True):
    """What became of a certificate's draws when they were made again, of ``fs-runtime replay --json``.

    Attributes:
        schema: name and version of this format.
        certificate: path of its file.
        image: path of the image.
        equal: whether the certificate is confirmed.
        same_backend: whether name, version and device of the backend are those of the certificate, which leaves no room
            for rounding.
        differences: fields that did not come out again; none where the certificate is confirmed.
    """

    schema: Literal["fs-runtime/replay/1"]
    certificate: str
    image: str
    equal: bool
    same_backend: bool
    differences: tuple[Difference, ...]


def _line(path: Path, image: Path, result: Replay) -> str:
    line = ReplayLine(
        schema="fs-runtime/replay/1",
        certificate=encodable(str(path)),
        image=encodable(str(image)),
        equal=result.equal,
        same_backend=result.same_backend,
        differences=result.differences,
    )
    return msgspec.json.encode(line).decode()
