"""The smoothed encoder: image in, smoothed feature or certificate out."""

from collections.abc import Generator, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from fs_runtime.backends import Backend, open_backend
from fs_runtime.bundle import Bundle, Manifest, read_bundle
from fs_runtime.bundle.prototypes import Prototypes, only_prototypes, prototype_names, read_prototypes
from fs_runtime.certificates.feature import FeatureCertificate
from fs_runtime.certificates.prediction import PredictionCertificate
from fs_runtime.certificates.prediction_settings import Kinds, PredictionSettings
from fs_runtime.certificates.reading import AnyCertificate
from fs_runtime.certificates.replay import Replay, replayable
from fs_runtime.certificates.settings import CertifySettings, ReferenceKind, whole_batches
from fs_runtime.certification import Bound, Target, reference_of
from fs_runtime.certification.prediction import LabelTarget
from fs_runtime.certifying import (
    BareEncoder,
    Certifier,
    FeatureTask,
    ImageResult,
    ManyProgress,
    PredictionTask,
    image_facts,
)
from fs_runtime.drawing import DrawLoop, SmoothJob, Spent
from fs_runtime.drawing.job import Progress
from fs_runtime.environment import MOST_THREADS, default_max_pixels, default_threads
from fs_runtime.errors import InputError
from fs_runtime.noise import Seed
from fs_runtime.preprocess import ImageLike, decode

