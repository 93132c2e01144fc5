"""What a run of ``fs-runtime bench`` found, as its JSON lines say it."""

from collections.abc import Sequence
from typing import Literal

import msgspec
import numpy as np

from fs_runtime.backends import BackendInfo
from fs_runtime.bundle.manifest import Precision, Sha256


class Spread(msgspec.Struct, frozen=True):
    """Median and quartiles over the rounds.

    Attributes:
        median: half of the rounds are below.
        lower_quartile: a quarter of the rounds is below.
        upper_quartile: a quarter of the rounds is above.
    """

    median: float
    lower_quartile: float
    upper_quartile: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Of one value a round."""
        low, middle, high = np.quantile(values, (0.25, 0.5, 0.75))
        return cls(float(middle), float(low), float(high))


class Machine(msgspec.Struct, frozen=True):
    """Where it was measured.

    Attributes:
        cpu: its model.
        cores: that this process may use.
        gpu: its name, where the device is one.
    """

    cpu: str
    cores: int
    gpu: str | None


class BlockParts(msgspec.Struct, frozen=True):
    """Milliseconds of one noise batch while a certificate is made. In each round the parts add up to the whole.

    Attributes:
        block: the whole.
        noise: waiting for noise, and on a CPU what the graph loses to the noise that is made beside it; below zero
            where the difference of two measurements is less than their errors.
        copy: copies between host and device; none on a CPU; null: not told apart from the encoder.
        encoder: the graph. On a CPU as it runs alone, without noise being made beside it.
        host: the rest: preparing the image, statistics, Python; below zero where the others overlap.
        graph_alone: the graph on noise that lies ready in the host's memory, which a device has to copy.
        noise_alone: the noise with nothing beside it; null where it is made on a device.
    """

    block: Spread
    noise: Spread
    copy: Spread | None
    encoder: Spread
    host: Spread
    graph_alone: Spread
    noise_alone: Spread | None


class Beside(msgspec.Struct, frozen=True):
    """A bare ONNX Runtime session, measured in the same rounds.

    Attributes:
        file: what it runs.
        batch: images in one run.
        images_per_second: its speed.
        ratio: the runtime's draws per second over that speed, paired within each round.
    """

    file: str
    batch: int
    images_per_second: Spread
    ratio: Spread


class TargetSpeed(msgspec.Struct, frozen=True):
    """Certificates that are drawn for until a target is proved, or hopeless.

    Attributes:
        radius: of the target, l2 over [0, 1] pixels.
        cosine: of the target.
        alpha: of each certificate.
        most_draws: the most draws towards it.
        certificates: made in all, of one image at a time.
        proved: how many of them reached the target.
        draws: that they took, pilot left out.
        one: certificates per second, one image at a time.
        many_images: images that were handed in together.
        many: certificates per second of these.
    """

    radius: float
    cosine: float
    alpha: float
    most_draws: int
    certificates: int
    proved: int
    draws: Spread
    one: Spread
    many_images: int
    many: Spread


class Arithmetic(msgspec.Struct, frozen=True):
    """The encoder's arithmetic against what the device could do.

    Attributes:
        multiply_adds: of one draw, as the bundle states.
        tflops: 10^12 floating-point operations a second that were reached, two for a multiply-add.
        peak: what the device could reach; null: neither known nor stated.
        peak_source: who says so.
        share: of the peak that was reached.
    """

    multiply_adds: int
    tflops: Spread
    peak: float | None
    peak_source: str | None
    share: Spread | None


class BenchLine(msgspec.Struct, frozen=True):
    """How fast one bundle runs on one backend, of ``fs-runtime bench --json``.

    Attributes:
        schema: name and version of this format.
        bundle: its folder.
        graph_sha256: of the graph.
        precision: of the graph.
        noise_batch: draws in one run of the graph.
        images: that one noise batch can mix.
        backend: what ran it.
        device: as it was asked for.
        threads: for the graph on a CPU, and for noise made there.
        machine: where it was measured.
        rounds: how often everything was measured.
        blocks: noise batches of the certificate of each round.
        bound: the theorem of that certificate.
        alpha: of that certificate.
        draws_per_second: noisy copies through the graph while that certificate is made, pilot and statistics included.
        milliseconds: of one noise batch, and where they go.
        bare: the encoder alone at the same batch; null: none was given.
        clean: one draw at batch 1 without the booster; null: the bundle holds no such graph, or it cannot run here.
        target: certificates towards a target; null: none was given.
        arithmetic: the encoder's; null: the bundle does not state its multiply-adds.
        other_processes: largest share of all cores that other processes took in a round; null: cannot be told.
    """

    schema: Literal["fs-runtime/bench/1"]
    bundle: str
    graph_sha256: Sha256
    precision: Precision
    noise_batch: int
    images: int
    backend: BackendInfo
    device: str
    threads: int
    machine: Machine
    rounds: int
    blocks: int
    bound: str
    alpha: float
    draws_per_second: Spread
    milliseconds: BlockParts
    bare: Beside | None
    clean: Beside | None
    target: TargetSpeed | None
    arithmetic: Arithmetic | None
    other_processes: float | None
