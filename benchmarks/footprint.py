"""What the runtime costs besides draws: import time, download size, peak memory.

    python benchmarks/footprint.py

(a) `import fs_runtime` against `import numpy, PIL.Image`, in paired fresh processes (median ratio, target <= 1.5), and
    the modules that it must not load; the time of `fs_runtime.load`'s own imports besides, without a target;
(b) wheels of the closure of fs-runtime[cpu] as pip downloads them (target <= 60 MB, 1 MB = 10^6 bytes), our own wheel
    (target <= 1 MB), under constraints.txt where there is one;
(c) peak resident memory of a process that certifies by the angle law with 10,000 draws against one with 500 (target:
    within 10 %). --fast takes 2,000 draws instead of 10,000.

Writes benchmarks/results/footprint.json (footprint-fast.json with --fast); exit code 1 where a target is missed.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click
import numpy as np
from common import ROOT, bundle_folder, bundle_option, console, quartiles, verdict, write_results
from rich.markup import escape
from rich.table import Table

OURS = "import fs_runtime"
PLAIN = "import numpy, PIL.Image"
FORBIDDEN = ("onnxruntime", "click", "rich", "torch", "transformers", "onnx", "tensorrt", "scipy", "skimage")
MEGABYTE = 1e6
FEW, MANY, FAST = 500, 10_000, 2_000

_LOADED = f"{OURS}, json, sys; print(json.dumps(sorted({{name.split('.')[0] for name in sys.modules}})))"
_CERTIFY = """
import resource, sys
from skimage import data
import fs_runtime
folder, threads, draws = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
image = data.chelsea()
with fs_runtime.load(folder, threads=threads) as encoder:
    encoder.certify(image, draws=draws, alpha=1e-3, bound="angle-law", seed=0)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def run_python(code: str, *arguments: str) -> str:
    """Standard output of a fresh process, away from the checkout's folder."""
    command = [sys.executable, "-c", code, *arguments]
    with tempfile.TemporaryDirectory() as folder:
        return subprocess.run(command, check=True, capture_output=True, text=True, cwd=folder).stdout


def import_time(repeats: int) -> dict[str, Any]:
    """Wall time of fresh processes, the interpreter's start included, paired in turns.

    ``import fs_runtime`` loads next to nothing until a name is used, so its first use is timed as well.
    """
    codes = {"empty": "pass", "plain": PLAIN, "ours": OURS, "ours, first use": f"{OURS}; fs_runtime.load"}
    times: dict[str, list[float]] = {name: [] for name in codes}
    for number in range(repeats + 1):
        names = list(codes) if number % 2 else list(reversed(codes))
        for name in names:
            begun = time.perf_counter()
            run_python(codes[name])
            if number:  # the first round fills the file cache
                times[name].append(time.perf_counter() - begun)
    ratios, first_use = (
        [ours / plain for ours, plain in zip(times[name], times["plain"], strict=True)]
        for name in ("ours", "ours, first use")
    )
    loaded = set(json.loads(run_python(_LOADED)))
    return {
        "seconds": {name: quartiles(values) for name, values in times.items()},
        "ratio": quartiles(ratios),
        "ratio_of_first_use": quartiles(first_use),
        "must_not_load": FORBIDDEN,
        "loaded_nevertheless": sorted(loaded & set(FORBIDDEN)),
    }


def download_size() -> dict[str, Any]:
    """Bytes of every wheel that `pip install fs-runtime[cpu]` brings."""
    constraints = ROOT / "constraints.txt"
    under = ["--constraint", str(constraints)] if constraints.is_file() else []
    with tempfile.TemporaryDirectory() as folder:
        _pip("wheel", "--no-deps", "--wheel-dir", f"{folder}/own", str(ROOT / "runtime"))
        own = next(Path(folder, "own").glob("*.whl"))
        _pip("download", "--only-binary", ":all:", "--dest", f"{folder}/all", *under, f"{own}[cpu]")
        wheels = {path.name: path.stat().st_size for path in sorted(Path(folder, "all").iterdir())}
    return {
        "constraints": bool(under),
        "wheels": wheels,
        "total_mb": sum(wheels.values()) / MEGABYTE,
        "own_mb": wheels[own.name] / MEGABYTE,
    }


