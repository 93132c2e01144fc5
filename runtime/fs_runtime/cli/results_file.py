"""A file of JSON lines that grows as results come, and that an interrupted run is resumed from."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, TypeVar

import msgspec

from fs_runtime.certificates.prediction import PredictionCertificate
from fs_runtime.certificates.prediction_wire import SCHEMA
from fs_runtime.certificates.reading import AnyCertificate
from fs_runtime.cli.run import writing
from fs_runtime.errors import InputError
from fs_runtime.files import write_together
from fs_runtime.report.results import (
    ERROR_SCHEMA,
    NO_REFERENCE,
    Failure,
    read_failure,
    schema_of,
    with_empty_reference,
)

Certificate = TypeVar("Certificate", bound=AnyCertificate)
Asked = TypeVar("Asked", contravariant=True)


class Settings(Protocol[Asked]):
    """What certificates were asked to be."""

    def refuse_other(self, certificate: Asked, graph_sha256: str, name: str) -> None:
        """Refuse a certificate that was made by other settings or of another graph."""


def done_before(
    path: Path,
    settings: Settings[Certificate],
    graph_sha256: str,
    *,
    read: Callable[[bytes], Certificate | Failure],
    command: str,
) -> frozenset[str]:
    """Hashes of the images that ``path`` holds certificates of, by the very settings; makes the file ready to go on.

    ``read`` reads one line of ``command``.

    A torn last line and the lines of images that failed are dropped from the file, as both are done again. An
    abstention counts as done: certifying that image again would spend its alpha again.

    Raises:
        InputError: the file holds something else, or certificates of another graph or other settings.
    """
    if not path.exists():
        return frozenset()
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): check -o") from error
    whole, _, _ = content.rpartition(b"\n")
    kept, hashes = [], set()
    for number, line in enumerate(whole.splitlines() if whole else [], 1):
        name = f"{path}, line {number}"
        try:
            item = read(line)
        except InputError as error:
            raise InputError(f"{name} is no JSON line of {command} ({error}): write to another -o") from error
        if isinstance(item, Failure):
            continue
        settings.refuse_other(item, graph_sha256, name)
        hashes.add(item.image.sha256)
        kept.append(line + b"\n")
    write_together({path: b"".join(kept)})
    return frozenset(hashes)


def read_prediction(line: bytes) -> PredictionCertificate | Failure:
    """What one line of ``classify`` or ``search`` holds: a prediction, maybe without its reference, or a failure.

    Raises:
        InputError: neither.
    """
    schema = schema_of(line)
    if schema == ERROR_SCHEMA:
        return read_failure(line)
    if schema != SCHEMA:
        raise InputError(f"schema {schema!r} is not {SCHEMA}")
    fields = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
    feature = bytes(fields.get("feature", b"null"))
    if feature.strip() != b"null":
        whole = with_empty_reference(feature)
        if whole.encode() != feature:
            # The reference was too long for the line, and the prediction is bound to it by its hash.
            fields["feature"] = msgspec.Raw(whole.encode())
            fields["reference_sha256"] = msgspec.Raw(b'"%s"' % NO_REFERENCE.encode())
    return PredictionCertificate.from_json(msgspec.json.encode(fields).decode("utf-8", "replace"))


@contextmanager
def appending(path: Path) -> Iterator[Callable[[str], None]]:
    """What writes one more line to ``path``, so that it outlasts this process.

    Raises:
        FsError: the file cannot be opened or written.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("ab")

    def append(line: str) -> None:
        with writing(path):
            file.write(line.encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    with file:
        yield append
