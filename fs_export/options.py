"""Options that commands share, so that a flag means the same everywhere."""

from pathlib import Path
from typing import Any

import click

from fs_runtime.cli import options

model = click.argument("model", metavar="MODEL")

smoothing = options.group(
    click.option(
        "--sigma", type=float, required=True, help="Noise standard deviation, in units of [0, 1] pixels.", metavar="S"
    ),
    click.option(
        "--noise-batch", type=int, required=True, help="Draws in one run of the graph, baked in.", metavar="N"
    ),
)

loading = options.group(
    click.option("--tap", help="Which feature: pooled, cls or tokens. Default: the family's first.", metavar="T"),
    click.option("--revision", help="Version of the weights.", metavar="R"),
)

overwrite = click.option("--overwrite", is_flag=True, help="Replace a bundle that is there.")

threads = click.option(
    "--threads",
    type=click.IntRange(min=1),
    help="Threads for graph and noise. Default: FS_THREADS, or the cores this process may use.",
)


def output(help_text: str, default: str | None = None) -> options.Decorator[Any]:
    """``-o DIR``."""
    return click.option(
        "-o",
        "--output",
        type=click.Path(path_type=Path),
        required=default is None,
        default=default,
        show_default=default is not None,
        help=help_text,
        metavar="DIR",
    )
