"""Runs tasks over images: prepared, drawn for, and turned into certificates."""

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from fs_runtime.backends import Backend, Block
from fs_runtime.bundle import Manifest
from fs_runtime.certificates.feature import ImageFacts, Provenance
from fs_runtime.certificates.settings import ReferenceKind
from fs_runtime.certification import CertificationError, reference_of
from fs_runtime.certifying.bare import BareEncoder
from fs_runtime.certifying.task import Task
from fs_runtime.cuda_calls import DeviceLostError
from fs_runtime.drawing import CertifyJob, DrawLoop, FailedJob
from fs_runtime.drawing.job import Progress
from fs_runtime.errors import BackendError, FsError, InputError
from fs_runtime.noise import GENERATOR, Seed
from fs_runtime.preprocess import ImageLike, PreparedImage, prepare
from fs_runtime.version import __version__

Certificate = TypeVar("Certificate")
ManyProgress = Callable[[int, int, int], None]
"""Called with (number of the image, draws done for it, draws in all for it) after every block."""


@dataclass(frozen=True)
class ImageResult(Generic[Certificate]):
    """What became of one image of many: a certificate, or the error of this image alone.

    Attributes:
        image: as it was handed in.
        certificate: None where the image failed.
        error: None where it did not.
        drawn_sha256: hash of a failed image's decoded pixels where the error came of its draws: its alpha is spent, and
            drawing for it again would spend it again. None where it failed before any draw.
    """

    image: ImageLike
    certificate: Certificate | None
    error: Exception | None
    drawn_sha256: str | None = None


@dataclass(frozen=True)
class _Refused:
    """An image that failed, and the hash of its pixels if draws were made of them."""

    error: Exception
    drawn_sha256: str | None


