"""Philox4x64-10 against the published known answers and against an implementation that shares no code with NumPy's."""

import numpy as np
import pytest

from fs_runtime.noise import Stream
from fs_runtime.noise.philox import DrawWords

MASK = (1 << 64) - 1
ONES = (MASK,) * 4
ZEROS = (0,) * 4
PI_COUNTER = (0x243F6A8885A308D3, 0x13198A2E03707344, 0xA4093822299F31D0, 0x082EFA98EC4E6C89)

# Random123's kat_vectors, philox4x64 with 10 rounds: counter, key, answer.
KNOWN_ANSWERS = [
    pytest.param(
        ZEROS,
        (0, 0),
        (0x16554D9ECA36314C, 0xDB20FE9D672D0FDC, 0xD7E772CEE186176B, 0x7E68B68AEC7BA23B),
        id="zeros",
    ),
    pytest.param(
        ONES,
        (MASK, MASK),
        (0x87B092C3013FE90B, 0x438C3C67BE8D0224, 0x9CC7D7C69CD777B6, 0xA09CAEBF594F0BA0),
        id="ones",
    ),
    pytest.param(
        PI_COUNTER,
        (0x452821E638D01377, 0xBE5466CF34E90C6C),
        (0xA528F45403E61D95, 0x38C72DBD566E9788, 0xA5A1610E72FD18B5, 0x57BD43B5E52B7FE6),
        id="pi",
    ),
]

ADDRESSES = [
    pytest.param(0, Stream.PILOT, 0, 0, id="origin"),
    pytest.param(1, Stream.PILOT, 1, 0, id="carry-into-draw"),
    pytest.param(1, Stream.CERTIFY, 0, 0, id="carry-into-stream"),
    pytest.param((1 << 128) - 1, Stream.SMOOTH, (1 << 64) - 1, 37, id="largest-seed-and-draw"),
    pytest.param(1 << 64, Stream.CERTIFY, 12_345, 9_408, id="high-half-of-seed"),
    pytest.param(0x0123456789ABCDEF_FEDCBA9876543210, Stream.PILOT, 1 << 40, 5, id="arbitrary"),
]


def philox4x64_10(counter: tuple[int, ...], key: tuple[int, ...]) -> tuple[int, ...]:
    """One block, from the definition in Salmon et al. (SC 2011)."""
    x0, x1, x2, x3 = counter
    k0, k1 = key
    for _ in range(10):
        first, second = x0 * 0xD2E7470EE14C6C93, x2 * 0xCA5A826395121157
        x0, x1, x2, x3 = (second >> 64) ^ x1 ^ k0, second & MASK, (first >> 64) ^ x3 ^ k1, first & MASK
        k0, k1 = (k0 + 0x9E3779B97F4A7C15) & MASK, (k1 + 0xBB67AE8584CAA73B) & MASK
    return x0, x1, x2, x3


def words_at(seed: int, stream: int, draw: int, first: int, count: int) -> list[int]:
    """Words ``first`` ... of a draw: counter (position, draw, stream, 0), key = the seed, low half first."""
    key = (seed & MASK, seed >> 64)
    blocks = range(first // 4, (first + count - 1) // 4 + 1)
    words = [word for block in blocks for word in philox4x64_10((block, draw, stream, 0), key)]
    return words[first % 4 : first % 4 + count]


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN_ANSWERS)
def test_philox4x64_10_gives_published_answer_when_computed_from_its_definition(
    counter: tuple[int, ...], key: tuple[int, ...], answer: tuple[int, ...]
) -> None:
    assert philox4x64_10(counter, key) == answer


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN_ANSWERS)
def test_random_raw_gives_published_answer_when_counter_is_one_before(
    counter: tuple[int, ...], key: tuple[int, ...], answer: tuple[int, ...]
) -> None:
    # DrawWords rests on this habit of NumPy's: the counter is raised before the block is made.
    before = (sum(word << (64 * i) for i, word in enumerate(counter)) - 1) % (1 << 256)
    as_words = np.array([(before >> (64 * i)) & MASK for i in range(4)], np.uint64)
    bits = np.random.Philox(counter=as_words, key=np.array(key, np.uint64))
    assert tuple(int(word) for word in bits.random_raw(4)) == answer


def test_take_gives_published_answer_when_seed_stream_and_draw_are_zero() -> None:
    words = DrawWords(0, Stream.PILOT, 0).take(4)
    assert [int(word) for word in words] == [
        0x16554D9ECA36314C,
        0xDB20FE9D672D0FDC,
        0xD7E772CEE186176B,
        0x7E68B68AEC7BA23B,
    ]


@pytest.mark.parametrize(("seed", "stream", "draw", "first"), ADDRESSES)
def test_take_gives_reference_words_when_addressed_anywhere(seed: int, stream: Stream, draw: int, first: int) -> None:
    draws = DrawWords(seed, stream, draw)
    skipped = draws.take(first)
    assert len(skipped) == first
    words = draws.take(23)
    assert words.dtype == np.uint64
    assert [int(word) for word in words] == words_at(seed, stream, draw, first, 23)


def test_take_gives_the_same_words_when_taken_in_pieces() -> None:
    whole = DrawWords(99, Stream.CERTIFY, 7).take(1_000)
    pieces = DrawWords(99, Stream.CERTIFY, 7)
    sizes = [1, 2, 3, 4, 5, 0, 7, 64, 129, 785]
    assert sum(sizes) == 1_000
    np.testing.assert_array_equal(np.concatenate([pieces.take(size) for size in sizes]), whole)


def test_take_gives_disjoint_words_when_draws_streams_or_seeds_differ() -> None:
    addresses = [(seed, stream, draw) for seed in (5, 6, 5 << 64) for stream in Stream for draw in range(6)]
    words = np.concatenate([DrawWords(*address).take(2_048) for address in addresses])
    # 110,592 words of 64 bits: two equal ones by chance have probability 3e-10.
    assert len(np.unique(words)) == len(words)


def test_streams_have_their_published_numbers_when_replayed() -> None:
    # Changing one would change what a seed in an old certificate replays to.
    assert {stream.name: int(stream) for stream in Stream} == {"PILOT": 0, "CERTIFY": 1, "SMOOTH": 2}
