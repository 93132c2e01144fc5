"""The options of ``fs-export evaluate`` that no other command has."""

import click

from fs_runtime.cli import options


def _numbers(_: click.Context, __: click.Parameter, value: str | None) -> tuple[float, ...]:
    """``0.25,0.1``; nothing: none."""
    try:
        return () if value is None else tuple(float(part) for part in value.split(","))
    except ValueError:
        raise click.BadParameter(f"{value!r} is no number, nor several with commas between") from None


def _words(_: click.Context, __: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    """``l2,linf``; nothing: None."""
    return None if value is None else tuple(value.split(","))


evaluating = options.group(
    click.option(
        "--sigma",
        "sigmas",
        callback=_numbers,
        metavar="S[,S2..]",
        help="Noise standard deviations, in units of [0, 1] pixels. Default: the bundle's, where MODEL is one.",
    ),
    click.option(
        "--size",
        type=click.Choice(["small", "full"]),
        help="Sets --images, --draws, --pilot, --steps, --attack-draws and --measuring, each of which may be given "
        "too. Default: small on a CPU, else full.",
    ),
    click.option("--images", type=int, metavar="N", help="The most images, evenly spaced by name. 4, or full: 200."),
    click.option(
        "--prototypes",
        metavar="NAME",
        help="What labels stand for: a set that comes with MODEL, a .safetensors file, or none. Default: MODEL's only "
        "set.",
    ),
    click.option(
        "--truth",
        default="auto",
        show_default=True,
        metavar="HOW",
        help="True labels: folders (an image's folder is its label), names (file names up to the first _), FILE.csv "
        "(lines path,label) or none; ImageNet's also by WordNet id. auto: folders where they are labels, else none. "
        "none: the bare encoder's labels count as true.",
    ),
    click.option("--draws", type=int, metavar="N", help="Certifying draws of an image. 256, or full: 512."),
    click.option("--pilot", type=int, metavar="N", help="Pilot draws of an image. 64, or full: 128."),
    click.option("--alpha", type=float, default=1e-3, show_default=True, help="Probability that a certificate fails."),
    click.option("--device", default="cpu", show_default=True, help="Where PyTorch runs, such as cuda."),
    click.option(
        "--noise-batch",
        "batch",
        type=int,
        default=32,
        show_default=True,
        metavar="N",
        help="The most noisy copies that go through the encoder at once, but for attacks.",
    ),
)

attacking = options.group(
    click.option(
        "--attacks",
        "norms",
        callback=_words,
        default="l2,linf",
        show_default=True,
        metavar="NORMS",
        help="Norms of attacks, with commas between.",
    ),
    click.option(
        "--goals",
        callback=_words,
        metavar="GOALS",
        help="Some of turn, untargeted, targeted, match, match-crops with commas between. Default: all that the "
        "labels allow.",
    ),
    click.option(
        "--radius",
        callback=_numbers,
        default="1",
        show_default=True,
        metavar="R[,R2..]",
        help="Of l2 attacks, as shares of sigma.",
    ),
    click.option("--linf", type=float, default=8.0, show_default=True, help="Of l-inf attacks, in levels of 255."),
    click.option(
        "--clip/--no-clip",
        "boxed",
        default=True,
        show_default=True,
        help="Keep attacked pixels in [0, 1]. Certificates cover the others too.",
    ),
    click.option("--steps", type=int, metavar="N", help="Gradient steps of an attack. 10, or full: 50."),
    click.option("--attack-draws", type=int, metavar="N", help="Noisy copies a step, even. 4, or full: 16."),
    click.option("--measuring", type=int, metavar="N", help="Fresh draws of an attacked image. 32, or full: 256."),
)
