"""Margins against all pairs of a member and a rival, and which labels there are."""

import tracemalloc
from collections import Counter

import numpy as np
import numpy.typing as npt
import pytest

from fs_runtime.certification import CertificationError
from fs_runtime.certification.prediction import Rivals, best_labels, rivals, same_labels, voted_labels

Floats = npt.NDArray[np.float64]
K = [1, 2, 5]


def unit(count: int, dimension: int, seed: int) -> Floats:
    values = np.random.default_rng(seed).standard_normal((count, dimension))
    return np.asarray(values / np.linalg.norm(values, axis=1)[:, None])


PROTOTYPES, FEATURES = unit(23, 7, 1), unit(40, 7, 2)


def exact(features: Floats, prototypes: Floats, members: tuple[int, ...]) -> npt.NDArray[np.longdouble]:
    """Pair by pair, in extended precision."""
    f, t = features.astype(np.longdouble), prototypes.astype(np.longdouble)
    pairs = [
        (f @ (t[a] - t[b])) / np.sqrt(((t[a] - t[b]) ** 2).sum())
        for a in members
        for b in range(len(t))
        if b not in members
    ]
    return np.asarray(np.min(pairs, axis=0))


# --- margins


@pytest.mark.parametrize("k", K)
@pytest.mark.parametrize("block", [1, 50, 1 << 22])
def test_margins_equal_the_smallest_of_all_pairs_when_taken_in_blocks(
    monkeypatch: pytest.MonkeyPatch, k: int, block: int
) -> None:
    monkeypatch.setattr(rivals, "_MOST_NUMBERS", block)
    monkeypatch.setattr(rivals, "_MOST_ROWS", min(block, 1024))
    members = best_labels(FEATURES[0], PROTOTYPES, k)
    found = Rivals(PROTOTYPES, members).margins(FEATURES)
    np.testing.assert_allclose(found, exact(FEATURES, PROTOTYPES, members).astype(float), atol=1e-13)


@pytest.mark.parametrize("distance", [2e-6, 1e-4, 1.0])
def test_margins_are_never_above_the_exact_ones_when_prototypes_are_close(distance: float) -> None:
    base = unit(1, 300, 3)
    prototypes = base + distance * unit(30, 300, 4)
    prototypes /= np.linalg.norm(prototypes, axis=1)[:, None]
    features = unit(500, 300, 5)
    found, truth = Rivals(prototypes, [4]).margins(features), exact(features, prototypes, (4,))
    assert (found <= truth).all()
    assert float((truth - found).max()) < 1e-6 * max(1.0, 1e-6 / distance)


@pytest.mark.parametrize("k", K)
def test_margins_are_positive_only_when_the_best_are_the_set(k: int) -> None:
    members = best_labels(FEATURES[0], PROTOTYPES, k)
    votes = Rivals(PROTOTYPES, members).margins(FEATURES) > 0.0
    found = [set(best_labels(feature, PROTOTYPES, k)) == set(members) for feature in FEATURES]
    assert votes.tolist() == found
    assert 0 < sum(found) < len(found)


def test_margins_lie_between_minus_one_and_one_when_features_face_the_boundary() -> None:
    difference = PROTOTYPES[3] - PROTOTYPES[8]
    along = difference / np.linalg.norm(difference)
    pair = Rivals(PROTOTYPES[[3, 8]], [0])
    assert pair.margins(np.stack([along, -along])) == pytest.approx([1.0, -1.0], abs=1e-13)


def test_margins_take_little_memory_when_labels_are_many() -> None:
    prototypes, features = unit(60_000, 4, 6), unit(512, 4, 7)
    many = Rivals(prototypes, [1, 2, 3])
    tracemalloc.start()
    many.margins(features)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # All scores at once would take 246 MB, all pairs 737 MB.
    assert peak < 150e6


@pytest.mark.parametrize("features", [FEATURES[:, :6], FEATURES[0], FEATURES[None]])
def test_margins_refuse_when_the_dimension_is_another(features: Floats) -> None:
    with pytest.raises(CertificationError, match="do not match prototypes of 7 dimensions"):
        Rivals(PROTOTYPES, [0]).margins(features)


# --- the nearest boundary


