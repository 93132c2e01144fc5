"""What other processes take of the machine while something is measured."""

import os
import time
from pathlib import Path

_STAT = Path("/proc/stat")


class Neighbours:
    """Measures, while the context lasts, which share of all cores other processes took.

    Attributes:
        share: in [0, 1], known at the end; None where the system does not tell. Time stolen from a virtual machine
            counts as others'.
    """

    share: float | None = None

    def __enter__(self) -> "Neighbours":
        self._begun = (time.perf_counter(), _busy(), _own())
        return self

    def __exit__(self, *_: object) -> None:
        wall, before, own = self._begun
        after = _busy()
        if before is None or after is None:
            return
        foreign = (after - before) - (_own() - own)
        available = (time.perf_counter() - wall) * (os.cpu_count() or 1)
        self.share = min(1.0, max(0.0, foreign / available)) if available > 0.0 else None


def _own() -> float:
    times = os.times()
    return times.user + times.system


def _busy() -> float | None:
    """Seconds that all cores together have worked since the machine started."""
    try:
        line = _STAT.read_text(encoding="utf-8").split("\n", 1)[0]
        fields = [int(field) for field in line.split()[1:9]]
        idle, waiting = fields[3], fields[4]
    except (OSError, ValueError, IndexError):
        return None
    return (sum(fields) - idle - waiting) / os.sysconf("SC_CLK_TCK")
