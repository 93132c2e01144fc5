"""One bundle on one backend: opened, warmed up, measured."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fs_runtime.backends import Block
from fs_runtime.backends.clock import device_seconds
from fs_runtime.bench.bare import BareSession, CleanSession
from fs_runtime.bench.measurement import CertifyRun, Measurement, TargetRun, seconds_each, seconds_of
from fs_runtime.bench.neighbours import Neighbours
from fs_runtime.bench.picture import picture
from fs_runtime.bundle import Bundle
from fs_runtime.certificates.feature import FeatureCertificate
from fs_runtime.certification import Bound, Target, smallest_draws
from fs_runtime.cuda_driver import ask_driver
from fs_runtime.encoder import SmoothedEncoder
from fs_runtime.errors import BackendError, InputError
from fs_runtime.noise import NoiseBlocks, Stream
from fs_runtime.preprocess import ImageLike

_LEAST_BLOCKS = 4
_MOST_BLOCKS = 4096
_LEAST_DRAWS = 64
_PILOT = 16


@dataclass(frozen=True)
class Asked:
    """What is to be measured.

    Attributes:
        alpha: of every certificate.
        seconds: that one measurement is to take about.
        target: to draw for; None: not measured.
        most_draws: towards it.
        many: images handed in together.
        images: to certify; none: synthetic pictures.
        bare: ONNX file of the encoder alone; None: not measured.
        peak_tflops: what the device could reach; None: taken from its data sheet where that is known here.
    """

    alpha: float = 1e-3
    seconds: float = 2.0
    target: Target | None = None
    most_draws: int = 20_000
    many: int = 8
    images: tuple[ImageLike, ...] = ()
    bare: Path | None = None
    peak_tflops: float | None = None


class Contender:
    """A bundle on a backend, open until :meth:`close`.

    Attributes:
        clean_not_run: why the bundle's encoder without smoothing is not measured, empty where it is or there is none.
    """

    def __init__(
        self, bundle: Bundle, asked: Asked, *, backend: str, device: str, threads: int, max_pixels: int
    ) -> None:
        """Open it.

        Raises:
            BackendError: the backend or device cannot run here.
            InputError: ``asked.bare`` is not the encoder of this bundle.
        """
        self.bundle, self.asked = bundle, asked
        self.threads, self.device = threads, device
        manifest = bundle.manifest
        self.batch = manifest.noise_batch
        self.bound: Bound = "gram" if manifest.has_features else "angle-law"
        self.blocks = _LEAST_BLOCKS
        # The runtime's own session first: it loads the libraries of a device, which bare sessions need too.
        self.encoder = SmoothedEncoder(bundle, backend=backend, device=device, threads=threads, max_pixels=max_pixels)
        size = {"batch": self.batch, "height": manifest.height, "width": manifest.width}
        try:
            self.bare = None if asked.bare is None else BareSession(asked.bare, **size, device=device, threads=threads)
            self.clean, self.clean_not_run = self._opened_clean()
        except BaseException:
            self.encoder.close()
            raise
        self._spent = self.encoder.watch()
        self._images = asked.images or tuple(
            picture(manifest.height, manifest.width, seed) for seed in range(max(1, asked.many))
        )
        self._noise: NoiseBlocks | None = None
        if device == "cpu":
            shape = (self.batch, 3, manifest.height, manifest.width)
            self._noise = NoiseBlocks(sigma=manifest.sigma, shape=shape, threads=threads)

    @property
    def steps(self) -> int:
        """Measurements in one round."""
        others = (self._noise, self.bare, self.clean, self.asked.target, self.asked.target)
        return 2 + sum(other is not None for other in others)

    def close(self) -> None:
        """Free everything."""
        self.encoder.close()
        for other in (self.bare, self.clean, self._noise):
            if other is not None:
                other.close()

    def warm_up(self) -> None:
        """Run everything once, and fix how many blocks a measurement takes.

        Raises:
            CertificationError, InputError: the target cannot be proved by so few draws, or an image cannot be read.
        """
        self._certify(0)
        taken = self._certify(0)
        fitting = round(self.asked.seconds / max(taken.seconds / taken.blocks, 1e-9))
        self.blocks = min(max(fitting, _LEAST_BLOCKS), _MOST_BLOCKS)
        self._graph_alone(1)
        for session in (self.bare, self.clean):
            if session is not None:
                session.run()
        if self.asked.target is not None:
            self._one(0)

    def measure(self, number: int, *, step: Callable[[], None] = lambda: None) -> Measurement:
        """One round.

        Args:
            number: of the round, which is the seed of its certificates too.
            step: called after each measurement.

        Raises:
            BackendError: the backend failed.
        """

        def told(value: float) -> float:
            step()
            return value

        times = max(1, self.blocks // 2)
        with Neighbours() as neighbours:
            certify = self._certify(number)
            step()
            bare = None if self.bare is None else told(seconds_each(self.bare.run, times))
            graph_alone = told(self._graph_alone(times))
            noise_alone = None if self._noise is None else told(self._noise_alone(times))
            clean = None if self.clean is None else told(seconds_each(self.clean.run, times))
            target = None
            if self.asked.target is not None:
                seconds, certificate = self._one(number)
                step()
                many = told(self._many(number))
                proved = certificate.outcome == "proved"
                target = TargetRun(seconds, certificate.draws, proved, many)
        return Measurement(certify, graph_alone, noise_alone, bare, clean, target, neighbours.share)

    @property
    def gpu(self) -> str | None:
        """Name of the GPU that the device is."""
        if self.device == "cpu":
            return None
        number = self.device.partition(":")[2] or "0"
        return next((gpu.name for gpu in ask_driver().gpus if str(gpu.index) == number), None)

    def _opened_clean(self) -> tuple[CleanSession | None, str]:
        """The encoder without smoothing, which nobody asked for: where it cannot run, a plan may all the same."""
        graph = next((graph for graph in self.bundle.manifest.graphs if graph.role == "clean"), None)
        if graph is None:
            return None, ""
        try:
            return CleanSession(self.bundle, graph, device=self.device, threads=self.threads), ""
        except (BackendError, InputError) as error:
            return None, str(error)

    def _certify(self, seed: int) -> CertifyRun:
        pilot = -(-_PILOT // self.batch) * self.batch
        needed = max(_LEAST_DRAWS, smallest_draws(self.asked.alpha, self.bound))
        least = -(-needed // self.batch) * self.batch
        draws = max(self.blocks * self.batch - pilot, least)
        spent, backend = self._spent, self.encoder.backend
        blocks, waiting, running = spent.blocks, spent.waiting, spent.running
        before = device_seconds(backend)
        seconds = seconds_of(
            lambda: self.encoder.certify(self._images[0], draws=draws, pilot=pilot, alpha=self.asked.alpha, seed=seed)
        )
        after = device_seconds(backend)
        return CertifyRun(
            seconds,
            spent.blocks - blocks,
            spent.waiting - waiting,
            spent.running - running,
            None if before is None or after is None else after.since(before),
        )

    def _graph_alone(self, times: int) -> float:
        manifest = self.bundle.manifest
        shape = (3, manifest.height, manifest.width)
        rng = np.random.default_rng(0)
        block = Block(
            rng.random((manifest.images, *shape), np.float32),
            rng.standard_normal((self.batch, *shape), np.float32) * np.float32(manifest.sigma),
            np.zeros((manifest.images, manifest.dimension), np.float32),
            np.zeros(self.batch, np.int64),
        )
        return seconds_each(lambda: self.encoder.backend.run(block), times)

    def _noise_alone(self, times: int) -> float:
        assert self._noise is not None
        noise = self._noise

        def drain() -> None:
            for _ in noise.blocks(0, Stream.SMOOTH, times * self.batch):
                pass

        return seconds_of(drain) / times

    def _one(self, seed: int) -> tuple[float, FeatureCertificate]:
        """Seconds of one certificate towards the target, and the certificate."""
        image = self._images[seed % len(self._images)]
        made: list[FeatureCertificate] = []
        seconds = seconds_of(lambda: made.append(self.encoder.certify(image, **self._towards(seed))))
        return seconds, made[0]

    def _many(self, seed: int) -> float:
        """Seconds of certificates of many images, handed in together."""
        images = [self._images[number % len(self._images)] for number in range(self.asked.many)]

        def together() -> None:
            for result in self.encoder.certify_many(images, **self._towards(seed)):
                if result.error is not None:
                    raise result.error

        return seconds_of(together)

    def _towards(self, seed: int) -> dict[str, Any]:
        asked = self.asked
        return {"draws": asked.most_draws, "alpha": asked.alpha, "until": asked.target, "seed": seed}
