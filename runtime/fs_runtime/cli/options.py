"""Groups of options that commands share, so that a flag means the same everywhere."""

import re
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any, TypeVar

import click

from fs_runtime.certification import BOUNDS, Target
from fs_runtime.certification.prediction import KINDS, LabelTarget
from fs_runtime.errors import InputError

Command = TypeVar("Command", bound=Callable[..., Any])
Decorator = Callable[[Command], Command]

_DRAWS = 1024
_MOST_DRAWS = 20_000


class SeedType(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.4 on, a plain class before
    """A 128-bit seed, decimal or 0x-hexadecimal."""

    name = "seed"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Parse it; 32 hexadecimal digits are a seed as certificates print it."""
        text = str(value)
        try:
            return int(text, 16 if re.fullmatch("[0-9a-f]{32}", text) else 0)
        except ValueError:
            self.fail(f"{value!r} is no whole number: decimal, 0x..., or 32 hexadecimal digits", param, ctx)


class KindsType(click.ParamType):  # type: ignore[type-arg]  # as above
    """Kinds of label certificates with commas between, or ``auto``."""

    name = "kinds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Parse them."""
        kinds = tuple(str(value).split(","))
        if kinds == ("auto",):
            return "auto"
        if len(set(kinds)) < len(kinds) or not set(kinds) <= set(KINDS):
            self.fail(f"{value!r} is not auto, nor some of {', '.join(KINDS)} with commas between", param, ctx)
        return kinds


def group(*options: Callable[[Any], Any]) -> Callable[[Command], Command]:
    """Several options as one decorator."""
    return lambda command: reduce(lambda made, option: option(made), reversed(options), command)


bundle = click.argument("bundle", metavar="DIR", type=click.Path(path_type=Path))
images = click.argument("images", metavar="IMAGES...", nargs=-1, required=True)

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON lines instead of a table.")

seed = click.option(
    "--seed", type=SeedType(), help="Fix the noise, for tests and replay. Default: fresh from the operating system."
)

threads = click.option(
    "--threads",
    type=click.IntRange(min=1, max=1024),
    help="Threads for the graph and the noise. Default: FS_THREADS, or the cores this process may use.",
)

expect_sha256 = click.option(
    "--expect-sha256", metavar="HEX", help="SHA-256 that DIR/manifest.json must have, to detect tampering."
)

opening = group(
    click.option(
        "--backend",
        default="auto",
        show_default=True,
        help="onnxruntime; tensorrt, for a plan of the bundle; onnxruntime-tensorrt; auto is tensorrt where the bundle "
        "has a plan for the very GPU of --device, else onnxruntime.",
    ),
    click.option(
        "--device",
        default="cpu",
        show_default=True,
        help="Where the graph runs: cpu, cuda, or cuda:1 for the second GPU; never replaced silently.",
    ),
    threads,
    expect_sha256,
    click.option(
        "--max-pixels",
        type=click.IntRange(min=1),
        help="Largest image that is decoded. Default: FS_MAX_PIXELS, or 64000000.",
    ),
)

sampling = group(
    click.option("--draws", type=click.IntRange(min=1, max=10**8), help="Certifying draws, all made. Default: 1024."),
    click.option("--alpha", type=float, help="Probability that a certificate fails. Default: 0.001."),
    click.option(
        "--family-alpha",
        type=float,
        help="Probability that any certificate of this run fails: each image gets it divided by their number.",
    ),
    click.option(
        "--pilot",
        type=click.IntRange(min=1),
        help="Pilot draws. Default: 128 where features are used (gram, margin, vote), for gram an eighth of --draws if "
        "that is more (at most 1024); else 64.",
    ),
)

bound = click.option(
    "--bound",
    type=click.Choice(["auto", *BOUNDS]),
    default="auto",
    show_default=True,
    help="Which theorem; auto is gram where the graph gives features, else angle-law.",
)

reference = click.option(
    "--reference",
    type=click.Choice(["smoothed", "clean"]),
    default="smoothed",
    show_default=True,
    help="What is certified: the pilot's mean feature, or the bare encoder's.",
)

certifying = group(sampling, bound, reference)

predicting = group(
    sampling,
    click.option(
        "--kinds",
        type=KindsType(),
        default="auto",
        show_default=True,
        help="Which theorems, with commas between: margin, vote, cone. They share alpha, and the best radius counts. "
        "Auto is margin,vote where the graph gives features, else cone.",
    ),
    click.option(
        "--bound",
        type=click.Choice(["auto", *(known for known in BOUNDS if known != "cone")]),
        default="auto",
        show_default=True,
        help="Whose angle the kind cone takes; auto is gram where the graph gives features, else angle-law.",
    ),
    click.option(
        "--reference",
        type=click.Choice(["smoothed", "clean"]),
        default="smoothed",
        show_default=True,
        help="Whose label is certified: the pilot's mean feature's, or the bare encoder's feature's.",
    ),
)

_max_draws = click.option(
    "--max-draws", type=click.IntRange(min=1, max=10**8), help="The most draws towards the target. Default: 20000."
)

until = group(
    click.option(
        "--radius", type=float, help="Draw until --cosine is certified at this l2 radius (graph's [0, 1] pixels)."
    ),
    click.option("--cosine", type=float, help="The cosine to certify at --radius."),
    _max_draws,
)

until_label = group(
    click.option(
        "--radius", type=float, help="Draw until the label is certified at this l2 radius (graph's [0, 1] pixels)."
    ),
    _max_draws,
)

results = group(
    click.option(
        "-o",
        "--output",
        type=click.Path(path_type=Path, dir_okay=False),
        help="Write JSON lines to FILE, each as soon as its image is done.",
        metavar="FILE.jsonl",
    ),
    click.option(
        "--resume",
        is_flag=True,
        help="Go on with -o FILE: skip the images that it has certificates of, and those that were drawn for and "
        "refused, whose alpha is spent. Images that failed before any draw, as unreadable ones, are tried again.",
    ),
    click.option(
        "--save",
        type=click.Path(path_type=Path, file_okay=False),
        help="Also write each certificate to FOLDER/NAME.json.",
        metavar="FOLDER",
    ),
)


def target(radius: float | None, cosine: float | None) -> Target | None:
    """What ``--radius`` and ``--cosine`` ask for.

    Raises:
        InputError: one of them lacks the other.
    """
    if radius is None and cosine is None:
        return None
    if radius is None or cosine is None:
        missing = "--radius" if radius is None else "--cosine"
        raise InputError(f"a target needs both --radius and --cosine: {missing} is missing")
    return Target(radius, cosine)


def label_target(radius: float | None) -> LabelTarget | None:
    """What ``--radius`` alone asks for.

    Raises:
        CertificationError: the radius is out of range.
    """
    return None if radius is None else LabelTarget(radius)


def draws(fixed: int | None, most: int | None, *, flags: tuple[str, ...], has_target: bool) -> int:
    """The number of draws that ``--draws`` or ``--max-draws`` asks for, by default 1024, or up to 20000 for a target.

    Args:
        fixed: ``--draws``.
        most: ``--max-draws``.
        flags: which make a target.
        has_target: whether there is one.

    Raises:
        InputError: the flag does not go with the other ones.
    """
    if not has_target:
        if most is not None:
            raise InputError(f"--max-draws goes with a target: give {' and '.join(flags)}, or --draws")
        return _DRAWS if fixed is None else fixed
    if fixed is not None:
        raise InputError(f"--draws is a fixed number; towards a target ({', '.join(flags)}) say --max-draws")
    return _MOST_DRAWS if most is None else most
