"""What a booster buys: EfficientNet-Lite0 bare, smoothed, and smoothed with a booster, without attack and under it.

    python benchmarks/evaluation.py --photos DIR --gsb GSB --images 200 --size full --device cuda

runs ``fs-export evaluate`` on photos named by WordNet id (``n01440764_tench.JPEG``), prints its tables and writes
benchmarks/results/evaluation.json. Exit code 1 where a target is missed; without a booster there are none. ``--keep``
names a folder for the results as they come, from which a run that was cut off goes on.
"""

import sys
import tempfile
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click
from common import MODEL, console, options, verdict, write_results

from fs_export.evaluation_report import evaluation_watch, show_evaluation
from fs_exporters.evaluation import EFFORTS, EvaluationPlaces, EvaluationSettings, evaluate_model
from fs_exporters.evaluation.summary import ANY, AttackSummary, Summary, SystemSummary
from fs_models.encoders import LoadRequest

LEAST_SCORE = 0.9
MOST_BETWEEN = 0.05
"""By how much the mean cosine between different photos may rise over the bare encoder's."""
LEAST_TOP1 = 0.7
"""Of the bare encoder's on the clean photos."""
LEAST_COSINE = 0.6
"""Certified, to the clean feature, at sigma/2, in the median."""
LEAST_DROP = 5.0
"""The bare encoder's attack success by that with a booster."""


def targets_of(summary: Summary, sigma: float) -> list[dict[str, Any]]:
    """What is wanted of the booster at a sigma; a figure that no photo gives is None and misses its target."""
    systems = {system.system: system for system in summary.systems if system.sigma == sigma}
    if "fs+gsb" not in systems:
        return []
    bare, boosted = systems["encoder"], systems["fs+gsb"]
    certified = next(each for each in boosted.certified if (each.reference, each.share) == ("clean", 0.5))
    made = [
        _target("mean score against the clean feature", boosted.score, LEAST_SCORE),
        _target("median certified cosine to it at sigma/2", certified.median_cosine, LEAST_COSINE),
        _target("top-1 of the bare encoder's", _ratio(boosted, bare), LEAST_TOP1),
        _target("mean cosine between photos, rise", boosted.between - bare.between, MOST_BETWEEN, least=False),
    ]
    attacks = {(each.system, each.norm): each for each in summary.attacks if each.goal == ANY and each.sigma == sigma}
    for norm in ("l2", "linf"):
        pair = attacks.get(("encoder", norm)), attacks.get(("fs+gsb", norm))
        made.append(_target(f"attack success by the bare encoder's, {norm}", _drop(*pair), LEAST_DROP))
    return made


def _target(what: str, value: float | None, target: float, *, least: bool = True) -> dict[str, Any]:
    met = value is not None and (value >= target if least else value <= target)
    return {"what": what, "value": value, "target": target, "met": met}


def _ratio(boosted: SystemSummary, bare: SystemSummary) -> float | None:
    return boosted.right.hits / bare.right.hits if bare.right.hits else None


def _drop(bare: AttackSummary | None, boosted: AttackSummary | None) -> float | None:
    """How many times smaller the success is; with none at all, at least as many as one success would make it."""
    if bare is None or boosted is None or not bare.success.of or not boosted.success.of:
        return None
    return (bare.success.hits / bare.success.of) / (max(boosted.success.hits, 1) / boosted.success.of)


@click.command(help=__doc__.splitlines()[0])
@click.option("--photos", type=click.Path(path_type=Path, exists=True, file_okay=False), required=True)
@click.option("--sigma", type=float, multiple=True, default=(0.25,), show_default=True)
@click.option("--gsb", default="none", show_default=True, help="A booster's folder, or none.")
@click.option("--size", type=click.Choice(list(EFFORTS)), default="small", show_default=True)
@click.option("--images", type=click.IntRange(min=2), help="Default: of --size.")
@click.option("--draws", type=click.IntRange(min=1), help="Certifying draws an image. Default: of --size.")
@click.option("--goals", help="With commas between; default: all.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--device", default="cpu", show_default=True, help="Where PyTorch runs, such as cuda.")
@click.option("--threads", type=click.IntRange(min=1), default=2, show_default=True)
@click.option("--keep", type=click.Path(path_type=Path, file_okay=False), help="Folder of the results as they come.")
def main(
    photos: Path,
    sigma: tuple[float, ...],
    gsb: str,
    size: Any,
    images: int | None,
    draws: int | None,
    goals: str | None,
    seed: int,
    device: str,
    threads: int,
    keep: Path | None,
) -> None:
    """Evaluate, print, write."""
    given = {name: value for name, value in (("images", images), ("draws", draws)) if value is not None}
    settings = EvaluationSettings(
        sigmas=sigma,
        effort=replace(EFFORTS[size], **given),
        goals=None if goals is None else tuple(goals.split(",")),  # type: ignore[arg-type]  # checked
        truth="names",
        seed=seed,
        device=device,
    )
    with (
        tempfile.TemporaryDirectory() if keep is None else nullcontext(str(keep)) as folder,
        evaluation_watch() as watch,
    ):
        places = EvaluationPlaces(Path(folder), resume=True)
        found = evaluate_model(LoadRequest(MODEL), photos, settings, places, gsb=gsb, threads=threads, watch=watch)
    show_evaluation(found)
    targets = [target | {"sigma": each} for each in sigma for target in targets_of(found.summary, each)]
    for target in targets:
        value = "-" if target["value"] is None else f"{target['value']:.3f}"
        console.print(f"{target['what']}, sigma {target['sigma']:g}: {value} ({target['target']:g}) ", end="")
        console.print(verdict(target["met"]))
    setting = {"model": MODEL, "settings": found.facts}
    images_found = [asdict(image) for image in found.images]
    results = {**asdict(found.summary), "images": images_found, "targets": targets}
    write_results("evaluation", {"options": options(), "setting": setting, **results})
    sys.exit(not all(target["met"] for target in targets))


if __name__ == "__main__":
    main()
