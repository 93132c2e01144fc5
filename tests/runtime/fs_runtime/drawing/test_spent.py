"""Clocks around the backend and the noise."""

import time
from pathlib import Path
from typing import Any

import pytest
from helpers import tiny

import fs_runtime
from fs_runtime.drawing import Spent


def test_watch_changes_no_certificate(tmp_path: Path) -> None:
    root = tiny.write_bundle(tmp_path)
    with fs_runtime.load(root, threads=1) as plain, fs_runtime.load(root, threads=1) as watched:
        spent = watched.watch()
        certificates = [
            each.certify(tiny.image_array(), draws=100, pilot=16, alpha=0.01, seed=3) for each in (plain, watched)
        ]
    assert certificates[0].to_json() == certificates[1].to_json()
    assert spent.blocks == (16 + 100) // 4
    assert spent.running > 0.0
    assert spent.waiting > 0.0


def test_around_backend_counts_beginning_and_waiting_when_it_runs_ahead() -> None:
    class Ahead:
        info = "info"

        def start(self, block: Any) -> Any:
            time.sleep(0.01)
            return lambda: time.sleep(0.01) or block

    spent = Spent()
    timed: Any = spent.around_backend(Ahead())  # type: ignore[arg-type]
    wait = timed.start("block")
    assert spent.blocks == 1
    begun = spent.running
    assert begun >= 0.01
    assert wait() == "block"
    assert spent.running >= begun + 0.01
    assert timed.info == "info"


def test_around_backend_counts_when_the_device_fails() -> None:
    class Lost:
        def run(self, block: Any) -> Any:
            time.sleep(0.01)
            raise RuntimeError

    spent = Spent()
    with pytest.raises(RuntimeError):
        spent.around_backend(Lost()).run("block")  # type: ignore[arg-type]
    assert spent.running >= 0.01
    assert spent.blocks == 0


def test_around_noise_stops_the_noise_when_the_caller_stops() -> None:
    stopped = []

    class Source:
        def ahead(self, plans: Any) -> Any:
            try:
                yield from plans
            finally:
                stopped.append(True)

    blocks = Spent().around_noise(Source()).ahead([1, 2, 3])  # type: ignore[arg-type,list-item]
    assert next(blocks) == 1
    blocks.close()
    assert stopped == [True]
