"""A set of labels against all others: how far a feature is from the nearest boundary between them."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fs_runtime.certification.errors import CertificationError
from fs_runtime.certification.estimation.checks import UNIT_SLACK
from fs_runtime.certification.normal import Floats

# Prototypes closer than this cannot be told apart: one text embedded twice in float32 differs by as much.
SAME_DISTANCE = 1e-6
# Numbers in the largest array made at once.
_MOST_NUMBERS = 1 << 22
_MOST_ROWS = 1024
_ROUNDING = 2.0**-53


@dataclass(frozen=True)
class RivalPair:
    """The pair of labels whose boundary is nearest to a feature.

    Attributes:
        member: the label inside the set.
        rival: the label outside it.
        margin: <u, t_member - t_rival> / ||t_member - t_rival|| of the unit feature u, rounded down.
    """

    member: int
    rival: int
    margin: float


class Rivals:
    """A set of labels S, the pairs (a in S, b not in S), and the differences t_a - t_b of their prototypes.

    S is the set of the k best for a feature u where <u, t_a - t_b> > 0 for every pair. Prototypes within 1e-6 of each
    other count as the same label, and such pairs are dropped. For k = 1: the label stays, or becomes one of its
    :attr:`twins`. For k > 1: the set stays, up to members changing places with their twins; as every other member has
    to beat the twin as well, that can only be the set's last place.

    Attributes:
        members: the labels in S, as given.
        twins: labels outside S with the prototype of a member, rising.
    """

    def __init__(self, prototypes: npt.ArrayLike, members: Sequence[int]) -> None:
        """Measure the distances between the prototypes [C, D] (unit rows) of ``members`` and all others.

        Takes memory for k C numbers besides the prototypes.

        Raises:
            CertificationError: no unit rows, members that are no labels, or no rival left.
        """
        self._prototypes = checked_prototypes(prototypes)
        count, dimension = self._prototypes.shape
        self.members = tuple(int(member) for member in members)
        if not self.members or len(set(self.members)) < len(self.members):
            raise CertificationError(f"members must be different labels, at least one, not {self.members}")
        if not all(0 <= member < count for member in self.members):
            raise CertificationError(f"members must lie in 0 .. {count - 1}, not {self.members}")
        inside = np.zeros(count, dtype=bool)
        inside[list(self.members)] = True
        self._inverse = np.empty((len(self.members), count))
        self._dropped: list[npt.NDArray[np.bool_]] = []
        twins: set[int] = set()
        for number, member in enumerate(self.members):
            distances = self._distances(member)
            same = ~inside & (distances <= SAME_DISTANCE)
            twins.update(int(index) for index in np.flatnonzero(same))
            self._inverse[number] = 1.0 / np.maximum(distances, SAME_DISTANCE)
            self._dropped.append(inside | same)
        if all(dropped.all() for dropped in self._dropped):
            raise CertificationError(
                "every prototype outside the set equals one inside it, so there is no other label: "
                "hand in prototypes that differ"
            )
        self.twins = tuple(sorted(twins))
        # Two inner products of unit vectors with D terms each, whatever the order of summation.
        self._rounding = 2.0 * (1.0 + UNIT_SLACK) * dimension * _ROUNDING

    @property
    def dimension(self) -> int:
        """D."""
        return int(self._prototypes.shape[1])

    def margins(self, features: Floats) -> Floats:
        """[n] the smallest <f, t_a - t_b> / ||t_a - t_b|| over all pairs, for unit features [n, D]; rounded down.

        It is positive only where the k best of the draw are S; its sign is the draw's vote.

        Raises:
            CertificationError: features of another dimension.
        """
        _check_dimension(features, self._prototypes)
        found = np.full(len(features), np.inf)
        for rows in _slices(len(features), _MOST_ROWS):
            for _, _, values in self._pair_margins(features[rows]):
                found[rows] = np.minimum(found[rows], values.min(axis=1))
        return found

    def nearest(self, feature: Floats) -> RivalPair:
        """The pair whose boundary a unit feature [D] is nearest to, or most beyond.

        Raises:
            CertificationError: a feature of another dimension.
        """
        _check_dimension(feature[None, :], self._prototypes)
        best = RivalPair(-1, -1, np.inf)
        for member, first, values in self._pair_margins(feature[None, :]):
            column = int(values[0].argmin())
            if values[0, column] < best.margin:
                best = RivalPair(member, first + column, float(values[0, column]))
        return best

    def _pair_margins(self, features: Floats) -> Iterator[tuple[int, int, Floats]]:
        """A member, a first label, margins [n, columns] from that label on; infinite where there is no pair."""
        own = features @ self._prototypes[list(self.members)].T
        for columns in _slices(len(self._prototypes), max(1, _MOST_NUMBERS // len(features))):
            scores = features @ self._prototypes[columns].T
            for number, member in enumerate(self.members):
                values = (own[:, number, None] - self._rounding - scores) * self._inverse[number, columns]
                values[:, self._dropped[number][columns]] = np.inf
                yield member, columns.start, values

    def _distances(self, member: int) -> Floats:
        count, dimension = self._prototypes.shape
        distances = np.empty(count)
        for rows in _slices(count, max(1, _MOST_NUMBERS // dimension)):
            distances[rows] = np.linalg.norm(self._prototypes[rows] - self._prototypes[member], axis=1)
        return distances


def checked_prototypes(prototypes: npt.ArrayLike) -> Floats:
    """Prototypes [C, D] in float64, as they are: not copied where they are float64 already.

    Raises:
        CertificationError: they are not unit rows, by more than rounding explains, or fewer than two.
    """
    array = np.asarray(prototypes, dtype=np.float64)
    if array.ndim != 2 or len(array) < 2 or array.shape[1] == 0:
        raise CertificationError(f"prototypes must be at least two unit rows [C, D], not of shape {array.shape}")
    norms = np.sqrt(np.einsum("ij,ij->i", array, array))
    wrong = ~(np.abs(norms - 1.0) <= UNIT_SLACK)
    if wrong.any():
        row = int(wrong.argmax())
        raise CertificationError(f"prototypes must have unit rows, but row {row} has norm {norms[row]:.6g}")
    return array


def best_labels(feature: Floats, prototypes: Floats, k: int = 1) -> tuple[int, ...]:
    """The ``k`` labels with the largest inner product with ``feature`` [D], best first; among equals the lower index.

    Raises:
        CertificationError: ``k`` is below 1 or leaves no other label.
    """
    _check_dimension(feature[None, :], prototypes)
    _check_size(k, len(prototypes))
    # A matrix product may give equal rows different last bits, and another order with them.
    scores = np.einsum("ij,j->i", prototypes, feature)
    return tuple(int(index) for index in np.argsort(-scores, kind="stable")[:k])


def same_labels(own: Sequence[int], members: Sequence[int], twins: Sequence[int]) -> bool:
    """Whether what is said of ``members`` holds for the labels ``own``: the same set, or a twin of one label."""
    return set(own) == set(members) or (len(own) == len(members) == 1 and own[0] in twins)


def voted_labels(features: Floats, prototypes: Floats, k: int = 1) -> tuple[int, ...]:
    """The set of ``k`` best labels that most of the features [n, D] have, best for their mean first.

    Raises:
        CertificationError: ``k`` is below 1 or leaves no other label.
    """
    _check_size(k, len(prototypes))
    _check_dimension(features, prototypes)
    votes: Counter[tuple[int, ...]] = Counter()
    first = _first_equal(prototypes)
    for rows in _slices(len(features), max(1, _MOST_NUMBERS // len(prototypes))):
        scores = (features[rows] @ prototypes.T)[:, first]
        best = scores.argmax(axis=1)[:, None] if k == 1 else np.argsort(-scores, axis=1, kind="stable")[:, :k]
        votes.update(tuple(sorted(int(index) for index in row)) for row in best)
    most = max(votes.values())
    # Among sets with as many votes the lowest indices: any fixed rule will do.
    chosen = min(labels for labels, count in votes.items() if count == most)
    mean = features.mean(axis=0)
    return tuple(sorted(chosen, key=lambda index: -float(prototypes[index] @ mean)))


def _first_equal(prototypes: Floats) -> npt.NDArray[np.int64]:
    """[C] the lowest label with the very same prototype."""
    seen: dict[bytes, int] = {}
    return np.array([seen.setdefault(row.tobytes(), index) for index, row in enumerate(prototypes)], dtype=np.int64)


def _check_size(k: int, count: int) -> None:
    if not 1 <= k < count:
        raise CertificationError(f"top_k must lie in 1 .. {count - 1} for {count} prototypes, not {k}")


def _check_dimension(features: Floats, prototypes: Floats) -> None:
    if features.ndim != 2 or features.shape[1] != prototypes.shape[1]:
        raise CertificationError(
            f"features of shape {features.shape} do not match prototypes of {prototypes.shape[1]} dimensions"
        )


def _slices(length: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, length)) for start in range(0, length, size))
