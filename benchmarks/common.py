"""What the benchmarks share: the machine's facts, a bundle to measure, the photo, and where results go."""

import json
import os
import platform
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from fs_runtime.bench.neighbours import Neighbours as Neighbours

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
MODEL = "efficientnet-lite0"
VIT = "vit-b-32"
"""A full-size CLIP ViT-B/32 of random weights, made on the spot: it has the real cost and no meaning."""
PHOTOS = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg")
"""scikit-image's photos, where no others are named."""
_IMAGES = (".jpeg", ".jpg", ".png")
_PACKAGES = ("fs-runtime", "fs-export", "numpy", "Pillow", "onnxruntime", "torch", "onnx", "scikit-image")

console = Console(width=None if sys.stdout.isatty() else 120)

bundle_option = click.option(
    "--bundle",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Bundle to measure; default: one is exported into a temporary folder.",
)

photos_option = click.option(
    "--photos",
    "folder",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder of .jpg, .jpeg and .png files; default: scikit-image's four photos.",
)


def machine() -> dict[str, Any]:
    """What a figure depends on besides the code: nothing that names the machine."""
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "system": platform.system(),
        "python": platform.python_version(),
        "versions": {name: found for name in _PACKAGES if (found := _version(name))},
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
    }


def chelsea() -> np.ndarray:
    """The photo ``chelsea`` of scikit-image, uint8 [300, 451, 3]."""
    from skimage import data

    return data.chelsea()


def photos(folder: Path | None, limit: int) -> list[Path]:
    """At most ``limit`` photos of a folder (None: scikit-image's), evenly spaced in the order of their names.

    Raises:
        click.UsageError: there is none.
    """
    if folder is None:
        import skimage

        found = [Path(skimage.__file__).parent / "data" / name for name in PHOTOS]
    else:
        found = sorted(path for path in folder.iterdir() if path.suffix.lower() in _IMAGES)
    if not found:
        raise click.UsageError(f"--photos {folder} holds no {', '.join(_IMAGES)} file: name a folder of photos")
    return [found[number * len(found) // min(limit, len(found))] for number in range(min(limit, len(found)))]


def options() -> dict[str, Any]:
    """The running command's options for its results; of a folder only that it was given."""
    return {name: _recorded(value) for name, value in click.get_current_context().params.items()}


def _recorded(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_recorded(each) for each in value]
    return "given" if isinstance(value, Path) else value


def progress_bar() -> Progress:
    """A bar for work of which the parts can be counted."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console)


@contextmanager
def bundle_folder(
    given: Path | None, *, sigma: float, noise_batch: int, threads: int, model: str = MODEL, gsb: str = "none"
) -> Iterator[Path]:
    """``given``, or a bundle of ``model`` exported for as long as the context lasts."""
    if given is not None:
        yield given
        return
    import fs_export

    with tempfile.TemporaryDirectory() as folder, console.status(f"exporting {model}"):
        output = Path(folder) / "bundle"
        fs_export.export(model, sigma=sigma, noise_batch=noise_batch, output=output, threads=threads, gsb=gsb)
        yield output


@contextmanager
def model_folder(model: str) -> Iterator[str]:
    """``model``, or for ``vit-b-32`` a folder of it for as long as the context lasts."""
    if model != VIT:
        yield model
        return
    from full_size import save_model

    with tempfile.TemporaryDirectory() as folder:
        save_model(model, folder)
        yield folder


def quartiles(values: list[float]) -> dict[str, float]:
    """Median and quartiles."""
    low, middle, high = np.quantile(values, (0.25, 0.5, 0.75))
    return {"median": float(middle), "lower_quartile": float(low), "upper_quartile": float(high)}


def verdict(met: bool) -> str:
    """A target's outcome, for a table."""
    return "[green]met[/]" if met else "[bold red]missed[/]"


def write_results(name: str, results: dict[str, Any]) -> None:
    """Write ``results`` with the machine's facts to benchmarks/results/NAME.json."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{name}.json"
    document = {"schema_version": 1, "benchmark": name, "machine": machine(), **results}
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    console.print(f"written: {path.relative_to(ROOT)}", highlight=False)


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
