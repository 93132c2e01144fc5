"""The tables of an evaluation, as text: for Markdown here, for terminals elsewhere."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from fs_exporters.evaluation.summary import ANY, AttackSummary, Count, Summary, SystemSummary
from fs_exporters.evaluation.systems import TITLES
from fs_runtime.rounding import rounded_down, rounded_up

Facts = dict[str, Any]
_NOTHING = "-"
_VACUOUS = "none"
_REFERENCES = ("clean", "smoothed")
_ANGLES = ("attacked", "certified")
_SHARES = {1.0: "s", 0.5: "s/2", 0.25: "s/4"}


@dataclass(frozen=True)
class Grid:
    """A table of text.

    Attributes:
        title: what it shows.
        columns: names, of one line or two; the first ``words`` hold words, the others numbers.
        rows: cells.
        words: how many columns hold words.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: int


def grids(summary: Summary) -> tuple[Grid, ...]:
    """Without attack, certified, under each kind of attack, and certified beside attacked angles."""
    made = [_smoothness(summary.systems), _certificates(summary.systems)]
    kinds = dict.fromkeys((each.sigma, each.norm, each.radius) for each in summary.attacks if each.norm != "none")
    for sigma, norm, radius in sorted(kinds):
        made.append(_attacks([each for each in summary.attacks if _is_of(each, sigma, norm, radius)]))
    if beside := [each for each in summary.attacks if each.goal == ANY and each.median_certified is not None]:
        made.append(_angles(beside))
    return tuple(made)


def headline(facts: Facts) -> str:
    """What was measured and how hard, in a few sentences."""
    effort = facts["effort"]
    size = f"{effort['steps']} steps of {effort['attack_draws']} noisy copies"
    truth = {
        "none": "right: the label that the bare encoder gives without noise (true labels are not known)",
    }.get(facts["truth"], f"right: the true label ({facts['truth']})")
    parts = [
        f"{facts['model']}, {facts['images']} images, {effort['draws']} draws after {effort['pilot']}, "
        f"alpha {facts['alpha']:g}",
        f"attacks: {size}, measured on {effort['measuring']} fresh draws, pixels "
        + ("in [0, 1]" if facts["boxed"] else "unclipped"),
    ]
    if facts["prototypes"] is not None:
        parts.append(truth)
    if facts["skipped"]:
        parts.append(f"{len(facts['skipped'])} images skipped")
    return "; ".join(parts) + "."


def warnings(facts: Facts, summary: Summary) -> tuple[str, ...]:
    """What a reader must not overlook."""
    made = []
    if facts["weak_attacks"]:
        made.append(
            "These attacks are weak (fewer than 50 steps or 16 noisy copies a step): their success rates are lower "
            "bounds. Use --size full."
        )
    if facts["bundle_precision"] not in (None, "fp32"):
        made.append(f"The bundle is {facts['bundle_precision']}; what was measured is the fp32 encoder that it is of.")
    if broken := sum(attack.broken for attack in summary.attacks if attack.goal == ANY):
        checked = sum(attack.checked for attack in summary.attacks if attack.goal == ANY)
        made.append(
            f"{broken} of {checked} attacks turned a feature further than certified even by a lower confidence bound, "
            f"which chance does at most {4.0 * facts['alpha']:g} of the time each: report this as a bug."
        )
    made += [
        f"{TITLES[own.system]} at sigma {own.sigma:g}, {_norm(own)}, {own.goal}: the attack transferred from the bare "
        f"encoder turned the feature further ({transfer.median_degrees:.1f} degrees in the median) than the one "
        f"through the system ({own.median_degrees:.1f}), so that one is too weak: it needs more steps or draws, or "
        "something masks its gradients."
        for own, transfer in _both(summary.attacks)
        if transfer.median_degrees > 1.05 * own.median_degrees
    ]
    return tuple(made)


def markdown_of(facts: Facts, summary: Summary) -> str:
    """The whole evaluation in Markdown."""
    lines = ["# Evaluation", "", headline(facts), ""]
    for warning in warnings(facts, summary):
        lines += [f"**{warning}**", ""]
    for grid in grids(summary):
        lines += [f"## {grid.title}", "", _row(grid.columns)]
        lines.append(_row(["---" if number < grid.words else "---:" for number in range(len(grid.columns))]))
        lines += [_row(row) for row in grid.rows]
        lines.append("")
    lines += [*_reading(), ""]
    return "\n".join(lines)


def _smoothness(systems: Sequence[SystemSummary]) -> Grid:
    columns = ("system", "sigma", "score", "length", "cosine", "top-1", "one\ncopy", "between")
    rows = [
        (
            TITLES[system.system],
            f"{system.sigma:g}",
            *(_number(value) for value in (system.score, system.resultant_length, system.cosine)),
            _count(system.right),
            _percent(system.draws_right),
            f"{system.between:.2f}",
        )
        for system in systems
    ]
    return Grid("Without attack", columns, tuple(rows), 1)


