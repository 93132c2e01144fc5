"""A file of JSON lines that grows as results come, and that an interrupted run is resumed from."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from fs_runtime.certificates.settings import CertifySettings
from fs_runtime.cli.run import writing
from fs_runtime.errors import InputError
from fs_runtime.files import write_together
from fs_runtime.report.results import Failure, read_line


def done_before(path: Path, settings: CertifySettings, graph_sha256: str) -> frozenset[str]:
    """Hashes of the images that ``path`` holds certificates of, by the very settings; makes the file ready to go on.

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
            item = read_line(line)
        except InputError as error:
            raise InputError(f"{name} is no JSON line of certify ({error}): write to another -o") from error
        if isinstance(item, Failure):
            continue
        settings.refuse_other(item, graph_sha256, name)
        hashes.add(item.image.sha256)
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
