"""Interleaved rounds: every contender in turn, so that whatever the machine does meanwhile meets them all alike."""

from collections.abc import Callable, Sequence

from fs_runtime.bench.contender import Contender
from fs_runtime.bench.measurement import Measurement
from fs_runtime.errors import BackendError

Failed = Callable[[Contender, BackendError], None]


def run_rounds(
    contenders: Sequence[Contender],
    rounds: int,
    *,
    step: Callable[[Contender], None] = lambda _: None,
    failed: Failed,
) -> dict[Contender, list[Measurement]]:
    """Measure every contender once a round, the first of a round being another one each time.

    Args:
        contenders: warmed up.
        rounds: how many.
        step: called after each of a contender's measurements.
        failed: called for a contender whose backend fails; it is left out from then on, and what was measured of it
            stays good.

    Returns:
        One measurement a round, of those with one at least.
    """
    measured: dict[Contender, list[Measurement]] = {contender: [] for contender in contenders}
    running = list(contenders)
    for number in range(rounds):
        turn = number % max(1, len(running))
        for contender in (*running[turn:], *running[:turn]):
            try:
                measured[contender].append(contender.measure(number, step=lambda each=contender: step(each)))  # type: ignore[misc]
            except BackendError as error:
                running.remove(contender)
                failed(contender, error)
    return {contender: found for contender, found in measured.items() if found}
