"""A newcomer's path, timed: fresh environment, demo, own model folder, own photo, first own certificate.

    python benchmarks/newcomer.py

Copies the checkout's tracked files into a temporary folder and runs there what the README says, in a virtual
environment of its own. The model folder is a full-size CLIP ViT-B/32 of random weights, the photo is scikit-image's
chelsea. Writes benchmarks/results/newcomer.json. Most of the first step is the download of PyTorch.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
from common import ROOT, VIT, chelsea, console, model_folder, write_results
from PIL import Image
from rich.table import Table


def readme_block(name: str) -> str:
    """The shell block of README.md that CI runs under ``name``."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(rf"<!-- ci: {name} -->\n```bash\n(.*?)```", text, re.DOTALL)
    return str(block).strip()


def steps(model: str, photo: Path) -> dict[str, str]:
    """What the README tells a newcomer to type."""
    return {
        "make a virtual environment": f"{sys.executable} -m venv .venv",
        "install, and run the demo": readme_block("demo"),
        "export the own model": f"fs-export export {model} --sigma 0.25 --noise-batch 32 -o bundle",
        "certify the own photo": f"fs-runtime certify bundle {photo}",
    }


@click.command(help=__doc__.splitlines()[0])
def main() -> None:
    """Run the steps, print a table, write JSON."""
    with tempfile.TemporaryDirectory() as name, model_folder(VIT) as model:
        folder = Path(name)
        tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
        for file in tracked.splitlines():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / file, folder / file)
        photo = folder / "photo.png"
        Image.fromarray(chelsea()).save(photo)
        outside = {key: value for key, value in os.environ.items() if key not in ("VIRTUAL_ENV", "PYTHONPATH")}
        environment = {**outside, "PATH": f"{folder / '.venv' / 'bin'}:{os.environ['PATH']}"}
        seconds = {}
        for step, command in steps(model, photo).items():
            start = time.perf_counter()
            with console.status(step):
                done = subprocess.run(
                    ["bash", "-c", command], cwd=folder, env=environment, capture_output=True, text=True
                )
            if done.returncode != 0:
                raise click.ClickException(f"{step} failed:\n{done.stdout}\n{done.stderr}")
            seconds[step] = round(time.perf_counter() - start, 1)
    table = Table("step", "seconds", title="From nothing to the first own certificate")
    for step, taken in seconds.items():
        table.add_row(step, f"{taken:.1f}")
    table.add_row("together", f"{sum(seconds.values()):.1f}")
    console.print(table)
    write_results("newcomer", {"seconds": seconds})


if __name__ == "__main__":
    main()