@pytest.mark.parametrize("k", K)
@pytest.mark.parametrize("block", [1, 1 << 22])
def test_nearest_gives_the_pair_with_the_smallest_margin_when_there_are_many(
    monkeypatch: pytest.MonkeyPatch, k: int, block: int
) -> None:
    monkeypatch.setattr(rivals, "_MOST_NUMBERS", block)
    for feature in FEATURES[:8]:
        members = best_labels(feature, PROTOTYPES, k)
        nearest = Rivals(PROTOTYPES, members).nearest(feature)
        difference = PROTOTYPES[nearest.member] - PROTOTYPES[nearest.rival]
        assert nearest.member in members
        assert nearest.rival not in members
        assert nearest.margin == pytest.approx(feature @ difference / np.linalg.norm(difference), abs=1e-13)
        assert nearest.margin == pytest.approx(float(exact(feature[None], PROTOTYPES, members)[0]), abs=1e-13)
        assert nearest.margin > 0.0


def test_nearest_refuses_when_the_dimension_is_another() -> None:
    with pytest.raises(CertificationError, match="7 dimensions"):
        Rivals(PROTOTYPES, [0]).nearest(FEATURES[0, :5])


# --- equal prototypes


@pytest.mark.parametrize("distance", [0.0, 1e-8, 5e-7])
def test_rivals_drop_a_prototype_when_it_equals_the_label(distance: float) -> None:
    twin = PROTOTYPES[2] + distance * np.eye(7)[0]
    prototypes = np.concatenate([PROTOTYPES, twin[None]])
    found = Rivals(prototypes, [2])
    assert found.twins == (23,)
    np.testing.assert_array_equal(found.margins(FEATURES), Rivals(PROTOTYPES, [2]).margins(FEATURES))


def test_rivals_keep_a_prototype_when_it_is_just_another() -> None:
    prototypes = np.concatenate([PROTOTYPES, PROTOTYPES[2:3] + 2e-6 * np.eye(7)[:1]])
    found = Rivals(prototypes, [2])
    assert found.twins == ()
    np.testing.assert_allclose(found.margins(FEATURES), exact(FEATURES, prototypes, (2,)).astype(float), atol=1e-9)
    assert (found.margins(FEATURES) < Rivals(PROTOTYPES, [2]).margins(FEATURES) - 1e-3).any()


def test_rivals_let_only_the_last_place_be_shared_when_the_set_has_several() -> None:
    # 0 is best, then 1 and its twin 3, then 2.
    angles = np.array([0.0, 0.5, 1.0, 0.5])
    prototypes = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    last = Rivals(prototypes, [0, 1])
    assert last.twins == (3,)
    assert last.margins(np.array([[1.0, 0.0]]))[0] > 0.2
    # With the twins first, the set {3, 0} leaves 1 outside, which beats 0.
    first = np.array([[np.cos(0.4), np.sin(0.4)]])
    assert best_labels(first[0], prototypes, 2) == (1, 3)
    assert Rivals(prototypes, [3, 0]).margins(first)[0] < 0.0
    assert Rivals(prototypes, [1, 3]).twins == ()
    assert Rivals(prototypes, [1, 3]).margins(first)[0] > 0.0


def test_rivals_refuse_when_all_prototypes_are_equal() -> None:
    with pytest.raises(CertificationError, match="no other label"):
        Rivals(np.repeat(PROTOTYPES[:1], 3, axis=0), [1])
    with pytest.raises(CertificationError, match="no other label"):
        Rivals(np.repeat(PROTOTYPES[:1], 5, axis=0), [1, 2])


def test_rivals_refuse_when_no_label_is_outside() -> None:
    with pytest.raises(CertificationError, match="no other label"):
        Rivals(PROTOTYPES[:2], [0, 1])


@pytest.mark.parametrize("members", [[], [1, 1], [-1], [23], [0, 23]])
def test_rivals_refuse_when_members_are_no_labels(members: list[int]) -> None:
    with pytest.raises(CertificationError, match="members must"):
        Rivals(PROTOTYPES, members)


@pytest.mark.parametrize(
    "prototypes", [PROTOTYPES[0], PROTOTYPES[:1], PROTOTYPES[:0], np.zeros((3, 0)), PROTOTYPES[None]]
)
def test_rivals_refuse_when_prototypes_have_no_rows_to_compare(prototypes: Floats) -> None:
    with pytest.raises(CertificationError, match="at least two unit rows"):
        Rivals(prototypes, [0])


