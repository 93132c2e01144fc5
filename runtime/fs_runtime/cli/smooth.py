"""``fs-runtime smooth``: smoothed features, not certified."""

import io
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import click
import msgspec
import numpy as np

from fs_runtime.certificates.feature import HexSeed
from fs_runtime.certification import CertificationError
from fs_runtime.cli import options
from fs_runtime.cli.error_line import error_line
from fs_runtime.cli.images import image_list
from fs_runtime.cli.run import exit_code, tell, writing
from fs_runtime.cli.terminal import cell, data, draw_progress, encodable, short_names, table
from fs_runtime.encoder import SmoothedFeature, load
from fs_runtime.errors import BackendError, FsError, InputError
from fs_runtime.files import write_together


@click.command()
@options.bundle
@options.images
@click.option("--draws", type=click.IntRange(min=1), default=64, show_default=True, help="Noisy copies to average.")
@options.seed
@options.opening
@options.as_json
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the unit features to a NumPy file, float32 [images, D], in the order of IMAGES.",
    metavar="FILE.npy",
)
def smooth(
    bundle: Path,
    images: tuple[str, ...],
    draws: int,
    seed: int | None,
    as_json: bool,
    output: Path | None,
    **opening: Any,
) -> int:
    """Average the features of noisy copies of each image. Fast, and not certified: see `certify`.

    IMAGES are files, folders, patterns such as 'photos/**/*.jpg', or - for names on stdin.
    """
    features: list[tuple[Path, SmoothedFeature]] = []
    failure = 0
    if output is not None and output.suffix != ".npy":
        raise InputError(f"-o {output} must end in .npy: it is written as a NumPy file")
    listed = image_list(images)
    with load(bundle, **opening) as encoder, draw_progress(listed.count) as progress:
        for number, image in enumerate(listed.paths):
            watch = partial(progress.update, number, str(image))
            try:
                feature = encoder.smooth(image, draws=draws, seed=seed, progress=watch)
            except BackendError as error:
                # The device is lost for all images that are left; what is done is shown all the same.
                tell(error)
                failure = exit_code(error)
                break
            except (FsError, CertificationError) as error:
                tell(error)
                failure = failure or exit_code(error)
                if as_json:
                    click.echo(error_line(image, error))
                continue
            features.append((image, feature))
            if as_json:
                click.echo(_line(image, feature))
    if output is not None and failure:
        tell(FsError(f"{output} was not written, as some image failed: leave those images out"))
    elif output is not None:
        buffer = io.BytesIO()
        np.save(buffer, np.stack([feature.vector.astype(np.float32) for _, feature in features]))
        with writing(output):
            write_together({output: buffer.getvalue()})
    if features and not as_json:
        made = table("image", "resultant length", "mean raw norm", "draws")
        names = short_names(str(image) for image, _ in features)
        for image, feature in features:
            length, norm = f"{feature.resultant_length:.4f}", f"{feature.mean_raw_norm:.4g}"
            made.add_row(cell(names[str(image)]), length, norm, str(feature.draws))
        data().print(made)
    return failure


class SmoothedFeatureLine(msgspec.Struct, frozen=True):
    """A smoothed feature, of ``fs-runtime smooth --json``: an estimate, not certified.

    Attributes:
        schema: name and version of this format.
        image: its path.
        draws: noisy copies that were averaged.
        seed: 128-bit seed of the noise, in hexadecimal.
        resultant_length: norm of the mean of the draws' unit features; near 1 the draws agree.
        mean_raw_norm: mean norm of the raw features.
        vector: [D] the unit feature.
    """

    schema: Literal["fs-runtime/smoothed-feature/1"]
    image: str
    draws: int
    seed: HexSeed
    resultant_length: float
    mean_raw_norm: float
    vector: Annotated[list[float], msgspec.Meta(min_length=1)]


def _line(image: Path, feature: SmoothedFeature) -> str:
    line = SmoothedFeatureLine(
        schema="fs-runtime/smoothed-feature/1",
        image=encodable(str(image)),
        draws=feature.draws,
        seed=f"{feature.seed:032x}",
        resultant_length=feature.resultant_length,
        mean_raw_norm=feature.mean_raw_norm,
        vector=feature.vector.tolist(),
    )
    return msgspec.json.encode(line).decode()
