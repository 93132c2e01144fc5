"""The smoothed encoder: image in, smoothed feature or certificate out."""

from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Literal

import numpy as np
import numpy.typing as npt

from fs_runtime.backends import Backend, Block, BlockResult, find_backend
from fs_runtime.bundle import Bundle, Manifest, read_bundle
from fs_runtime.certificates.feature import FeatureCertificate, ImageFacts, Provenance, ReferenceKind
from fs_runtime.certification import Bound, FixedDrawsEstimator, check_draws, reference_of, unit_rows
from fs_runtime.environment import MOST_THREADS, default_max_pixels, default_threads
from fs_runtime.errors import FsError, InputError
from fs_runtime.noise import GENERATOR, NoiseBlocks, Seed, Stream
from fs_runtime.preprocess import ImageLike, PreparedImage, prepare
from fs_runtime.version import __version__

Floats = npt.NDArray[np.float64]
Progress = Callable[[int, int], None]
"""Called with (draws done, draws in all) after every block, the pilot's included."""

_PILOT = {"gram": 128, "angle-law": 64, "fcsb": 64}


@dataclass(frozen=True)
class SmoothedFeature:
    """An estimate of the smoothed feature; not certified.

    Attributes:
        vector: [D] unit feature, float64.
        resultant_length: norm of the mean of the draws' unit features, in [0, 1]; near 1 the draws agree.
        mean_raw_norm: mean norm of the raw features, the scale that a decoder of the raw feature expects.
        draws: draws averaged (the requested number, rounded up to whole noise batches).
        seed: 128-bit seed of the noise.
    """

    vector: Floats = field(repr=False)
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

    @property
    def manifest(self) -> Manifest:
        """What the bundle says of itself."""
        return self._bundle.manifest

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
            draws: noisy copies, rounded up to whole noise batches.
            seed: 128-bit seed, for tests and replay; fresh from the operating system if None.
            progress: called after every block.

        Raises:
            ImageError: the image cannot be read.
            InputError: ``draws`` or ``seed`` is out of range.
        """
        if draws < 1:
            raise InputError(f"draws must be at least 1, not {draws}")
        prepared = self._prepare(image)
        key = Seed.make(seed)
        total, raw_norm, taken = self._sum(prepared, key, Stream.SMOOTH, draws, _Counter(progress, draws))
        mean = total / taken
        return SmoothedFeature(
            vector=reference_of(mean),
            resultant_length=float(np.linalg.norm(mean)),
            mean_raw_norm=raw_norm / taken,
            draws=taken,
            seed=key.value,
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
        seed: int | None = None,
        progress: Progress | None = None,
    ) -> FeatureCertificate:
        """Certify how far any l2-bounded attack can turn the smoothed feature of an image.

        Guarantee: see :class:`FeatureCertificate`. Each call spends its own ``alpha``: N certificates fail somewhere
        with probability up to N alpha, and certifying an image again after a poor result spends alpha again.

        Args:
            image: path, PIL image, or HxWx3 array (uint8, or float in [0, 1]).
            draws: certifying draws, fixed beforehand; the pilot's come on top.
            alpha: probability that the certificate fails.
            pilot: pilot draws, rounded up to whole noise batches; default 128 for ``gram``, else 64.
            bound: ``"gram"``, ``"angle-law"``, ``"fcsb"``; ``"auto"`` is ``gram`` where the graph gives features.
            reference: what is certified: ``"smoothed"``, the pilot's mean feature, or ``"clean"``, the bare encoder's.
            seed: 128-bit seed for tests and replay, marked so; fresh from the operating system if None.
            progress: called after every block.

        Raises:
            ImageError: the image cannot be read.
            CertificationError: draws too few for alpha, or the encoder gave numbers that are not unit features.
            InputError: another argument is out of range.
        """
        law = self._bound(bound)
        if reference not in ("smoothed", "clean"):
            raise InputError(f'reference must be "smoothed" or "clean", not {reference!r}')
        check_draws(draws, alpha, law)
        if pilot is not None and pilot < 1:
            raise InputError(f"pilot must be at least 1, not {pilot}")
        prepared = self._prepare(image)
        key = Seed.make(seed)
        pilot = pilot or _PILOT[law]
        passes = 1 if self.manifest.has_features or reference == "clean" else 2
        counter = _Counter(progress, passes * pilot + draws)

        vector = self._clean(prepared) if reference == "clean" else None
        vector, pilot_cosines = self._pilot(prepared, key, pilot, vector, counter)
        estimator = FixedDrawsEstimator(
            pilot_cosines, vector, sigma=self.manifest.sigma, alpha=alpha, bound=law, draws=draws
        )
        left = draws
        # Closed at once when something fails, so that no thread goes on writing into the noise buffers.
        with closing(self._run(prepared, key, Stream.CERTIFY, draws, vector, counter)) as results:
            for result in results:
                cosines, features = _measured(result, vector)
                estimator.update(cosines[:left], None if features is None else features[:left])
                left -= min(left, len(cosines))
        return FeatureCertificate(
            curve=estimator.finish(),
            reference=vector,
            reference_kind=reference,
            image=_facts(prepared),
            provenance=Provenance(
                graph_sha256=self._graph.sha256,
                backend=self._backend.info,
                generator=GENERATOR,
                seed=key,
                runtime=__version__,
            ),
        )

    def _bound(self, bound: str) -> Bound:
        if bound == "auto":
            return "gram" if self.manifest.has_features else "angle-law"
        if bound not in ("gram", "angle-law", "fcsb"):
            raise InputError(f'bound must be "auto", "gram", "angle-law" or "fcsb", not {bound!r}')
        if bound == "gram" and not self.manifest.has_features:
            raise InputError(
                f'bound "gram" needs features, which the tap {self.manifest.tap!r} does not give: use "angle-law"'
            )
        return bound  # type: ignore[return-value]  # narrowed by the test above

    def _prepare(self, image: ImageLike) -> PreparedImage:
        prepared = prepare(image, self.manifest.preprocess, max_pixels=self._max_pixels)
        expected = (1, 3, self.manifest.height, self.manifest.width)
        if prepared.pixel_values.shape != expected:
            raise InputError(
                f"{prepared.name} becomes {prepared.pixel_values.shape} by the bundle's resize rule, "
                f"but the graph takes {expected}: hand in an image of {expected[3]} x {expected[2]} pixels"
            )
        return prepared

    def _pilot(
        self, prepared: PreparedImage, key: Seed, draws: int, vector: Floats | None, counter: "_Counter"
    ) -> tuple[Floats, Floats]:
        """The reference and the pilot's cosines to it, over whole noise batches."""
        if not self.manifest.has_features:
            # The cosines need the reference first, so the same noise runs twice.
            if vector is None:
                total, _, _ = self._sum(prepared, key, Stream.PILOT, draws, counter)
                vector = reference_of(total)
            # The graph takes the reference in float32, and what it takes is what is certified.
            vector = vector.astype(np.float32).astype(np.float64)
            results = self._run(prepared, key, Stream.PILOT, draws, vector, counter)
            return vector, np.concatenate([_measured(result, vector)[0] for result in results])
        zero = np.zeros(self.manifest.dimension)
        results = self._run(prepared, key, Stream.PILOT, draws, zero, counter)
        features = np.concatenate([unit_rows(result.features, "features") for result in results])
        if vector is None:
            vector = reference_of(features.mean(axis=0))
        return vector, features @ vector

    def _clean(self, prepared: PreparedImage) -> Floats:
        """The bare encoder's unit feature f_0(x): the graph without a GSB, at zero noise."""
        manifest = self.manifest
        if manifest.gsb is not None:
            raise FsError(
                "the clean reference of a bundle with a GSB needs its clean graph, which this version cannot run"
            )
        silence = np.zeros((manifest.noise_batch, 3, manifest.height, manifest.width), np.float32)
        result = self._backend.run(Block(prepared.pixel_values, silence, np.zeros(manifest.dimension, np.float32)))
        return reference_of(result.feature_sum)

    def _sum(
        self, prepared: PreparedImage, key: Seed, stream: Stream, draws: int, counter: "_Counter"
    ) -> tuple[Floats, float, int]:
        """Sum of the unit features, sum of the raw norms, and how many draws they hold (whole noise batches)."""
        zero = np.zeros(self.manifest.dimension)
        total, raw_norm, taken = zero.copy(), 0.0, 0
        for result in self._run(prepared, key, stream, draws, zero, counter):
            total += result.feature_sum
            raw_norm += float(result.raw_norm.sum(dtype=np.float64))
            taken += len(result.raw_norm)
        return total, raw_norm, taken

    def _run(
        self, prepared: PreparedImage, key: Seed, stream: Stream, draws: int, vector: Floats, counter: "_Counter"
    ) -> Generator[BlockResult]:
        reference = vector.astype(np.float32)
        for noise in self._noise.blocks(key.value, stream, draws):
            yield self._backend.run(Block(prepared.pixel_values, noise, reference))
            counter.add(len(noise))


def _measured(result: BlockResult, vector: Floats) -> tuple[Floats, Floats | None]:
    """Cosines [N] to the reference, and the unit features [N, D] where the graph gives them.

    Features are normalised again and multiplied in float64: only cosines from inside a graph carry its rounding
    (docs/theory.md section 8.4).
    """
    if result.features is None:
        return result.cosine.astype(np.float64) / np.linalg.norm(vector), None
    features = unit_rows(result.features, "features")
    return features @ vector, features


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


class _Counter:
    """Counts draws for whoever watches."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress = progress
        self._total = total
        self._done = 0

    def add(self, draws: int) -> None:
        self._done += draws
        if self._progress is not None:
            self._progress(min(self._done, self._total), self._total)
