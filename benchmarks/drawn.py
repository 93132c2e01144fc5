"""The features of an image's draws, made once: every bound is then evaluated on the same ones."""

import hashlib
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import click
import numpy as np
import numpy.typing as npt
import safetensors.numpy

from fs_runtime.backends import open_backend
from fs_runtime.bundle import read_bundle
from fs_runtime.drawing import CertifyJob, DrawLoop
from fs_runtime.files import write_together
from fs_runtime.grid import radius_cost
from fs_runtime.noise import GENERATOR, Seed
from fs_runtime.preprocess import PreparedImage, prepare

Floats = npt.NDArray[np.float64]
MOST_PIXELS = 10**8

keep_option = click.option(
    "--keep",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder that keeps the draws' features, so that a run that was cut off goes on; default: none is kept.",
)


@dataclass(frozen=True, eq=False)
class Drawn:
    """The draws of one image: those of ``encoder.certify`` with the same seed, and any first n of them likewise.

    Attributes:
        pilot: [n0, D] unit features.
        features: [n, D] unit features.
        grid_cost: what the grid takes from a radius (docs/theory.md section 8).
    """

    pilot: Floats
    features: Floats
    grid_cost: float


class _Kept:
    """In an estimator's place: keeps what it is given."""

    decided = None

    def __init__(self) -> None:
        self.rows: list[Floats] = []

    def update(self, cosines: Floats, features: Floats | None = None) -> None:  # noqa: ARG002  # an estimator gets both
        assert features is not None  # the bundle gives them
        self.rows.append(features)


class FeatureSource:
    """A bundle opened for drawing features; a context manager."""

    def __init__(self, folder: Path, *, threads: int, device: str = "cpu", keep: Path | None = None) -> None:
        """Open the bundle in ``folder``; ``keep`` is a folder for the features of draws, None: they are not kept.

        Raises:
            click.UsageError: its graph gives no features.
        """
        self.bundle = read_bundle(folder)
        self.manifest = manifest = self.bundle.manifest
        if not manifest.has_features:
            raise click.UsageError(f"--bundle has the tap {manifest.tap}, which gives no features: name another bundle")
        self._keep = keep
        self._opened = ExitStack()
        graph = self.bundle.graph("smoothed")
        backend = self._opened.enter_context(open_backend("auto", self.bundle, graph, device=device, threads=threads))
        noise = self._opened.enter_context(closing(backend.noise(manifest, threads=threads)))
        self._loop = DrawLoop(backend, noise, manifest)
        self._made_by = (graph.sha256, manifest.sigma, GENERATOR, backend.info)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.close()

    def prepared(self, photo: Path) -> PreparedImage:
        """A photo as the graph receives it."""
        return prepare(photo, self.manifest.preprocess, max_pixels=MOST_PIXELS)

    def draw(
        self,
        image: PreparedImage,
        *,
        pilot: int,
        draws: int,
        seed: int,
        progress: Callable[[int, int], None] | None = None,
    ) -> Drawn:
        """Draws of an image.

        Args:
            image: from :meth:`prepared`, with other pixels perhaps.
            pilot: pilot draws.
            draws: certifying draws.
            seed: of the noise.
            progress: called with (draws done, draws in all) after every block.
        """
        plan = (pilot, draws, seed)
        path = None if self._keep is None else self._keep / f"{self._key(image, plan)}.safetensors"
        if path is not None and path.is_file():
            found = safetensors.numpy.load_file(path)
            if progress is not None:
                progress(pilot + draws, pilot + draws)
        else:
            found = self._drawn(image, plan, progress)
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                write_together({path: safetensors.numpy.save(found)})
        cost = radius_cost(image.grid_distance, image.pixel_values.size)
        return Drawn(pilot=found["pilot"], features=found["features"], grid_cost=cost)

    def _key(self, image: PreparedImage, plan: tuple[int, int, int]) -> str:
        """What the features depend on."""
        content = hashlib.sha256(image.pixel_values.tobytes())
        content.update(repr((self._made_by, plan)).encode())
        return content.hexdigest()

    def _drawn(
        self, image: PreparedImage, plan: tuple[int, int, int], progress: Callable[[int, int], None] | None
    ) -> dict[str, Floats]:
        pilot, draws, seed = plan
        kept = _Kept()
        job = CertifyJob(
            image,
            Seed.make(seed),
            pilot=pilot,
            draws=draws,
            dimension=self.manifest.dimension,
            gives_features=True,
            reference=None,
            estimator=lambda _: kept,
            sequential=False,
            progress=progress,
        )
        for done in self._loop.run([job]):
            if done.error is not None:
                raise done.error
        assert job.pilot is not None  # the job is done
        assert job.pilot.features is not None  # the bundle gives them
        return {"pilot": job.pilot.features, "features": np.concatenate(kept.rows)}
