"""Options that commands share, so that a flag means the same everywhere."""

from pathlib import Path
from typing import Any

import click

from fs_runtime.cli import options

_FILE: Any = click.Path(path_type=Path)
_LARGEST_SIDE = 4096  # of a bundle's input


def _image_size(_: click.Context, __: click.Parameter, value: str | None) -> tuple[int, int] | None:
    """(height, width) of ``SIDE`` or ``HEIGHTxWIDTH``."""
    if value is None:
        return None
    sides = [int(side) if side.isdecimal() else 0 for side in value.split("x")]
    if len(sides) > 2 or not all(1 <= side <= _LARGEST_SIDE for side in sides):
        raise click.BadParameter(f"{value!r} is no size: give 448, or 448x336 for height x width")
    return sides[0], sides[-1]


model = click.argument("model", metavar="MODEL")

smoothing = options.group(
    click.option(
        "--sigma", type=float, required=True, help="Noise standard deviation, in units of [0, 1] pixels.", metavar="S"
    ),
    click.option(
        "--noise-batch", type=int, required=True, help="Draws in one run of the graph, baked in.", metavar="N"
    ),
)

precision = options.group(
    click.option(
        "--precision",
        type=click.Choice(["fp32", "fp16", "bf16", "int8"]),
        default="fp32",
        show_default=True,
        help="Of the encoder inside the graph; noise, norms and reductions stay fp32. bf16: engines only; int8: CPUs.",
    ),
    click.option(
        "--calibration",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="For int8: photos like those the encoder will see. At least 16; 128 are advised.",
    ),
)

parity_draws = click.option(
    "--parity-draws",
    type=int,
    default=64,
    show_default=True,
    metavar="N",
    help="Draws that the parity gate compares certificates on; with fewer than 32 only features are compared.",
)

loading = options.group(
    click.option(
        "--tap", type=click.Choice(["pooled", "cls", "tokens"]), help="Which feature. Default: the family's first."
    ),
    click.option(
        "--image-size",
        callback=_image_size,
        metavar="SIZE",
        help="Input of encoders that take several sizes: 448, or HEIGHTxWIDTH. Default: the family's.",
    ),
    click.option("--revision", help="Version of the weights: a commit, branch or tag of the hub.", metavar="R"),
)

trusting = options.group(
    click.option("--trust-pickle", is_flag=True, help="Read weights that are Python pickles: they can run code."),
    click.option("--trust-remote-code", is_flag=True, help="Run Python code that comes with the model."),
)

prototypes = options.group(
    click.option(
        "--prototypes/--no-prototypes",
        default=True,
        show_default=True,
        help="Put the prototypes that MODEL comes with, such as the classes it was trained on, into the bundle.",
    ),
    click.option(
        "--labels",
        type=_FILE,
        help="Zero-shot prototypes of these labels, one a line, by MODEL's own text tower (CLIP, SigLIP).",
        metavar="FILE.txt",
    ),
    click.option(
        "--template",
        "templates",
        multiple=True,
        help="Sentence for --labels with {} where the label goes; several are averaged. Default: the usual one.",
        metavar="TEXT",
    ),
    click.option(
        "--prototypes-from",
        "classes",
        type=_FILE,
        help="Class means as prototypes: DIR holds a folder of images for each class.",
        metavar="DIR",
    ),
    click.option(
        "--prototype-draws",
        type=int,
        default=0,
        show_default=True,
        help="Noisy copies that stand for each image of --prototypes-from; 0: the image itself.",
        metavar="K",
    ),
    click.option("--gallery", type=_FILE, help="Each image in DIR as a prototype, for search.", metavar="DIR"),
)

gsb = click.option(
    "--gsb",
    default="none",
    show_default=True,
    metavar="none|default|DIR",
    help="Smoothness booster in the graph: default is the one that comes with fs-export, DIR one that fit made.",
)

overwrite = click.option("--overwrite", is_flag=True, help="Replace a bundle that is there.")


def output(help_text: str, default: str | None = None) -> options.Decorator[Any]:
    """``-o DIR``."""
    # From click 8.3 on an explicit default=None is a value, and the option is not required any more.
    presence: dict[str, Any] = {"required": True} if default is None else {"default": default, "show_default": True}
    return click.option(
        "-o",
        "--output",
        type=click.Path(path_type=Path),
        help=help_text,
        metavar="DIR",
        **presence,
    )
