"""Certificates of tiny encoders, as lines of results."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import tiny
from PIL import Image

import fs_runtime
from fs_runtime.certificates.feature import FeatureCertificate

Line = Callable[..., str]


@pytest.fixture(scope="session")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photo that can be found again."""
    path = tmp_path_factory.mktemp("photos") / "photo one.png"
    Image.fromarray(tiny.image_array(side=8)).save(path)
    return path


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory, photo: Path) -> dict[str, FeatureCertificate]:
    """One for each kind: by bound, and ``tokens`` and ``abstained``."""
    root = tmp_path_factory.mktemp("bundles")
    made: dict[str, FeatureCertificate] = {}
    tiny.write_bundle(root / "linear", tiny.linear(side=8))
    tiny.write_bundle(root / "scattering", tiny.scattering(side=8))
    tiny.write_bundle(root / "tokens", tiny.linear(side=8, dimension=4098), tap="tokens")
    options: dict[str, Any] = {"draws": 200, "alpha": 0.01}
    with fs_runtime.load(root / "linear", threads=1) as encoder:
        for bound in ("gram", "angle-law", "fcsb"):
            made[bound] = encoder.certify(photo, bound=bound, seed=7, **options)  # type: ignore[arg-type]
        made["fresh"] = encoder.certify(photo, **options)
    for name in ("scattering", "tokens"):
        with fs_runtime.load(root / name, threads=1) as encoder:
            made[name] = encoder.certify(np.asarray(Image.open(photo)), seed=7, **options)
    assert made["scattering"].abstained
    return made


@pytest.fixture(scope="session")
def line(certificates: dict[str, FeatureCertificate]) -> Line:
    """A line of results, with some fields changed: ``line("gram", image={"name": "x"}, alpha=0.02)``."""

    def make(kind: str = "gram", **changes: Any) -> str:
        fields = json.loads(certificates[kind].to_json())
        fields["certified"] = []  # follows from the evidence; what is changed here would contradict it
        for name, value in changes.items():
            fields[name] = {**fields[name], **value} if isinstance(value, dict) else value
        return json.dumps(fields)

    return make
