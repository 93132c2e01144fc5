"""What other processes take."""

import os
from pathlib import Path

import pytest

from fs_runtime.bench import neighbours
from fs_runtime.bench.neighbours import Neighbours


def test_share_leaves_this_process_out_when_it_works(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, busy, own = iter([0.0, 10.0]), iter([100.0, 113.0]), iter([5.0, 10.0])
    monkeypatch.setattr(neighbours.time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(neighbours, "_busy", lambda: next(busy))
    monkeypatch.setattr(neighbours, "_own", lambda: next(own))
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    with Neighbours() as measured:
        assert measured.share is None
    assert measured.share == pytest.approx((13.0 - 5.0) / 40.0)


def test_share_is_none_when_the_system_does_not_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for content in (None, "intr 5\n", "cpu 1 2 3\n"):
        path = tmp_path / "stat"
        if content is not None:
            path.write_text(content)
        monkeypatch.setattr(neighbours, "_STAT", path)
        with Neighbours() as measured:
            pass
        assert measured.share is None


def test_busy_adds_up_what_is_no_idling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # user, nice, system, idle, waiting for disks, interrupts, soft interrupts, stolen, guest
    (tmp_path / "stat").write_text("cpu  100 20 30 4000 500 6 7 80 9\ncpu0 1 1\n")
    monkeypatch.setattr(neighbours, "_STAT", tmp_path / "stat")
    assert neighbours._busy() == pytest.approx((100 + 20 + 30 + 6 + 7 + 80) / os.sysconf("SC_CLK_TCK"))
