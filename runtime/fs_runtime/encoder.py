"""The smoothed encoder: image in, smoothed feature or certificate out."""

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Literal

import numpy as np
import numpy.typing as npt

from fs_runtime.backends import Backend, Block, find_backend
from fs_runtime.bundle import Bundle, Manifest, read_bundle
from fs_runtime.certificates.feature import FeatureCertificate, ImageFacts, Provenance
from fs_runtime.certificates.replay import Replay, replayable
from fs_runtime.certificates.settings import CertifySettings, ReferenceKind, whole_batches
from fs_runtime.certification import (
    AnyTimeEstimator,
    Bound,
    CertificationError,
    FixedDrawsEstimator,
    Target,
    reference_of,
)
from fs_runtime.drawing import CertifyJob, DrawLoop, FailedJob, Pilot, SmoothJob
from fs_runtime.drawing.job import Progress
from fs_runtime.environment import MOST_THREADS, default_max_pixels, default_threads
from fs_runtime.errors import BackendError, FsError, InputError
from fs_runtime.noise import GENERATOR, NoiseBlocks, Seed
from fs_runtime.preprocess import ImageLike, PreparedImage, decode, prepare
from fs_runtime.version import __version__

Floats = npt.NDArray[np.float64]
ManyProgress = Callable[[int, int, int], None]
"""Called with (number of the image, draws done for it, draws in all for it) after every block."""


@dataclass(frozen=True)
class SmoothedFeature:
    """An estimate of the smoothed feature; not certified.

    Attributes:
        vector: [D] unit feature, float64.
        resultant_length: norm of the mean of the draws' unit features, in [0, 1]; near 1 the draws agree.
        mean_raw_norm: mean norm of the raw features, the scale that a decoder of the raw feature expects.
        draws: draws averaged (the requested number, rounded up to whole noise batches where the graph takes one image).
        seed: 128-bit seed of the noise.
    """

    vector: Floats = field(repr=False)
    resultant_length: float
    mean_raw_norm: float
    draws: int
    seed: int


@dataclass(frozen=True)
class ImageResult:
    """What became of one image of many: a certificate, or the error of this image alone.

    Attributes:
        image: as it was handed in.
        certificate: None where the image failed.
        error: None where it did not.
    """

    image: ImageLike
    certificate: FeatureCertificate | None
    error: Exception | None


def load(
    bundle: str | Path,
    *,
    backend: str = "auto",
    device: str = "cpu",
    threads: int | None = None,
    expect_sha256: str | None = None,
    max_pixels: int | None = None,
) -> "SmoothedEncoder":
    """Open a bundle for serving and certifying.

    Args:
        bundle: folder that ``fs-export`` wrote.
        backend: ``"onnxruntime"``, or ``"auto"``.
        device: where the graph runs; never replaced silently by another.
        threads: threads for the graph and for the noise; default: the cores this process may use.
        expect_sha256: SHA-256 of the bundle's manifest.json, to detect tampering.
        max_pixels: largest image (width x height) that is decoded; default 64 million.

    Raises:
        BundleError: the bundle is missing, damaged, unsafe or not the expected one.
        BackendError: the backend or device cannot run here.
    """
    for name, value, most in (("threads", threads, MOST_THREADS), ("max_pixels", max_pixels, 1 << 40)):
        if value is not None and not 1 <= value <= most:
            raise InputError(f"{name} must be a positive whole number up to {most}, not {value}")
    return SmoothedEncoder(
        read_bundle(bundle, expect_sha256=expect_sha256),
        backend=backend,
        device=device,
        threads=threads or default_threads(),
        max_pixels=max_pixels or default_max_pixels(),
    )