def _certificates(systems: Sequence[SystemSummary]) -> Grid:
    smoothed = [system for system in systems if system.certified]
    columns = ("system", "sigma", *(f"{each.reference}\n{_SHARES[each.share]}" for each in smoothed[0].certified))
    rows = [
        (TITLES[system.system], f"{system.sigma:g}", *(_cosine(each.median_cosine) for each in system.certified))
        for system in smoothed
    ]
    return Grid("Certified cosines (medians)", columns, tuple(rows), 1)


def _attacks(attacks: Sequence[AttackSummary]) -> Grid:
    """Of one norm and radius at one sigma, and the images themselves."""
    columns = ("system", "attack", "success", "top-1", "cosine", "to\nother")
    rows = [
        (
            TITLES[attack.system],
            _attack(attack),
            _count(attack.success),
            _count(attack.right),
            f"{attack.cosine:.2f}",
            f"{attack.cosine_other:.2f}",
        )
        for attack in attacks
    ]
    last = attacks[-1]
    return Grid(f"Under attack: {_norm(last)}, sigma {last.sigma:g}", columns, tuple(rows), 2)


def _angles(attacks: Sequence[AttackSummary]) -> Grid:
    columns = ("system", "norm", "sigma", *(f"{to}\n{what}" for to in _REFERENCES for what in _ANGLES), "broken")
    rows = [
        (
            TITLES[attack.system],
            _norm(attack),
            f"{attack.sigma:g}",
            f"{attack.median_degrees:.1f}",
            _angle(attack.median_certified),
            f"{attack.median_degrees_smoothed:.1f}",
            _angle(attack.median_certified_smoothed),
            f"{attack.broken}/{attack.checked}",
        )
        for attack in attacks
    ]
    return Grid("Attacked and certified angles (degrees, medians)", columns, tuple(rows), 1)


def _reading() -> tuple[str, ...]:
    return (
        "Score: mean Gaussian robustness score against the clean feature (the bare encoder's, without noise and GSB). "
        "Length: mean resultant length. Cosine: of the smoothed feature to the clean feature. Top-1: of the smoothed "
        "feature (encoder: of the clean image). One copy: share of single noisy copies that are labelled right "
        "(encoder: those of FS, as it is the same network). Between: mean cosine between different images. "
        "`clean s/2`: certified cosine to the clean feature at r = sigma/2; `smoothed`: to the system's own feature; "
        "`none`: nothing is certified.",
        "",
        "Success: of the images for which the goal was not there before. `any`: the label was changed by some attack "
        "of this norm, whatever it wanted and wherever it was made. Cosine and angles: of the attacked feature to the "
        "clean feature (for `any` of each image's furthest turn); to other: to the clean feature of the image that "
        "attacks aim at. No attack: the image itself, measured on as few draws as attacked ones; chance alone changes "
        "labels so often. Attacks are lower bounds of what an attacker can do, certificates upper bounds.",
    )


def _both(attacks: Sequence[AttackSummary]) -> Iterator[tuple[AttackSummary, AttackSummary]]:
    """The goal ``turn`` through a system, and transferred to it."""
    transferred = {
        _place(attack): attack for attack in attacks if attack.goal == "turn" and attack.source == "transfer"
    }
    for attack in attacks:
        if attack.goal == "turn" and attack.source == "white-box" and _place(attack) in transferred:
            yield attack, transferred[_place(attack)]


def _place(attack: AttackSummary) -> tuple[str, float, str, float]:
    return attack.system, attack.sigma, attack.norm, attack.radius


def _is_of(attack: AttackSummary, sigma: float, norm: str, radius: float) -> bool:
    return attack.sigma == sigma and (attack.norm == "none" or (attack.norm, attack.radius) == (norm, radius))


def _attack(attack: AttackSummary) -> str:
    if attack.norm == "none":
        return "no attack"
    return ANY if attack.goal == ANY else f"{attack.goal}, {attack.source}"


def _norm(attack: AttackSummary) -> str:
    if attack.norm == "linf":
        return f"linf {attack.radius * 255.0:.3g}/255"
    return f"l2 {attack.radius:.3g}"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _count(count: Count) -> str:
    return _NOTHING if count.share is None else f"{100.0 * count.share:.0f}% ({count.hits}/{count.of})"


def _percent(share: float | None) -> str:
    return _NOTHING if share is None else f"{100.0 * share:.0f}%"


def _number(value: float | None) -> str:
    return _NOTHING if value is None else f"{value:.3f}"


def _cosine(cosine: float) -> str:
    return _VACUOUS if cosine == -1.0 else rounded_down(cosine, 2)


def _angle(degrees: float | None) -> str:
    return _NOTHING if degrees is None else _VACUOUS if degrees == 180.0 else rounded_up(degrees, 1)