@pytest.mark.parametrize("factor", [0.0, 1.001, np.nan, np.inf])
def test_rivals_name_the_row_when_it_is_not_a_unit_vector(factor: float) -> None:
    prototypes = PROTOTYPES.copy()
    with np.errstate(invalid="ignore"):
        prototypes[5] *= factor
    with pytest.raises(CertificationError, match="row 5 has norm"):
        Rivals(prototypes, [0])


# --- which labels


def test_best_labels_come_in_order_when_several_are_asked() -> None:
    scores = PROTOTYPES @ FEATURES[0]
    assert best_labels(FEATURES[0], PROTOTYPES) == (int(scores.argmax()),)
    assert best_labels(FEATURES[0], PROTOTYPES, 22) == tuple(np.argsort(-scores)[:22])


def test_best_labels_take_the_lower_index_when_two_are_equal() -> None:
    assert best_labels(np.array([1.0, 0.0]), np.array([[0.0, 1.0], [1.0, 0.0], [1.0, 0.0]])) == (1,)
    many = np.eye(2)[np.arange(400) % 2]
    assert best_labels(np.array([1.0, 0.0]), many, 9) == tuple(range(0, 18, 2))


@pytest.mark.parametrize("k", [0, -1, 23, 24])
def test_labels_refuse_when_k_leaves_no_rival(k: int) -> None:
    with pytest.raises(CertificationError, match=r"top_k must lie in 1 \.\. 22"):
        best_labels(FEATURES[0], PROTOTYPES, k)
    with pytest.raises(CertificationError, match=r"top_k must lie in 1 \.\. 22"):
        voted_labels(FEATURES, PROTOTYPES, k)


def test_labels_refuse_when_the_dimension_is_another() -> None:
    with pytest.raises(CertificationError, match="7 dimensions"):
        best_labels(FEATURES[0, :6], PROTOTYPES)
    with pytest.raises(CertificationError, match="7 dimensions"):
        voted_labels(FEATURES[:, :6], PROTOTYPES)


@pytest.mark.parametrize("block", [1, 1 << 22])
def test_voted_labels_are_those_of_most_draws_when_the_mean_says_otherwise(
    monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(rivals, "_MOST_NUMBERS", block)
    prototypes = np.eye(3)
    near, far = np.array([0.75, 0.6, 0.28]), np.array([0.0, 1.0, 0.0])
    features = np.stack([near / np.linalg.norm(near)] * 6 + [far] * 4)
    assert best_labels(features.mean(axis=0), prototypes) == (1,)
    assert voted_labels(features, prototypes) == (0,)
    # Six draws have {0, 1}, in whichever order; four have {0, 1} or {1, 2}, which tie.
    assert voted_labels(features, prototypes, 2) == (1, 0)


@pytest.mark.parametrize("k", [1, 2, 3, 6])
def test_voted_labels_are_the_commonest_set_when_its_order_varies(k: int) -> None:
    features = PROTOTYPES[3] + 0.3 * np.random.default_rng(8).standard_normal((300, 7))
    sets = Counter(frozenset(best_labels(feature, PROTOTYPES, k)) for feature in features)
    (commonest, votes), (_, next_votes) = sets.most_common(2)
    assert votes > next_votes
    assert set(voted_labels(features, PROTOTYPES, k)) == commonest


def test_voted_labels_take_the_lower_when_votes_are_even() -> None:
    features = np.eye(3)[[2, 1, 2, 1]]
    assert voted_labels(features, np.eye(3)) == (1,)


def test_labels_are_the_lowest_of_equals_when_prototypes_stand_twice() -> None:
    rng = np.random.default_rng(0)
    for _ in range(100):
        prototypes = rng.standard_normal((40, 257))
        prototypes /= np.linalg.norm(prototypes, axis=1)[:, None]
        prototypes[[11, 29]] = prototypes[7]
        features = prototypes[7] + 0.3 * rng.standard_normal((9, 257)) / 16.0
        features /= np.linalg.norm(features, axis=1)[:, None]
        assert best_labels(features[0], prototypes) == (7,)
        assert best_labels(features[0], prototypes, 2) == (7, 11)
        assert voted_labels(features, prototypes) == (7,)
        assert set(voted_labels(features, prototypes, 2)) == {7, 11}


def test_same_labels_takes_a_twin_for_one_label_only() -> None:
    assert same_labels((3,), (3,), ())
    assert same_labels((3,), (5,), (3, 8))
    assert not same_labels((3,), (5,), (8,))
    assert same_labels((1, 2), (2, 1), ())
    assert not same_labels((1, 2), (1, 4), (2,))
