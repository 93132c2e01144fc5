"""Certificates of every bound, fixed and stopping, and ways to damage their JSON."""

import copy
from collections.abc import Iterator
from typing import Any

import fs_runtime
from fs_runtime import FeatureCertificate, Target
from fs_runtime.preprocess import ImageLike

BOUNDS = ("gram", "angle-law", "cone", "fcsb")
# Of the linear tiny encoder: proved after some draws, and not proved by 1,200.
TARGETS = {"fixed": None, "proved": Target(0.05, 0.5), "missed": Target(0.3, 0.95)}
Path = tuple[str | int, ...]


def all_certificates(encoder: fs_runtime.SmoothedEncoder, image: ImageLike) -> dict[str, FeatureCertificate]:
    """One of each bound and way to stop; every second one is about the clean reference."""
    made: dict[str, FeatureCertificate] = {}
    for bound in BOUNDS:
        for name, until in TARGETS.items():
            reference: Any = "clean" if len(made) % 2 else "smoothed"
            made[f"{bound}, {name}"] = encoder.certify(
                image, draws=1200, alpha=0.05, bound=bound, until=until, reference=reference, seed=11
            )
    return made


def leaves(content: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every place in a JSON document that holds no object and no full list, and what stands there."""
    if isinstance(content, dict) and content:
        for key, value in content.items():
            yield from leaves(value, (*path, key))
    elif isinstance(content, list) and content:
        for number, value in enumerate(content):
            yield from leaves(value, (*path, number))
    else:
        yield path, content


def replaced(content: dict[str, Any], path: Path, value: Any) -> dict[str, Any]:
    """A copy with another value at ``path``."""
    made = copy.deepcopy(content)
    at(made, path[:-1])[path[-1]] = value
    return made


def removed(content: dict[str, Any], path: Path) -> dict[str, Any]:
    """A copy without what stands at ``path``."""
    made = copy.deepcopy(content)
    del at(made, path[:-1])[path[-1]]
    return made


def at(content: Any, path: Path) -> Any:
    """What stands at ``path``."""
    for key in path:
        content = content[key]
    return content
