"""A search for the encoders that certificates break on most often, or come closest to breaking on.

What it finds is kept by parameters in ``worst_encoders.json`` and run again with fresh draws: a search that simulates a
few dozen certificates an encoder picks lucky ones, so its own counts prove nothing.
"""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast, get_args

import numpy as np
from helpers.adversarial_encoders import Recipe, critical_recipe, mutated, random_recipe
from helpers.simulated_certificates import Violations, count_violations, remembered_bounds
from helpers.simulated_labels import LabelledEncoder, LostLabels, count_lost_labels, fan

from fs_runtime.certification import Bound
from fs_runtime.certification.prediction import Kind

Subject = Literal["gram", "angle-law", "cone", "fcsb", "score", "label-cone", "margin", "vote"]
WORST_ENCODERS = Path(__file__).with_name("worst_encoders.json")
PILOT = 64
_LABELS = ("label-cone", "margin", "vote")
_CHEAP = (*_LABELS, "angle-law")
_TILT = 0.9
_CLOSENESS = 0.05


@dataclass(frozen=True)
class Case:
    """What an encoder is the worst for.

    Attributes:
        subject: a bound of features, their score, or a kind of label certificate.
        draws: certifying draws, or the most of them.
        alpha: of each certificate.
        looks: 1: draws fixed beforehand; more: any-time bounds, looked at so often.
    """

    subject: Subject
    draws: int
    alpha: float
    looks: int = 1

    @property
    def name(self) -> str:
        """Short and unique."""
        return f"worst-{self.subject}-{self.draws}" + ("-stopping" if self.looks > 1 else "")


CASES = (
    Case("angle-law", 64, 0.05),
    Case("angle-law", 512, 0.05),
    Case("angle-law", 512, 0.001),
    Case("angle-law", 10_000, 0.05),
    Case("angle-law", 512, 0.05, looks=8),
    Case("gram", 64, 0.05),
    Case("gram", 256, 0.05, looks=3),
    Case("cone", 256, 0.05),
    Case("fcsb", 256, 0.05),
    Case("score", 256, 0.05),
    Case("score", 512, 0.05, looks=8),
    Case("label-cone", 512, 0.05),
    Case("margin", 512, 0.05),
    Case("margin", 512, 0.05, looks=8),
    Case("vote", 512, 0.05),
    Case("vote", 512, 0.05, looks=8),
)


@dataclass(frozen=True)
class Worst:
    """The worst encoder found for a case, and the arguments of :func:`search` that find it again."""

    case: Case
    recipe: Recipe
    seed: int
    random: int
    refined: int
    runs: int


def run_case(
    case: Case, recipe: Recipe, rng: np.random.Generator, *, runs: int, solve_every: int = 1
) -> Violations | LostLabels:
    """``runs`` certificates of one case on one encoder."""
    encoder = recipe.encoder(case.name)
    settings = {"draws": case.draws, "pilot": PILOT, "alpha": case.alpha, "runs": runs, "looks": case.looks}
    if case.subject in _LABELS:
        labelled = LabelledEncoder(encoder, fan(encoder.features.shape[2], 0.0, _TILT))
        kind = cast("Kind", case.subject.removeprefix("label-"))
        return count_lost_labels(labelled, rng, kind=kind, solve_every=solve_every, **cast("Any", settings))
    # Every certificate has a score; that of the cheapest bound is taken.
    bound = cast("Bound", "fcsb" if case.subject == "score" else case.subject)
    lines = count_violations(encoder, rng, bounds=(bound,), solve_every=solve_every, **cast("Any", settings))
    return next(line for line in lines if line.bound == case.subject)


def loss(line: Violations | LostLabels) -> float:
    """Smaller is worse for the certificate: first how often it breaks, then how close it comes."""
    return -line.violations / line.runs + _CLOSENESS * line.closest


def search(case: Case, seed: int, *, random: int, refined: int, runs: int) -> Worst:
    """Critical and random recipes, then neighbours of the best in steps that shrink; equal draws for all encoders."""
    rng = np.random.default_rng([seed, *case.name.encode(), round(1.0 / case.alpha)])
    # At the case's own alpha, .001 say, hardly any of so few certificates would break.
    eager = replace(case, alpha=max(case.alpha, 0.05))

    def badness(recipe: Recipe) -> float:
        return loss(
            run_case(eager, recipe, np.random.default_rng(seed), runs=runs, solve_every=6 if case.looks == 1 else 12)
        )

    with remembered_bounds():
        started = [critical_recipe(case.draws, eager.alpha, share) for share in (1, 3, 6)]
        started += [random_recipe(rng, case.draws, eager.alpha) for _ in range(random)]
        best = min(started, key=badness)
        lowest = badness(best)
        for number in range(refined):
            tried = mutated(best, rng, 0.4 * 0.1 ** (number / max(refined, 1)))
            found = badness(tried)
            if found < lowest:
                best, lowest = tried, found
    return Worst(case, best, seed, random, refined, runs)


def read_worst(path: Path = WORST_ENCODERS) -> list[Worst]:
    """The worst encoders that were found, in the order of the file."""
    rows = json.loads(path.read_text(encoding="utf-8"))["encoders"]
    return [_worst_of(row) for row in rows]


def write_worst(found: list[Worst], path: Path = WORST_ENCODERS) -> None:
    """Write them."""
    document = {"encoders": [asdict(worst) for worst in found]}
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def _worst_of(row: dict[str, Any]) -> Worst:
    case = Case(**row["case"])
    if case.subject not in get_args(Subject):
        raise ValueError(f"{WORST_ENCODERS.name} has a case for {case.subject!r}, which is nothing that is certified")
    recipe = Recipe(**{name: tuple(values) for name, values in row["recipe"].items()})
    return Worst(case, recipe, row["seed"], row["random"], row["refined"], row["runs"])
