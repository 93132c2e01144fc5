"""Peak memory and time of exporting full-size encoders.

    python benchmarks/scale.py vit-b-32 vit-l-14-336 --threads 2

makes each encoder with random weights in a temporary folder, and runs `fs-export export`, `fs-export verify` and
`fs-runtime smooth`, each in a process of its own, whose peak resident memory and the largest part of it that is not
mapped from files are recorded. Results go to benchmarks/results/scale-MODEL-PRECISION.json. Exit code 1 where a step
failed.
"""

import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import click
from common import ROOT, console, write_results
from full_size import NAMES
from PIL import Image
from rich.table import Table

_POLL = 0.05
GIGABYTE = 1e9


def measured(*command: object) -> dict[str, Any]:
    """Run a command; wall seconds, peak memory in bytes, exit code, and the end of what it said."""
    begun = time.perf_counter()
    process = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    anonymous = [0]
    watcher = threading.Thread(target=_watch, args=(process.pid, anonymous), daemon=True)
    watcher.start()
    assert process.stdout is not None
    said = process.stdout.read().decode(errors="replace")
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return {
        "seconds": time.perf_counter() - begun,
        "processor_seconds": usage.ru_utime + usage.ru_stime,
        "peak_bytes": usage.ru_maxrss * 1024,
        "peak_anonymous_bytes": anonymous[0],
        "exit_code": process.returncode,
        "said": [line for line in said.splitlines() if line.strip()][-12:],
    }


def _watch(pid: int, largest: list[int]) -> None:
    """Follow the memory of a process that is not backed by files, until it ends."""
    status = Path(f"/proc/{pid}/status")
    try:
        while True:
            for line in status.read_text().splitlines():
                if line.startswith("RssAnon:"):
                    largest[0] = max(largest[0], int(line.split()[1]) * 1024)
            time.sleep(_POLL)
    except (OSError, ProcessLookupError):
        return


def measure(
    model: str, precision: str, noise_batch: int, threads: int, parity_draws: int, draws: int
) -> dict[str, Any]:
    """Every step for one encoder."""
    with tempfile.TemporaryDirectory() as place:
        folder, bundle, photo = (Path(place) / name for name in ("model", "bundle", "photo.png"))
        subprocess.run([sys.executable, ROOT / "benchmarks" / "full_size.py", model, folder], check=True)
        weights = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
        Image.linear_gradient("L").convert("RGB").save(photo)
        gate = ("--threads", threads, "--parity-draws", parity_draws)
        say = ("--sigma", 0.1, "--noise-batch", noise_batch, "--precision", precision)
        python = (sys.executable, "-m")
        steps = {"export": measured(*python, "fs_export", "export", folder, *say, *gate, "-o", bundle)}
        if steps["export"]["exit_code"] == 0:
            sizes = {path.name: path.stat().st_size for path in bundle.iterdir()}
            steps["verify"] = measured(*python, "fs_export", "verify", bundle, *gate)
            smooth = ("smooth", bundle, photo, "--draws", draws, "--threads", threads, "--json")
            steps["smooth"] = measured(*python, "fs_runtime", *smooth)
            steps["smooth"]["said"] = [line[:120] for line in steps["smooth"]["said"]]
        else:
            sizes = {}
    for step in steps.values():
        step["peak_over_weights"] = step["peak_bytes"] / weights
        step["said"] = [line.replace(place, "") for line in step["said"]]
    return {"model": model, "weights_bytes": weights, "bundle_bytes": sizes, "steps": steps}


@click.command(help=__doc__.splitlines()[0])
@click.argument("models", nargs=-1, type=click.Choice(NAMES), required=True)
@click.option("--precision", type=click.Choice(["fp32", "fp16", "bf16"]), default="fp32", show_default=True)
@click.option("--noise-batch", type=click.IntRange(min=1), default=2, show_default=True)
@click.option("--threads", type=click.IntRange(min=1), default=2, show_default=True)
@click.option("--parity-draws", type=click.IntRange(min=4), default=4, show_default=True)
@click.option("--draws", type=click.IntRange(min=1), default=2, show_default=True, help="Draws of the smooth.")
def main(
    models: tuple[str, ...], precision: str, noise_batch: int, threads: int, parity_draws: int, draws: int
) -> None:
    """Measure, print, write."""
    setting = {
        "precision": precision,
        "noise_batch": noise_batch,
        "threads": threads,
        "parity_draws": parity_draws,
        "draws": draws,
    }
    failed = False
    for model in models:
        result = measure(model, precision, noise_batch, threads, parity_draws, draws)
        title = f"{model}, {precision}: weights {result['weights_bytes'] / GIGABYTE:.2f} GB"
        table = Table(
            "step", "wall s", "CPU s", "peak GB", "of it anonymous", "peak / weights", "exit code", title=title
        )
        for name, step in result["steps"].items():
            table.add_row(
                name,
                f"{step['seconds']:.0f}",
                f"{step['processor_seconds']:.0f}",
                f"{step['peak_bytes'] / GIGABYTE:.2f}",
                f"{step['peak_anonymous_bytes'] / GIGABYTE:.2f}",
                f"{step['peak_over_weights']:.2f}",
                str(step["exit_code"]),
            )
            failed = failed or step["exit_code"] != 0
        console.print(table)
        write_results(f"scale-{model}-{precision}", {"setting": setting, **result})
    sys.exit(failed)


if __name__ == "__main__":
    main()
