"""The folder of an evaluation: results as they come, from which an interrupted run goes on."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import safetensors.numpy
from safetensors import SafetensorError

from fs_exporters.evaluation.results import ImageResult
from fs_exporters.evaluation.settings import EvaluationPlaces
from fs_runtime.errors import FsError, InputError
from fs_runtime.files import write_together

Floats = npt.NDArray[np.float64]
Facts = dict[str, Any]

SETTINGS_SCHEMA = "fs-export/evaluation-settings/1"
_LINES = "results.jsonl"
_FEATURES = "features"
_WRITTEN = ("evaluation.json", "evaluation.md")
_KEPT = re.compile(r"[0-9a-f]{32}\.safetensors")


class ResultsFolder:
    """Images that are done, each in one line of ``results.jsonl`` and with its features beside it.

    Attributes:
        done: by the hash of the image.
    """

    def __init__(self, places: EvaluationPlaces) -> None:
        self._root = places.output
        self._resume, self._overwrite = places.resume, places.overwrite
        self.done: dict[str, ImageResult] = {}

    def check(self) -> None:
        """Refuse a folder that holds something, before any work.

        Raises:
            InputError: there are results in it, and nothing says what becomes of them; or it is no folder.
        """
        if self._resume and self._overwrite:
            raise InputError("--resume goes on with the results and --overwrite removes them: give one of them")
        if self._root.exists() and not self._root.is_dir():
            raise InputError(f"-o {self._root} is not a folder: name another")
        found = [name for name in (_LINES, *_WRITTEN) if (self._root / name).exists()]
        if found and not (self._resume or self._overwrite):
            raise InputError(
                f"-o {self._root} holds {found[0]}: go on with it by --resume, remove it by --overwrite, or name "
                "another folder"
            )

    def open(self, facts: Facts) -> None:
        """Make the folder ready: write the settings, or hold those that are there against them.

        Args:
            facts: everything that results depend on.

        Raises:
            InputError: the folder holds results of other settings, or something else.
            FsError: it cannot be written.
        """
        header = _encoded({"schema": SETTINGS_SCHEMA, **facts})
        path = self._root / _LINES
        with self._writing():
            self._root.mkdir(parents=True, exist_ok=True)
            if self._overwrite:
                self._clear()
            lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
            if lines:
                _refuse_other(header, lines[0], path)
            kept = list(self._whole(lines[1:], path))
            # A torn last line is dropped, as that image is done again.
            write_together({path: b"".join(line + b"\n" for line in (header, *kept))})

    def _whole(self, lines: Iterable[bytes], path: Path) -> Iterator[bytes]:
        """The lines of images whose features are there too."""
        for number, line in enumerate(lines, 2):
            try:
                result = msgspec.json.decode(line, type=ImageResult)
            except msgspec.DecodeError as error:
                raise InputError(
                    f"{path}, line {number} is no result of an image ({error}): take it out, or name another -o"
                ) from error
            if self._features(result.sha256).is_file():
                self.done[result.sha256] = result
                yield line

    def add(self, result: ImageResult, features: Mapping[str, Floats]) -> None:
        """Keep one image's results, so that they outlast this process.

        Args:
            result: of the image.
            features: unit features by name.
        """
        rows = {name: np.ascontiguousarray(row, dtype=np.float32) for name, row in features.items()}
        path = self._features(result.sha256)
        with self._writing():
            path.parent.mkdir(exist_ok=True)
            write_together({path: safetensors.numpy.save(rows)})
            with (self._root / _LINES).open("ab") as file:
                file.write(msgspec.json.encode(result) + b"\n")
                file.flush()
                os.fsync(file.fileno())
        self.done[result.sha256] = result

    def features(self, sha256: str) -> dict[str, Floats]:
        """The features that were kept of an image.

        Raises:
            InputError: they are damaged.
        """
        path = self._features(sha256)
        try:
            return {name: row.astype(np.float64) for name, row in safetensors.numpy.load_file(path).items()}
        except (OSError, SafetensorError) as error:
            raise InputError(f"{path} cannot be read ({error}): remove it, and go on by --resume") from error

    def write(self, document: Facts, markdown: str) -> tuple[Path, Path]:
        """Write the whole evaluation: evaluation.json and evaluation.md."""
        paths = self._root / _WRITTEN[0], self._root / _WRITTEN[1]
        encoded = msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n"
        with self._writing():
            write_together({paths[0]: encoded, paths[1]: markdown.encode()})
        return paths

    def _features(self, sha256: str) -> Path:
        return self._root / _FEATURES / f"{sha256[:32]}.safetensors"

    def _clear(self) -> None:
        for name in (_LINES, *_WRITTEN):
            (self._root / name).unlink(missing_ok=True)
        folder = self._root / _FEATURES
        if folder.is_dir():
            for path in folder.iterdir():
                if _KEPT.fullmatch(path.name):
                    path.unlink()
            with suppress(OSError):  # something else lies in it
                folder.rmdir()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise FsError(
                f"cannot write to {self._root}: {error.strerror or error}; free space or choose another place"
            ) from error


def _encoded(facts: Facts) -> bytes:
    return msgspec.json.encode(facts)


def _refuse_other(header: bytes, found: bytes, path: Path) -> None:
    if header == found:
        return
    try:
        before = msgspec.json.decode(found, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise InputError(f"{path}, line 1 is not the settings of an evaluation ({error}): name another -o") from error
    now = msgspec.json.decode(header, type=dict[str, Any])
    other = next(name for name in (*now, *before) if before.get(name) != now.get(name))
    raise InputError(
        f"{path} holds results with {other} {_short(before.get(other))}, but this run has {_short(now.get(other))}: "
        "give the same settings, or name another -o"
    )


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:80]}..."
