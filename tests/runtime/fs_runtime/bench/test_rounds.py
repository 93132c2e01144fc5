"""Interleaved rounds."""

from typing import Any

from fs_runtime.bench import run_rounds
from fs_runtime.errors import BackendError


class FakeContender:
    """Says in which order it was measured; fails from a round on."""

    def __init__(self, name: str, log: list[str], fails_from: int = 99) -> None:
        self.name, self._log, self._fails_from = name, log, fails_from

    def measure(self, number: int, *, step: Any) -> str:
        if number >= self._fails_from:
            raise BackendError("device lost")
        self._log.append(self.name)
        step()
        return f"{self.name}{number}"


def test_run_rounds_begins_with_another_contender_each_round() -> None:
    log: list[str] = []
    contenders: Any = [FakeContender(name, log) for name in "abc"]
    steps: list[str] = []
    measured: Any = run_rounds(
        contenders,
        4,
        step=lambda contender: steps.append(contender.name),
        failed=lambda *_: None,  # type: ignore[attr-defined]
    )
    assert "".join(log) == "abcbcacababc"
    assert steps == log
    assert [measured[each] for each in contenders] == [[f"{name}{i}" for i in range(4)] for name in "abc"]


def test_run_rounds_keeps_what_was_measured_when_a_device_is_lost() -> None:
    log: list[str] = []
    good, lost, never = (FakeContender(name, log, fails) for name, fails in (("a", 99), ("b", 2), ("c", 0)))
    contenders: Any = [good, lost, never]
    failures: list[tuple[Any, str]] = []
    measured: Any = run_rounds(contenders, 3, failed=lambda contender, error: failures.append((contender, str(error))))
    assert measured == {good: ["a0", "a1", "a2"], lost: ["b0", "b1"]}
    assert failures == [(never, "device lost"), (lost, "device lost")]


def test_run_rounds_measures_nothing_when_there_is_nobody() -> None:
    assert run_rounds([], 3, failed=lambda *_: None) == {}
