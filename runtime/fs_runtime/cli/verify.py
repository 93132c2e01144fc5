"""``fs-runtime verify``: is this bundle whole, and does it run here?"""

import shlex
from pathlib import Path
from typing import Any

import click
import numpy as np

from fs_runtime.bundle import read_bundle
from fs_runtime.cli import options
from fs_runtime.cli.terminal import data, next_commands, printable
from fs_runtime.encoder import load


@click.command()
@options.bundle
@options.opening
def verify(bundle: Path, **opening: Any) -> None:
    """Check manifest and hashes, open the graph, and run one noise batch on a grey image.

    The hashes of plans are checked; they are not opened, but for one that --backend and --device ask for.
    """
    manifest = read_bundle(bundle, expect_sha256=opening["expect_sha256"]).manifest
    grey = np.full((manifest.height, manifest.width, 3), 128, np.uint8)
    with load(bundle, **opening) as encoder:
        encoder.smooth(grey, draws=1)
        ran = encoder.graph_sha256
    lines = [f"{bundle}: whole, and runs here"]
    states = {True: "runs here", False: "has its hash; not opened"}
    lines += [f"{bundle / engine.file}: {states[engine.sha256 == ran]}" for engine in manifest.engines]
    for line in lines:
        data().print(printable(line), markup=False, highlight=False, soft_wrap=True)
    place = shlex.quote(str(bundle))
    next_commands(f"fs-runtime certify {place} YOUR_PHOTO.jpg", f"fs-runtime bench {place}")