def peak_memory(folder: Path, threads: int, many: int, repeats: int) -> dict[str, Any]:
    """Peak resident memory, in MB, of processes that certify with few and with many draws, in turns."""
    peaks: dict[int, list[float]] = {FEW: [], many: []}
    for _ in range(repeats):
        for draws in peaks:
            kibibytes = int(run_python(_CERTIFY, str(folder), str(threads), str(draws)))
            peaks[draws].append(kibibytes * 1024 / MEGABYTE)
    medians = {draws: float(np.median(values)) for draws, values in peaks.items()}
    return {
        "peak_mb": {str(draws): values for draws, values in peaks.items()},
        "many": many,
        "ratio": medians[many] / medians[FEW],
    }


def targets_of(imports: dict[str, Any], download: dict[str, Any], memory: dict[str, Any]) -> list[dict[str, Any]]:
    """Every target with what was reached."""
    rows = [
        ("import time, ratio", imports["ratio"]["median"], 0.0, 1.5),
        ("forbidden modules loaded", len(imports["loaded_nevertheless"]), 0.0, 0.0),
        ("download of fs-runtime[cpu], MB", download["total_mb"], 0.0, 60.0),
        ("wheel of fs-runtime, MB", download["own_mb"], 0.0, 1.0),
        (f"peak memory, {memory['many']} / {FEW} draws", memory["ratio"], 0.9, 1.1),
    ]
    return [
        {"what": what, "value": value, "least": least, "most": most, "met": least <= value <= most}
        for what, value, least, most in rows
    ]


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    subprocess.run(command, check=True, env={**os.environ, "PIP_NO_INPUT": "1"})


@click.command(help=__doc__.splitlines()[0])
@click.option("--fast", is_flag=True, help=f"{FAST} draws instead of {MANY} for the peak memory.")
@click.option("--repeats", type=click.IntRange(min=1), default=15, show_default=True, help="Paired imports.")
@click.option("--memory-repeats", type=click.IntRange(min=1), default=1, show_default=True, help="Paired certificates.")
@click.option("--threads", type=click.IntRange(min=1), default=2, show_default=True)
@bundle_option
def main(fast: bool, repeats: int, memory_repeats: int, threads: int, bundle: Path | None) -> None:
    """Measure, print, write."""
    with console.status("importing"):
        imports = import_time(repeats)
    with console.status("downloading"):
        download = download_size()
    with bundle_folder(bundle, sigma=0.1, noise_batch=32, threads=threads) as folder, console.status("certifying"):
        memory = peak_memory(folder.resolve(), threads, FAST if fast else MANY, memory_repeats)
    table = Table("wheel", "MB", title=r"Download of fs-runtime\[cpu]")
    for name, size in sorted(download["wheels"].items(), key=lambda item: -item[1]):
        table.add_row(name, f"{size / MEGABYTE:.2f}")
    console.print(table)
    targets = targets_of(imports, download, memory)
    table = Table("what", "value", "target", "", title="Footprint")
    for target in targets:
        table.add_row(
            escape(target["what"]),
            f"{target['value']:.3g}",
            f"{target['least']:g} to {target['most']:g}",
            verdict(target["met"]),
        )
    console.print(table)
    first_use = imports["ratio_of_first_use"]["median"]
    console.print(f"`{OURS}; fs_runtime.load` takes {first_use:.2f} times `{PLAIN}` (no target).", markup=False)
    results = {"imports": imports, "download": download, "memory": memory, "targets": targets}
    write_results("footprint-fast" if fast else "footprint", results)
    sys.exit(not all(target["met"] for target in targets))


if __name__ == "__main__":
    main()