PrototypesLike = str | Path | Prototypes


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

    vector: npt.NDArray[np.float64] = field(repr=False)
    resultant_length: float
    mean_raw_norm: float
    draws: int
    seed: int


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
        backend: ``"onnxruntime"``; ``"tensorrt"``, for a plan of the bundle; ``"onnxruntime-tensorrt"``; or
            ``"auto"``: ``"tensorrt"`` where the bundle has a plan for the very GPU asked for, else ``"onnxruntime"``.
        device: where the graph runs, ``"cpu"``, ``"cuda"`` or ``"cuda:1"``; never replaced silently by another.
        threads: threads for the graph and for the noise; default: the cores this process may use.
        expect_sha256: SHA-256 of the bundle's manifest.json, to detect tampering.
        max_pixels: largest image (width x height) that is decoded; default 64 million.

    Raises:
        BundleError: the bundle is missing, damaged, unsafe or not the expected one.
        BackendError: the backend or device cannot run here.
    """
    for name, value, most in (("threads", threads, MOST_THREADS), ("max_pixels", max_pixels, 1 << 40)):
        if value is not None and not 1 <= value <= most:
            raise InputError(f"{name} must be a positive whole number up to {most}, not {value}", argument=name)
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
        self._backend: Backend = open_backend(backend, bundle, self._graph, device=device, threads=threads)
        manifest = bundle.manifest
        try:
            self._noise = self._backend.noise(manifest, threads=threads)
        except BaseException:
            self._backend.close()
            raise
        self._loop = DrawLoop(self._backend, self._noise, manifest)
        self._bare = BareEncoder(bundle, device=device, threads=threads)
        self._certifier = Certifier(
            self._backend,
            self._loop,
            manifest,
            bare=self._bare,
            graph_sha256=self.graph_sha256,
            max_pixels=max_pixels,
        )
        self._prototypes: dict[str, Prototypes] = {}

    @property
    def manifest(self) -> Manifest:
        """What the bundle says of itself."""
        return self._bundle.manifest

    @property
    def graph_sha256(self) -> str:
        """Hash of what certificates are bound to: the smoothed graph, or the plan that runs in its place."""
        plan = self._backend.plan
        return self._graph.sha256 if plan is None else plan.sha256

    @property
    def backend(self) -> Backend:
        """What runs the graph."""
        return self._backend

    @property
    def certifier(self) -> Certifier:
        """What makes the draws of tasks, for tasks of the caller's own."""
        return self._certifier

    def watch(self) -> Spent:
        """What counts from now on where the time of draws goes, for ``fs-runtime bench``."""
        return self._loop.watch()

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
        """Free the session, and stop making noise."""
        self._noise.close()
        self._bare.close()
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
            self._certifier.prepare(image),
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
            pilot: pilot draws, rounded up to whole noise batches where the graph takes one image; default for
                ``gram`` an eighth of the fixed draws, between 128 and 1,024, and 128 with ``until``; else 64.
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
        task = self._feature_task(draws=draws, alpha=alpha, pilot=pilot, bound=bound, reference=reference, until=until)
        given = Seed.make(seed)
        return self._certifier.one(self._certifier.prepare(image), task, given, progress)

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
    ) -> Generator[ImageResult[FeatureCertificate]]:
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
        task = self._feature_task(draws=draws, alpha=alpha, pilot=pilot, bound=bound, reference=reference, until=until)
        given = Seed.make(seed)
        return self._certifier.many(images, task, None if seed is None else given, progress)

    def prototypes(self, source: PrototypesLike | None = None) -> Prototypes:
        """Prototypes for this bundle's features: read once where they are the bundle's own.

        Args:
            source: a name in the bundle, the path of a ``.safetensors`` file with its ``.labels.txt`` beside it, or
                prototypes, which are returned as they are; None: the bundle's own, where it has one set.

        Raises:
            BundleError: the bundle has none of that name; for None: none or several.
            InputError: files that are missing, damaged, or of another dimension than the bundle's features.
        """
        if source is None:
            source = only_prototypes(self._bundle)
        if isinstance(source, Prototypes):
            return source
        if str(source) in self._prototypes:
            return self._prototypes[str(source)]
        read = read_prototypes(source, self._bundle)
        if source in prototype_names(self.manifest):
            self._prototypes[str(source)] = read
        return read

    def classify(
        self,
        image: ImageLike,
        prototypes: PrototypesLike | None = None,
        *,
        draws: int = 1024,
        alpha: float = 1e-3,
        pilot: int | None = None,
        kinds: Kinds = "auto",
        top_k: int = 1,
        reference: ReferenceKind = "smoothed",
        bound: Bound | Literal["auto"] = "auto",
        until: LabelTarget | None = None,
        seed: int | None = None,
        progress: Progress | None = None,
    ) -> PredictionCertificate:
        """Certify within which l2 radius no attack changes the label of an image, or the set of its k best labels.

        A label is the prototype with the largest cosine. Guarantee: see :class:`PredictionCertificate`. Each call
        spends its own ``alpha``, as :meth:`certify` does.

        Args:
            image: path, PIL image, or HxWx3 array (uint8, or float in [0, 1]).
            prototypes: what the labels stand for: see :meth:`prototypes`.
            draws: certifying draws, fixed beforehand; with ``until`` the most of them. The pilot's come on top.
            alpha: probability that any claim fails; several kinds share it evenly, and the best radius is reported.
            pilot: pilot draws, rounded up to whole noise batches where the graph takes one image; default 128 where
                features are used, else 64.
            kinds: some of ``"margin"`` (the label of the smoothed feature), ``"vote"`` (the label of most noisy
                copies, another function) and ``"cone"`` (the first again, from the certified angle); ``"auto"`` is
                margin and vote where the graph gives features, else cone.
            top_k: 1: the label; more: the set of the k best.
            reference: whose label is certified: ``"smoothed"``, the pilot's mean feature, or ``"clean"``, the bare
                encoder's.
            bound: whose angle the cone takes: as for :meth:`certify`, but not ``"cone"``.
            until: stop as soon as this radius is proved by some kind, or hopeless by every one
                (docs/theory.md section 5). The bounds hold at every number of draws then.
            seed: 128-bit seed for tests and replay, marked so; fresh from the operating system if None.
            progress: called after every block.

        Raises:
            ImageError: the image cannot be read.
            CertificationError: draws too few for alpha or the target, or the encoder gave numbers that are not unit
                features.
            BundleError, InputError: the prototypes do not fit the bundle, or another argument is out of range.
        """
        task = self._prediction_task(
            prototypes,
            draws=draws,
            alpha=alpha,
            pilot=pilot,
            kinds=kinds,
            top_k=top_k,
            reference=reference,
            bound=bound,
            until=until,
        )
        given = Seed.make(seed)
        return self._certifier.one(self._certifier.prepare(image), task, given, progress)

    def classify_many(
        self,
        images: Iterable[ImageLike],
        prototypes: PrototypesLike | None = None,
        *,
        draws: int = 1024,
        alpha: float = 1e-3,
        pilot: int | None = None,
        kinds: Kinds = "auto",
        top_k: int = 1,
        reference: ReferenceKind = "smoothed",
        bound: Bound | Literal["auto"] = "auto",
        until: LabelTarget | None = None,
        seed: int | None = None,
        progress: ManyProgress | None = None,
    ) -> Generator[ImageResult[PredictionCertificate]]:
        """Classify images one after another, in their order, as :meth:`certify_many` certifies them.

        Arguments are those of :meth:`classify`; a ``seed`` is used for every image.

        Yields:
            One result an image.

        Raises:
            BundleError, CertificationError, InputError: an argument is out of range; before any image is read.
            BackendError: the backend failed; what was yielded before stays good.
        """
        task = self._prediction_task(
            prototypes,
            draws=draws,
            alpha=alpha,
            pilot=pilot,
            kinds=kinds,
            top_k=top_k,
            reference=reference,
            bound=bound,
            until=until,
        )
        given = Seed.make(seed)
        return self._certifier.many(images, task, None if seed is None else given, progress)

    def replay(
        self,
        certificate: AnyCertificate,
        image: ImageLike,
        *,
        prototypes: PrototypesLike | None = None,
        progress: Progress | None = None,
    ) -> Replay:
        """Make a certificate's draws again, and compare.

        The seed in the certificate makes the same noise on any backend; see :class:`Replay` for what counts as equal.

        Args:
            certificate: what was certified, or classified.
            image: the image it is about.
            prototypes: of a prediction, by default the bundle's of the certificate's name (see :meth:`prototypes`).
            progress: called after every block.

        Raises:
            ImageError: the image cannot be read.
            BundleError: the bundle has no prototypes of the certificate's name.
            InputError: the certificate is about another image, graph, sigma, generator or other prototypes, so that its
                draws cannot be made again with these; the message says which.
        """
        prepared = self._certifier.prepare(image)
        replayable(certificate, image_facts(prepared), self.manifest, self.graph_sha256)
        again: AnyCertificate
        if isinstance(certificate, FeatureCertificate):
            if prototypes is not None:
                raise InputError(
                    "the certificate is of a feature, not a prediction: it needs no prototypes", argument="prototypes"
                )
            seed = certificate.provenance.seed
            again = self._certifier.one(prepared, FeatureTask.again(certificate), seed, progress)
        else:
            found = self.prototypes(certificate.prototypes.name if prototypes is None else prototypes)
            certificate.check_prototypes(found)
            seed = certificate.provenance.seed
            again = self._certifier.one(prepared, PredictionTask.again(certificate, found), seed, progress)
        return Replay.compared(certificate, again)

    def _prediction_task(self, prototypes: PrototypesLike | None, **asked: Any) -> PredictionTask:
        settings = PredictionSettings.checked(self.manifest, self.prototypes(prototypes), **asked)
        self._certifier.check_reference(settings.reference)
        return PredictionTask(settings, self.manifest.sigma)

    def _feature_task(self, **asked: Any) -> FeatureTask:
        settings = CertifySettings.checked(self.manifest, **asked)
        self._certifier.check_reference(settings.reference)
        return FeatureTask(settings, self.manifest.sigma)