class Certifier:
    """Makes the draws of tasks with one graph."""

    def __init__(
        self,
        backend: Backend,
        loop: DrawLoop,
        manifest: Manifest,
        *,
        bare: BareEncoder,
        graph_sha256: str,
        max_pixels: int,
    ) -> None:
        self._backend = backend
        self._bare = bare
        self._loop = loop
        self._manifest = manifest
        self._graph_sha256 = graph_sha256
        self._max_pixels = max_pixels

    def check_reference(self, kind: ReferenceKind) -> None:
        """Open what a kind of reference takes beside the smoothed graph, before an image is read or a draw is made.

        Raises:
            BundleError, BackendError: it cannot be had; another kind of reference may, unless the GPU is lost.
        """
        if kind != "clean":
            return
        try:
            if self._manifest.gsb is not None:
                self._bare.open()
            else:
                self._backend.take_own_noise()
        except DeviceLostError:
            raise
        except BackendError as error:
            raise type(error)(f'{error}; or use reference "smoothed"', argument="reference") from error

    def prepare(self, image: ImageLike) -> PreparedImage:
        """The image as the graph takes it.

        Raises:
            ImageError: it cannot be read.
            InputError: it becomes another size than the graph takes.
        """
        manifest = self._manifest
        prepared = prepare(image, manifest.preprocess, max_pixels=self._max_pixels)
        expected = (1, 3, manifest.height, manifest.width)
        if prepared.pixel_values.shape != expected:
            raise InputError(
                f"{prepared.name} becomes {prepared.pixel_values.shape} by the bundle's resize rule, "
                f"but the graph takes {expected}: hand in an image of {expected[3]} x {expected[2]} pixels"
            )
        return prepared

    def one(
        self, image: PreparedImage, task: Task[Any, Certificate], seed: Seed, progress: Progress | None
    ) -> Certificate:
        """The certificate of one image, whose error is raised."""
        [done] = self._certified([self._job(image, task, seed, progress)], task)
        if isinstance(done, _Refused):
            raise done.error
        return done

    def many(
        self,
        images: Iterable[ImageLike],
        task: Task[Any, Certificate],
        seed: Seed | None,
        progress: ManyProgress | None,
    ) -> Generator[ImageResult[Certificate]]:
        """One result an image, in their order; images are taken as there is room. ``seed`` None: fresh for each."""
        taken: list[ImageLike] = []

        def jobs() -> Iterator[CertifyJob | FailedJob]:
            for number, image in enumerate(images):
                taken.append(image)
                watch = None if progress is None else partial(progress, number)
                try:
                    yield self._job(self.prepare(image), task, seed or Seed.make(None), watch)
                except BackendError:
                    raise
                except (FsError, CertificationError) as error:
                    yield FailedJob(error)

        results = self._certified(jobs(), task)
        with closing(results):
            for result in results:
                image = taken.pop(0)
                if isinstance(result, _Refused):
                    yield ImageResult(image, None, result.error, result.drawn_sha256)
                else:
                    yield ImageResult(image, result, None)

    def _job(
        self, prepared: PreparedImage, task: Task[Any, Certificate], seed: Seed, progress: Progress | None
    ) -> CertifyJob:
        return CertifyJob(
            prepared,
            seed,
            pilot=task.settings.pilot,
            draws=task.settings.draws,
            dimension=self._manifest.dimension,
            gives_features=self._manifest.has_features,
            reference=self.clean_feature(prepared) if task.settings.reference == "clean" else None,
            estimator=partial(task.estimator, image=image_facts(prepared)),
            sequential=task.sequential,
            progress=progress,
        )

    def _certified(
        self, jobs: Iterable[CertifyJob | FailedJob], task: Task[Any, Certificate]
    ) -> Generator["Certificate | _Refused"]:
        """Run jobs; each becomes a certificate, or the user's error that ended it."""
        with closing(self._loop.run(jobs)) as finished:
            for job in finished:
                if isinstance(job, FailedJob):
                    yield _Refused(job.error, None)
                elif job.error is not None:
                    yield _Refused(job.error, job.prepared.sha256)
                else:
                    assert job.estimator is not None  # its draws are made
                    facts, provenance = image_facts(job.prepared), self._provenance(job.seed)
                    made: Certificate | _Refused
                    try:
                        made = task.certificate(job.estimator, job.reference, facts, provenance)
                    except BackendError:
                        raise
                    except (FsError, CertificationError) as error:
                        made = _Refused(error, job.prepared.sha256)
                    yield made

    def _provenance(self, seed: Seed) -> Provenance:
        return Provenance(
            graph_sha256=self._graph_sha256,
            backend=self._backend.info,
            generator=GENERATOR,
            seed=seed,
            runtime=__version__,
        )

    def clean_feature(self, prepared: PreparedImage) -> npt.NDArray[np.float64]:
        """The bare encoder's unit feature f_0(x) [D]: the graph without a GSB, at zero noise.

        Raises:
            BundleError, BackendError: the bare encoder of a bundle with a booster cannot be had, or the device failed.
        """
        manifest = self._manifest
        if manifest.gsb is not None:
            return self._bare.feature(prepared.pixel_values)
        silence = np.zeros((manifest.noise_batch, 3, manifest.height, manifest.width), np.float32)
        pixels = np.repeat(prepared.pixel_values, manifest.images, axis=0)
        nothing = np.zeros((manifest.images, manifest.dimension), np.float32)
        result = self._backend.run(Block(pixels, silence, nothing, np.zeros(manifest.noise_batch, np.int64)))
        return reference_of(result.feature_sum[0])


def image_facts(prepared: PreparedImage) -> ImageFacts:
    """What a certificate says of the image."""
    return ImageFacts(
        # A file name may hold bytes that are no UTF-8, which JSON cannot.
        name=prepared.name.encode("utf-8", "backslashreplace").decode(),
        sha256=prepared.sha256,
        height=prepared.height,
        width=prepared.width,
        values=prepared.pixel_values.size,
        operator_norm=prepared.operator_norm,
        resampling_error=prepared.resampling_error,
        grid_distance=prepared.grid_distance,
    )
