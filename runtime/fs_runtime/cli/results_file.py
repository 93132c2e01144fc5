"""A file of JSON lines that grows as results come, and that an interrupted run is resumed from."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, TypeVar

from fs_runtime.certificates.reading import AnyCertificate
from fs_runtime.certificates.settings import Fact, refuse_differing
from fs_runtime.cli.run import writing
from fs_runtime.errors import InputError
from fs_runtime.files import write_together
from fs_runtime.report.results import Failure

Certificate = TypeVar("Certificate", bound=AnyCertificate)
Asked = TypeVar("Asked", contravariant=True)


class Settings(Protocol[Asked]):
    """What certificates were asked to be."""

    def facts(self, graph_sha256: str) -> dict[str, Fact]:
        """The settings by name, with the graph that they are for."""

    def facts_of(self, certificate: Asked) -> dict[str, Fact]:
        """Those that a certificate was made by."""


def done_before(
    path: Path,
    settings: Settings[Certificate],
    graph_sha256: str,
    *,
    read: Callable[[bytes], Certificate | Failure],
    command: str,
) -> frozenset[str]:
    """Hashes of the images that ``path`` has results of, by the very settings; makes the file ready to go on.

    ``read`` reads one line of ``command``.

    An abstention counts as done, and so does an image whose draws were made and refused: drawing for them again would
    spend their alpha again. A torn last line and the lines of images that failed before any draw are dropped from the
    file, as these are done again.

    Raises:
        InputError: the file holds something else, or results of another graph or other settings.
    """
    if not path.exists():
        return frozenset()
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): check -o") from error
    whole, _, _ = content.rpartition(b"\n")
    kept, hashes = [], set()
    wanted = settings.facts(graph_sha256)
    for number, line in enumerate(whole.splitlines() if whole else [], 1):
        name = f"{path}, line {number}"
        try:
            item = read(line)
        except InputError as error:
            raise InputError(f"{name} is no JSON line of {command} ({error}): write to another -o") from error
        if not isinstance(item, Failure):
            sha256, made_by = item.image.sha256, settings.facts_of(item)
        elif item.spent is not None:
            sha256, made_by = item.spent.image_sha256, item.spent.settings
        else:
            continue
        refuse_differing(wanted, made_by, name)
        hashes.add(sha256)
        kept.append(line + b"\n")
    write_together({path: b"".join(kept)})
    return frozenset(hashes)


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
