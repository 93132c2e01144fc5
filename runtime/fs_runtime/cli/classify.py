"""``fs-runtime classify``: the label of each image, and the radius within which no attack changes it."""

from pathlib import Path
from typing import Any

import click

from fs_runtime.cli import options
from fs_runtime.cli.prediction_run import predict
from fs_runtime.cli.prediction_table import classify_explanation, classify_table


@click.command()
@options.bundle
@options.images
@click.option(
    "--prototypes",
    metavar="NAME|FILE",
    help="What the labels stand for: prototypes of the bundle, or FILE.safetensors with FILE.labels.txt beside it. "
    "Default: the bundle's, where it has one set.",
)
@click.option(
    "--top-k",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="1: the label; more: the set of the k best.",
)
@options.predicting
@options.until_label
@options.seed
@options.opening
@options.as_json
@options.results
def classify(bundle: Path, images: tuple[str, ...], **asked: Any) -> int:
    """Certify within which l2 radius no attack changes the label of each image.

    IMAGES are files, folders, patterns such as 'photos/**/*.jpg', or - for names on stdin. A label is the prototype
    with the largest cosine. With --radius each image is drawn for until its label is certified there, or hopeless.

    Each certificate holds with probability 1 - alpha of its own: over N images some certificate fails with
    probability up to N alpha; --family-alpha divides by N. Exit code 5 if some image abstained: no radius could be
    certified, or not the one asked for.
    """
    return predict("classify", bundle, images, table=classify_table, explanation=classify_explanation, **asked)