class SmoothedEncoder:
    """A bundle opened on a backend; a context manager. Made by :func:`load`. One thread at a time may use it."""

    def __init__(self, bundle: Bundle, *, backend: str, device: str, threads: int, max_pixels: int) -> None:
        self._bundle = bundle
        self._max_pixels = max_pixels
        self._graph = bundle.graph("smoothed")
        self._backend: Backend = find_backend(backend)(bundle, self._graph, device=device, threads=threads)
        manifest = bundle.manifest
        self._noise = NoiseBlocks(
            sigma=manifest.sigma,
            shape=(manifest.noise_batch, 3, manifest.height, manifest.width),
            threads=threads,
        )
        self._loop = DrawLoop(self._backend, self._noise, manifest)

    @property
    def manifest(self) -> Manifest:
        """What the bundle says of itself."""
        return self._bundle.manifest

    @property
    def graph_sha256(self) -> str:
        """Hash of the smoothed graph, which certificates are bound to."""
        return self._graph.sha256

    def image_sha256(self, image: ImageLike) -> str:
        """Hash of an image's decoded pixels, by which certificates know it.

        Raises:
            ImageError: the image cannot be read.
        """
        return decode(image, max_pixels=self._max_pixels).sha256

    def __enter__(self) -> "SmoothedEncoder":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Free the session and stop the noise threads."""
        self._noise.close()
        self._backend.close()

    def smooth(
        self, image: ImageLike, *, draws: int = 64, seed: int | None = None, progress: Progress | None = None
    ) -> SmoothedFeature:
        """Average the unit features of noisy copies of an image. The result is not certified.

        Args:
            image: path, PIL image, or HxWx3 array (uint8, or float in [0, 1]).
            draws: noisy copies, rounded up to whole noise batches where the graph takes one image.
            seed: 128-bit seed, for tests and replay; fresh from the operating system if None.
            progress: called after every block.

        Raises:
            ImageError: the image cannot be read.
            InputError: ``draws`` or ``seed`` is out of range.
        """
        if draws < 1:
            raise InputError(f"draws must be at least 1, not {draws}")
        taken = whole_batches(draws, self.manifest)
        job = SmoothJob(
            self._prepare(image),
            Seed.make(seed),
            draws=taken,
            dimension=self.manifest.dimension,
            progress=progress,
        )
        for done in self._loop.run([job]):
            if done.error is not None:
                raise done.error
        return SmoothedFeature(
            vector=reference_of(job.mean),
            resultant_length=float(np.linalg.norm(job.mean)),
            mean_raw_norm=job.mean_raw_norm,
            draws=taken,
            seed=job.seed.value,
        )

    def certify(
        self,
        image: ImageLike,
        *,
        draws: int = 1024,
        alpha: float = 1e-3,
        pilot: int | None = None,
        bound: Bound | Literal["auto"] = "auto",
        reference: ReferenceKind = "smoothed",
        until: Target | None = None,
        seed: int | None = None,
        progress: Progress | None = None,
    ) -> FeatureCertificate:
        """Certify how far any l2-bounded attack can turn the smoothed feature of an image.

        Guarantee: see :class:`FeatureCertificate`. Each call spends its own ``alpha``: N certificates fail somewhere
        with probability up to N alpha, and certifying an image again after a poor result spends alpha again.

        Args:
            image: path, PIL image, or HxWx3 array (uint8, or float in [0, 1]).
            draws: certifying draws, fixed beforehand; with ``until`` the most of them. The pilot's come on top.
            alpha: probability that the certificate fails.
            pilot: pilot draws, rounded up to whole noise batches where the graph takes one image; default 128 for
                ``gram``, else 64.
            bound: ``"gram"``, ``"angle-law"``, ``"cone"``, ``"fcsb"``; ``"auto"`` is ``gram`` where the graph gives
                features, else ``angle-law``.
            reference: what is certified: ``"smoothed"``, the pilot's mean feature, or ``"clean"``, the bare encoder's.
            until: stop as soon as this target is proved, or hopeless (docs/theory.md section 2.3). The bounds hold at
                every number of draws then, for which they are a little wider.
            seed: 128-bit seed for tests and replay, marked so; fresh from the operating system if None.
            progress: called after every block.

        Raises:
            ImageError: the image cannot be read.
            CertificationError: draws too few for alpha or the target, or the encoder gave numbers that are not unit
                features.
            InputError: another argument is out of range.
        """
        settings = self._settings(draws, alpha, pilot, bound, reference, until)
        return self._one(self._certify_job(image, settings, Seed.make(seed), progress), settings)

    def certify_many(
        self,
        images: Iterable[ImageLike],
        *,
        draws: int = 1024,
        alpha: float = 1e-3,
        pilot: int | None = None,
        bound: Bound | Literal["auto"] = "auto",
        reference: ReferenceKind = "smoothed",
        until: Target | None = None,
        seed: int | None = None,
        progress: ManyProgress | None = None,
    ) -> Generator[ImageResult]:
        """Certify images one after another, in their order; one that fails does not stop the rest.

        ``images`` is taken as there is room, so memory does not grow with their number. A graph exported with
        ``--images K`` is kept full with the draws of up to K images; otherwise they take turns.

        Each certificate holds with probability 1 - ``alpha`` of its own: over N images some one fails with probability
        up to N alpha. For a statement about all of them hand in alpha / N.

        Arguments are those of :meth:`certify`; a ``seed`` is used for every image.

        Yields:
            One result an image.

        Raises:
            CertificationError, InputError: an argument is out of range; before any image is read.
            BackendError: the backend failed; what was yielded before stays good.
        """
        settings = self._settings(draws, alpha, pilot, bound, reference, until)
        given = Seed.make(seed)
        return self._certify_many(images, settings, None if seed is None else given, progress)

    def _certify_many(
        self, images: Iterable[ImageLike], settings: CertifySettings, seed: Seed | None, progress: ManyProgress | None
    ) -> Generator[ImageResult]:
        taken: list[ImageLike] = []

        def jobs() -> Iterator[CertifyJob | FailedJob]:
            for number, image in enumerate(images):
                taken.append(image)
                watch = None if progress is None else partial(progress, number)
                try:
                    yield self._certify_job(image, settings, seed or Seed.make(None), watch)
                except BackendError:
                    raise
                except (FsError, CertificationError) as error:
                    yield FailedJob(error)

        with closing(self._certified(jobs(), settings)) as results:
            for result in results:
                image = taken.pop(0)
                if isinstance(result, Exception):
                    yield ImageResult(image, None, result)
                else:
                    yield ImageResult(image, result, None)

    def replay(self, certificate: FeatureCertificate, image: ImageLike, *, progress: Progress | None = None) -> Replay:
        """Make a certificate's draws again, and compare.

        The seed in the certificate makes the same noise on any backend; see :class:`Replay` for what counts as equal.

        Args:
            certificate: what was certified.
            image: the image it is about.
            progress: called after every block.

        Raises:
            ImageError: the image cannot be read.
            InputError: the certificate is about another image, graph, sigma or generator, so that its draws cannot be
                made again with this bundle; the message says which.
        """
        prepared = self._prepare(image)
        replayable(certificate, _facts(prepared), self.manifest, self._graph.sha256)
        settings = CertifySettings(
            draws=certificate.draws,
            alpha=certificate.alpha,
            pilot=certificate.pilot,
            bound=certificate.bound,
            reference=certificate.reference_kind,
            until=certificate.until,
        )
        job = self._certify_job(
            prepared, settings, certificate.provenance.seed, progress, most_draws=certificate.most_draws
        )
        return Replay.compared(certificate, self._one(job, settings))

    def _settings(
        self, draws: int, alpha: float, pilot: int | None, bound: str, reference: str, until: Target | None
    ) -> CertifySettings:
        return CertifySettings.checked(
            self.manifest, draws=draws, alpha=alpha, pilot=pilot, bound=bound, reference=reference, until=until
        )

    def _certify_job(
        self,
        image: ImageLike | PreparedImage,
        settings: CertifySettings,
        seed: Seed,
        progress: Progress | None,
        most_draws: int | None = None,
    ) -> CertifyJob:
        """A job; with ``most_draws`` it is a replay, which makes all of the settings' draws."""
        prepared = image if isinstance(image, PreparedImage) else self._prepare(image)
        estimator = partial(
            _estimator,
            settings=settings,
            sigma=self.manifest.sigma,
            grid_cost=_facts(prepared).grid_cost,
            most_draws=most_draws or settings.draws,
        )
        return CertifyJob(
            prepared,
            seed,
            pilot=settings.pilot,
            draws=settings.draws,
            dimension=self.manifest.dimension,
            gives_features=self.manifest.has_features,
            reference=self._clean(prepared) if settings.reference == "clean" else None,
            estimator=estimator,
            sequential=settings.until is not None and most_draws is None,
            progress=progress,
        )

    def _one(self, job: CertifyJob, settings: CertifySettings) -> FeatureCertificate:
        """The certificate of one job, whose error is raised."""
        [done] = self._certified([job], settings)
        if isinstance(done, Exception):
            raise done
        return done

    def _certified(
        self, jobs: Iterable[CertifyJob | FailedJob], settings: CertifySettings
    ) -> Generator[FeatureCertificate | Exception]:
        """Run jobs; each becomes a certificate, or the user's error that ended it."""
        with closing(self._loop.run(jobs)) as finished:
            for job in finished:
                if isinstance(job, FailedJob) or job.error is not None:
                    assert job.error is not None
                    yield job.error
                else:
                    yield self._certificate(job, settings)

    def _certificate(self, job: CertifyJob, settings: CertifySettings) -> FeatureCertificate:
        estimator = job.estimator
        assert isinstance(estimator, FixedDrawsEstimator | AnyTimeEstimator)
        return FeatureCertificate(
            curve=estimator.finish(),
            reference=job.reference,
            reference_kind=settings.reference,
            image=_facts(job.prepared),
            provenance=Provenance(
                graph_sha256=self._graph.sha256,
                backend=self._backend.info,
                generator=GENERATOR,
                seed=job.seed,
                runtime=__version__,
            ),
            until=settings.until,
            most_draws=estimator.most_draws,
        )

    def _prepare(self, image: ImageLike) -> PreparedImage:
        prepared = prepare(image, self.manifest.preprocess, max_pixels=self._max_pixels)
        expected = (1, 3, self.manifest.height, self.manifest.width)
        if prepared.pixel_values.shape != expected:
            raise InputError(
                f"{prepared.name} becomes {prepared.pixel_values.shape} by the bundle's resize rule, "
                f"but the graph takes {expected}: hand in an image of {expected[3]} x {expected[2]} pixels"
            )
        return prepared

    def _clean(self, prepared: PreparedImage) -> Floats:
        """The bare encoder's unit feature f_0(x): the graph without a GSB, at zero noise."""
        manifest = self.manifest
        if manifest.gsb is not None:
            raise FsError(
                "the clean reference of a bundle with a GSB needs its clean graph, which this version cannot run"
            )
        silence = np.zeros((manifest.noise_batch, 3, manifest.height, manifest.width), np.float32)
        pixels = np.repeat(prepared.pixel_values, manifest.images, axis=0)
        nothing = np.zeros((manifest.images, manifest.dimension), np.float32)
        result = self._backend.run(Block(pixels, silence, nothing, np.zeros(manifest.noise_batch, np.int64)))
        return reference_of(result.feature_sum[0])


def _estimator(
    pilot: Pilot, *, settings: CertifySettings, sigma: float, grid_cost: float, most_draws: int
) -> FixedDrawsEstimator | AnyTimeEstimator:
    if settings.until is None:
        return FixedDrawsEstimator(
            pilot.cosines,
            pilot.reference,
            sigma=sigma,
            alpha=settings.alpha,
            bound=settings.bound,
            draws=settings.draws,
        )
    # The curve is over images on the grid: there the target lies a little further out.
    radius = settings.until.radius
    target = Target(radius + grid_cost if radius > 0.0 else radius, settings.until.cosine)
    return AnyTimeEstimator(
        pilot.cosines,
        pilot.reference,
        pilot_features=pilot.features,
        sigma=sigma,
        alpha=settings.alpha,
        bound=settings.bound,
        target=target,
        draws=most_draws,
    )


def _facts(prepared: PreparedImage) -> ImageFacts:
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
