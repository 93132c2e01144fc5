"""Plans: may this one be opened here? Answered before a byte of it is handed to TensorRT, for a plan is code."""

import hashlib
from dataclasses import dataclass
from typing import Literal

from fs_runtime.bundle.files import locate
from fs_runtime.bundle.manifest import MANIFEST, Engine
from fs_runtime.bundle.reader import Bundle
from fs_runtime.errors import BundleError

_AMPERE = (8, 0)


@dataclass(frozen=True)
class EngineHost:
    """What would run a plan here.

    Attributes:
        builder: which TensorRT.
        version: its version, as ``10.16.0.29``.
        compute_capability: the GPU's, as ``8.9``.
    """

    builder: Literal["tensorrt", "tensorrt-rtx"]
    version: str
    compute_capability: str


def incompatibility(engine: Engine, host: EngineHost) -> str | None:
    """Why ``engine`` cannot run on ``host``, naming both sides; None if it can."""
    if engine.builder != host.builder:
        return f"it is for {engine.builder}, here is {host.builder}"
    if not _same_version(engine, host.version):
        return f"it was built by {engine.builder} {engine.version}, here is {host.version}"
    if not _same_capability(engine, host.compute_capability):
        return f"it is for compute capability {engine.compute_capability}, this GPU has {host.compute_capability}"
    return None


def read_plan(bundle: Bundle, engine: Engine) -> bytes:
    """The plan's bytes, whose hash is checked once more: the file may have changed since the bundle was read.

    Raises:
        BundleError: the manifest does not list this plan, or the file is not it.
    """
    if engine not in bundle.manifest.engines:
        raise BundleError(f"{bundle.root / MANIFEST} does not list {engine.file}: build it with fs-export build")
    plan = locate(bundle.root, engine.file).read_bytes()
    if hashlib.sha256(plan).hexdigest() != engine.sha256:
        raise BundleError(f"{bundle.root / engine.file} changed while it was opened: copy the whole bundle again")
    return plan


def _same_version(engine: Engine, version: str) -> bool:
    built, here = _numbers(engine.version), _numbers(version)
    if engine.settings.version_compatible:
        return built[:1] == here[:1] and built <= here
    return built == here


def _same_capability(engine: Engine, compute_capability: str) -> bool:
    built, here = _numbers(engine.compute_capability), _numbers(compute_capability)
    if engine.settings.hardware_compatible:
        return built >= _AMPERE and here >= _AMPERE
    return built == here


def _numbers(version: str) -> tuple[int, ...]:
    """The first three numbers of a version; what follows tells builds apart, not formats."""
    return tuple(int(part) for part in version.split(".")[:3] if part.isdigit())
