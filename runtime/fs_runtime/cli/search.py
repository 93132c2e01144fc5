"""``fs-runtime search``: the nearest gallery items of each image, and the radius within which that set stays."""

from pathlib import Path
from typing import Any

import click

from fs_runtime.cli import options
from fs_runtime.cli.prediction_run import predict
from fs_runtime.cli.prediction_table import search_explanation, search_table


@click.command()
@options.bundle
@options.images
@click.option(
    "--prototypes",
    required=True,
    metavar="GALLERY",
    help="The gallery: prototypes of the bundle, or FILE.safetensors with FILE.labels.txt beside it.",
)
@click.option(
    "--top-k", type=click.IntRange(min=1), default=5, show_default=True, help="How many of the nearest items."
)
@options.predicting
@options.until_label
@options.seed
@options.opening
@options.as_json
@options.results
def search(bundle: Path, images: tuple[str, ...], **asked: Any) -> int:
    """Find the gallery items nearest to each image, and certify within which l2 radius no attack changes that set.

    IMAGES are files, folders, patterns such as 'photos/**/*.jpg', or - for names on stdin. The set of the K nearest
    items is certified; their order and their cosines are not. With --radius each image is drawn for until the set is
    certified there, or hopeless.

    Each certificate holds with probability 1 - alpha of its own, as those of `classify` do, and --json prints the same
    lines. Exit code 5 if some image abstained: no radius could be certified, or not the one asked for.
    """
    return predict("search", bundle, images, table=search_table, explanation=search_explanation, **asked)
