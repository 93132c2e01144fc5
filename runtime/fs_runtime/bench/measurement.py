"""One round's measurements of one contender."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from fs_runtime.backends.clock import DeviceSeconds


@dataclass(frozen=True)
class CertifyRun:
    """A certificate by a fixed number of draws, and where its time went.

    Attributes:
        seconds: the whole.
        blocks: noise batches through the graph.
        waiting: seconds spent waiting for noise.
        running: seconds inside the backend.
        device: what the device's clock says of ``running``; None: no such clock.
    """

    seconds: float
    blocks: int
    waiting: float
    running: float
    device: DeviceSeconds | None


@dataclass(frozen=True)
class TargetRun:
    """Certificates towards a target.

    Attributes:
        one: seconds of one image.
        draws: that it took.
        proved: whether it reached the target.
        many: seconds of many images together.
    """

    one: float
    draws: int
    proved: bool
    many: float


@dataclass(frozen=True)
class Measurement:
    """Everything of one round, in seconds.

    Attributes:
        certify: a certificate by a fixed number of draws.
        graph_alone: one run of the graph on noise that is ready.
        noise_alone: one block of noise; None: made on a device.
        bare: one run of the encoder alone at the same batch.
        clean: one draw at batch 1 without the booster.
        target: certificates towards a target.
        other_processes: share of all cores that other processes took; None: cannot be told.
    """

    certify: CertifyRun
    graph_alone: float
    noise_alone: float | None
    bare: float | None
    clean: float | None
    target: TargetRun | None
    other_processes: float | None


def seconds_of(run: Callable[[], object]) -> float:
    """How long ``run`` takes."""
    begun = time.perf_counter()
    run()
    return time.perf_counter() - begun


def seconds_each(run: Callable[[], object], times: int) -> float:
    """How long ``run`` takes, over ``times`` times."""

    def repeated() -> None:
        for _ in range(times):
            run()

    return seconds_of(repeated) / times
