"""The commands to run after one that certified images."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fs_runtime.certificates.reading import AnyCertificate
from fs_runtime.cli.images import STDIN
from fs_runtime.cli.many_images import Run

_RESULTS = "results.jsonl"
_MORE = 4


def next_steps(
    command: str,
    bundle: Path,
    names: Sequence[str],
    run: Run[Any],
    *,
    output: Path | None,
    opening: Mapping[str, Any],
    prototypes: str | None = None,
) -> list[str]:
    """What to run next, word for word.

    Args:
        command: ``certify``, ``classify`` or ``search``.
        bundle: folder.
        names: of the images, as they were given.
        run: over them; it made one certificate at least.
        output: the file of JSON lines that they were written to.
        opening: how the bundle was opened.
        prototypes: as they were given.
    """
    certificates = run.certificates
    place = shlex.quote(str(bundle))
    where = "".join(
        f" --{name} {shlex.quote(str(opening[name]))}"
        for name, default in (("backend", "auto"), ("device", "cpu"))
        if opening.get(name, default) != default
    )
    image = _image(names, certificates)
    labels = "" if prototypes is None else f" --prototypes {shlex.quote(prototypes)}"
    again = f"fs-runtime {command} {place} {image}{labels}{where}"
    steps = []
    results = output
    if results is None:
        steps.append(f"{again} -o {_RESULTS}")
        results = Path(_RESULTS)
    if command == "certify":
        steps.append(f"fs-runtime report {shlex.quote(str(results))} -o report")
    if run.saved is not None:
        image = shlex.quote(certificates[0].image.name)
        steps.append(f"fs-runtime replay {shlex.quote(str(run.saved))} {image} --bundle {place}{where}")
    if certificates[0].until is None and any(certificate.abstained for certificate in certificates):
        steps.append(f"{again} --draws {_MORE * certificates[0].draws}")
    return steps


def _image(names: Sequence[str], certificates: Sequence[AnyCertificate]) -> str:
    """The images in the form in which they were given, where that is short; else the first."""
    if len(names) == 1 and names[0] != STDIN:
        return shlex.quote(names[0])
    return shlex.quote(certificates[0].image.name)
