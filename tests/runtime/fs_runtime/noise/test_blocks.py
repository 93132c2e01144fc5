"""Blocks of noise: the same numbers for any number of threads, two buffers, none overwritten while it is read."""

import threading
import time

import numpy as np
import numpy.typing as npt
import pytest

from fs_runtime.noise import GridNoise, NoiseBlocks, Stream

SHAPE = (4, 3, 9, 7)
SIZE = 3 * 9 * 7
SIGMA = 0.25


def draw(seed: int, stream: Stream, index: int, size: int = SIZE) -> npt.NDArray[np.float32]:
    row = np.empty(size, np.float32)
    GridNoise(SIGMA, size).fill(row, seed, stream, index)
    return row


def assert_holds_draws(block: npt.NDArray[np.float32], seed: int, stream: Stream, first: int) -> None:
    assert block.dtype == np.float32
    for i, row in enumerate(block.reshape(len(block), -1)):
        np.testing.assert_array_equal(row, draw(seed, stream, first + i, row.size))


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("stream", list(Stream))
def test_blocks_equal_single_draws_when_made_by_any_number_of_threads(threads: int, stream: Stream) -> None:
    with NoiseBlocks(sigma=SIGMA, shape=SHAPE, threads=threads) as noise:
        firsts = []
        for number, block in enumerate(noise.blocks(17, stream, 20)):
            assert block.shape == SHAPE
            assert_holds_draws(block, 17, stream, 4 * number)
            firsts.append(4 * number)
    assert firsts == [0, 4, 8, 12, 16]


@pytest.mark.parametrize(("draws", "blocks"), [(1, 1), (4, 1), (5, 2), (8, 2), (11, 3)])
def test_blocks_hold_the_last_draws_too_when_the_last_block_is_partial(draws: int, blocks: int) -> None:
    with NoiseBlocks(sigma=SIGMA, shape=SHAPE, threads=2) as noise:
        made = [block.copy() for block in noise.blocks(3, Stream.CERTIFY, draws)]
    assert len(made) == blocks
    for number, block in enumerate(made):
        assert_holds_draws(block, 3, Stream.CERTIFY, 4 * number)


def test_blocks_yield_nothing_when_no_draws_are_asked_for() -> None:
    with NoiseBlocks(sigma=SIGMA, shape=SHAPE, threads=2) as noise:
        assert list(noise.blocks(3, Stream.CERTIFY, 0)) == []
        assert_holds_draws(next(iter(noise.blocks(3, Stream.PILOT, 1))), 3, Stream.PILOT, 0)


def test_blocks_alternate_between_two_buffers_when_there_are_many() -> None:
    with NoiseBlocks(sigma=SIGMA, shape=SHAPE, threads=2) as noise:
        yielded = list(noise.blocks(1, Stream.CERTIFY, 28))
    assert len(yielded) == 7
    starts = [block.__array_interface__["data"][0] for block in yielded]
    assert len(set(starts)) == 2
    assert all(starts[i] == starts[i % 2] for i in range(7))
    assert not np.shares_memory(yielded[0], yielded[1])


def test_blocks_leave_a_block_untouched_when_the_next_one_is_being_made() -> None:
    with NoiseBlocks(sigma=SIGMA, shape=SHAPE, threads=2) as noise:
        for block in noise.blocks(1, Stream.CERTIFY, 24):
            before = block.copy()
            time.sleep(0.02)  # ample for the threads to make the next block
            np.testing.assert_array_equal(block, before)


def test_blocks_make_the_next_block_ahead_when_the_caller_is_still_busy() -> None:
    with NoiseBlocks(sigma=SIGMA, shape=SHAPE, threads=2) as noise:
        blocks = noise.blocks(1, Stream.CERTIFY, 12)
        second_buffer = [next(blocks), next(blocks)][1]
        next(blocks)  # the third block, in the first buffer; nothing is left to make
        blocks = noise.blocks(2, Stream.CERTIFY, 8)
        next(blocks)
        deadline = time.monotonic() + 10.0
        while not np.array_equal(second_buffer[-1].ravel(), draw(2, Stream.CERTIFY, 7)):
            assert time.monotonic() < deadline, "the second block was not made while the first one was held"
            time.sleep(0.001)


@pytest.mark.parametrize("threads", [1, 3])
def test_blocks_hold_the_right_noise_when_an_earlier_generator_was_abandoned(threads: int) -> None:
    shape = (16, 3, 24, 24)
    with NoiseBlocks(sigma=SIGMA, shape=shape, threads=threads) as noise:
        for attempt in range(6):
            for _ in noise.blocks(100 + attempt, Stream.PILOT, 64):
                break
            for number, block in enumerate(noise.blocks(attempt, Stream.CERTIFY, 32)):
                assert_holds_draws(block, attempt, Stream.CERTIFY, 16 * number)


def test_blocks_are_not_overwritten_late_when_an_abandoned_generator_was_still_at_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    original = GridNoise.fill

    def fill(self: GridNoise, out: npt.NDArray[np.float32], seed: int, stream: Stream, draw: int) -> None:
        if (seed, draw) == (100, 4):  # the first row of the second block
            time.sleep(0.3)
        original(self, out, seed, stream, draw)

    monkeypatch.setattr(GridNoise, "fill", fill)
    with NoiseBlocks(sigma=SIGMA, shape=SHAPE, threads=2) as noise:
        for _ in noise.blocks(100, Stream.CERTIFY, 8):
            time.sleep(0.05)  # a thread has taken up the slow row, so that it cannot be cancelled
            break
        made = list(noise.blocks(7, Stream.CERTIFY, 8))
        time.sleep(0.4)
        for number, block in enumerate(made):
            assert_holds_draws(block, 7, Stream.CERTIFY, 4 * number)


def test_blocks_finish_when_the_body_raises_in_the_middle() -> None:
    with NoiseBlocks(sigma=SIGMA, shape=SHAPE, threads=2) as noise, pytest.raises(KeyError, match="graph"):  # noqa: PT012
        for _ in noise.blocks(1, Stream.CERTIFY, 400):
            raise KeyError("graph")


def test_blocks_do_not_hang_when_collected_after_close() -> None:
    def use() -> None:
        with NoiseBlocks(sigma=SIGMA, shape=(64, 3, 64, 64), threads=1) as noise:
            held = noise.blocks(1, Stream.CERTIFY, 1_000)
            next(held)
        del held

    user = threading.Thread(target=use, daemon=True)
    user.start()
    user.join(3.0)
    assert not user.is_alive()


@pytest.mark.parametrize("sigma", [0.0, -0.1, 2.1])
def test_blocks_raise_value_error_when_sigma_is_out_of_range(sigma: float) -> None:
    def first_block() -> None:
        with NoiseBlocks(sigma=sigma, shape=SHAPE, threads=1) as noise:
            next(noise.blocks(1, Stream.CERTIFY, 1))

    with pytest.raises(ValueError, match="sigma must lie in"):
        first_block()


def test_close_stops_the_threads_when_leaving_the_context() -> None:
    before = set(threading.enumerate())
    with NoiseBlocks(sigma=SIGMA, shape=SHAPE, threads=3) as noise:
        list(noise.blocks(1, Stream.CERTIFY, 12))
        started = set(threading.enumerate()) - before
        assert started
    assert not any(thread.is_alive() for thread in started)
