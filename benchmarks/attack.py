"""Does a white-box attack ever turn a smoothed feature further than certified? EfficientNet-Lite0, alpha 0.001.

    python benchmarks/attack.py --photos DIR --limit 4

certifies each photo on the bundle (default: scikit-image's four), then attacks it at r = sigma/4, sigma/2 and sigma by
projected gradient descent through the PyTorch module of the same graph (fs_exporters.evaluation.attack), away from the
certified reference and towards the next photo's, and keeps the attack that turned the feature furthest. Pixels are not
clipped to [0, 1]: a certificate covers every perturbation, and unclipped attacks are stronger. Then the bundle measures
the smoothed feature at the attacked pixels with fresh draws: its angle to the reference, the draws' scatter taken out,
and a lower confidence bound of that angle at the same alpha. Writes benchmarks/results/attack.json. Exit code 1 where a
lower bound exceeds the certified angle.
"""

import math
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from common import (
    MODEL,
    bundle_folder,
    bundle_option,
    console,
    options,
    photos,
    photos_option,
    progress_bar,
    quartiles,
    verdict,
    write_results,
)
from drawn import FeatureSource, Floats, keep_option
from rich.progress import Progress
from rich.table import Table

from fs_exporters.evaluation.attack import L2, Loss, OfMean, Pgd, targeted, turning
from fs_exporters.evaluation.turned import Turned, turned
from fs_exporters.graph import SmoothedGraph, smoothed_graph
from fs_models.encoders import LoadRequest, load_encoder
from fs_models.gsb import no_booster
from fs_runtime.bundle import read_bundle
from fs_runtime.certification import CertifiedCurve, certify_features, reference_of
from fs_runtime.grid import to_grid
from fs_runtime.preprocess import PreparedImage

SIGMA = 0.25
ALPHA = 1e-3
PILOT = 128
RADII = {"sigma/4": 0.25, "sigma/2": 0.5, "sigma": 1.0}
CHOOSING = 128
"""Draws by which the strongest attack is chosen."""


@dataclass(frozen=True, eq=False)
class Certified:
    """A photo and its certificate: the one that ``encoder.certify`` makes of the same draws.

    Attributes:
        name: of the photo's file.
        image: as the graph receives it.
        reference: [D] the certified feature.
        curve: over images on the grid.
        grid_cost: what the grid takes from a radius.
    """

    name: str
    image: PreparedImage
    reference: Floats
    curve: CertifiedCurve
    grid_cost: float

    @classmethod
    def made(cls, source: FeatureSource, photo: Path, draws: int, seed: int) -> "Certified":
        """Certify a photo by gram, the number of draws fixed beforehand."""
        image = source.prepared(photo)
        drawn = source.draw(image, pilot=PILOT, draws=draws, seed=seed)
        curve = certify_features(drawn.pilot, drawn.features, sigma=source.manifest.sigma, alpha=ALPHA)
        return cls(photo.name, image, reference_of(drawn.pilot.mean(axis=0)), curve, drawn.grid_cost)

    def degrees(self, radius: float) -> float:
        """Certified degrees at a radius over the graph's pixels."""
        return math.degrees(self.curve.angle(radius + self.grid_cost if radius > 0.0 else radius))


@dataclass(frozen=True)
class Attacker:
    """The white-box attack, and what measures it.

    Attributes:
        source: the bundle.
        module: the PyTorch module that the bundle was traced from.
        device: of the module.
        steps: gradient steps.
        draws: noisy copies a step.
        restarts: beginnings of each loss.
        measuring: fresh draws at the attacked pixels; a quarter of them choose the direction across.
        seed: of the attack; the measurement's noise differs from it and from the certificate's.
    """

    source: FeatureSource
    module: SmoothedGraph
    device: str
    steps: int
    draws: int
    restarts: int
    measuring: int
    seed: int

    def measured(self, image: PreparedImage, reference: Floats, draws: int, seed: int) -> Turned:
        """The angle of the smoothed feature at an image, from fresh draws."""
        drawn = self.source.draw(image, pilot=draws // 4, draws=draws - draws // 4, seed=seed)
        return turned(drawn.pilot, drawn.features, reference, ALPHA)

    def strongest(
        self, image: PreparedImage, reference: Floats, target: Floats, radius: float, seed: int
    ) -> tuple[PreparedImage, str]:
        """The attacked image that turned the feature furthest, and by which loss."""
        attacks = Pgd(L2(radius), self.source.manifest.sigma, self.steps, self.draws, boxed=False)
        losses: dict[str, Loss] = {
            "turning": turning(self._tensor(reference)),
            "targeted": targeted(self._tensor(target)),
        }
        pixels = self._tensor(image.pixel_values)
        generator = torch.Generator(self.device).manual_seed(seed)
        best = (-1.0, image, "")
        for name, loss in losses.items():
            for _ in range(self.restarts):
                found = attacks.attacked(self.module.unit_features, pixels, OfMean(loss), generator)
                delta = found.double().cpu().numpy()
                delta *= min(1.0, radius / float(np.linalg.norm(delta)))
                attacked = replace(image, pixel_values=to_grid(image.pixel_values + delta))
                angle = self.measured(attacked, reference, CHOOSING, self.seed + 1).estimate
                best = max(best, (angle, attacked, name), key=lambda found: found[0])
        return best[1:]

    def _tensor(self, values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(values.astype(np.float32)).to(self.device)


def rows_of(attacker: Attacker, certified: list[Certified], bar: Progress) -> list[dict[str, Any]]:
    """A row for every photo and radius; radius 0 is the photo itself."""
    rows = []
    task = bar.add_task("attacks", total=len(certified) * len(RADII))
    sigma = attacker.source.manifest.sigma
    for number, photo in enumerate(certified):
        target = certified[(number + 1) % len(certified)].reference
        for name, part in {"0": 0.0, **RADII}.items():
            radius = part * sigma
            attacked, loss = photo.image, "none"
            if radius > 0.0:
                attacked, loss = attacker.strongest(
                    photo.image, photo.reference, target, radius, attacker.seed + number
                )
                bar.advance(task)
            found = attacker.measured(attacked, photo.reference, attacker.measuring, attacker.seed + 2)
            degrees = photo.degrees(radius)
            rows.append(
                {
                    "photo": photo.name,
                    "radius": name,
                    "loss": loss,
                    "attacked": found.estimate,
                    "attacked_lower": found.lower,
                    "certified": degrees,
                    "broken": found.lower > degrees,
                }
            )
    return rows


def table_of(rows: list[dict[str, Any]], sigma: float) -> Table:
    """Attacked and certified degrees."""
    table = Table(title=f"Degrees to the certified reference, {MODEL}, sigma {sigma}, alpha {ALPHA}")
    for name in ("photo", "loss"):
        table.add_column(name)
    for name in ("r", "attacked", "at least", "certified", "share"):
        table.add_column(name, justify="right")
    table.add_column("")
    for row in rows:
        numbers = (f"{row[name]:.2f}" for name in ("attacked", "attacked_lower", "certified"))
        share = f"{row['attacked'] / row['certified']:.2f}"
        outcome = "[bold red]broken[/]" if row["broken"] else "[green]holds[/]"
        table.add_row(row["photo"], row["loss"], row["radius"], *numbers, share, outcome)
    return table


def _is_of_model(bundle: Path) -> bool:
    manifest = read_bundle(bundle).manifest
    return manifest.source.model == MODEL and manifest.gsb is None


@click.command(help=__doc__.splitlines()[0])
@photos_option
@click.option("--limit", type=click.IntRange(min=2), default=4, show_default=True, help="Photos, evenly spaced.")
@click.option("--sigma", type=float, help=f"Of the bundle; default: that of --bundle, else {SIGMA}.")
@click.option("--steps", type=click.IntRange(min=1), default=20, show_default=True, help="Gradient steps.")
@click.option("--draws", type=click.IntRange(min=2), default=8, show_default=True, help="Noisy copies a step, even.")
@click.option("--restarts", type=click.IntRange(min=1), default=1, show_default=True, help="Beginnings of each loss.")
@click.option(
    "--certifying", type=click.IntRange(min=64), default=2_048, show_default=True, help="Draws of a certificate."
)
@click.option(
    "--measuring", type=click.IntRange(min=64), default=2_048, show_default=True, help="Fresh draws at attacked pixels."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--device", default="cpu", show_default=True, help="Where PyTorch attacks, such as cuda.")
@click.option("--runtime-device", default="cpu", show_default=True, help="Where the bundle runs, such as cuda:0.")
@keep_option
@click.option("--threads", type=click.IntRange(min=1), default=2, show_default=True)
@bundle_option
def main(
    folder: Path | None,
    limit: int,
    sigma: float | None,
    steps: int,
    draws: int,
    restarts: int,
    certifying: int,
    measuring: int,
    seed: int,
    device: str,
    runtime_device: str,
    keep: Path | None,
    threads: int,
    bundle: Path | None,
) -> None:
    """Certify, attack, measure, print, write."""
    if draws % 2:
        raise click.UsageError(f"--draws must be even, not {draws}: every noise comes with its negative")
    chosen = photos(folder, limit)
    if len(chosen) < 2:
        raise click.UsageError("--photos must hold two photos: one is the other's target")
    if bundle is not None and not _is_of_model(bundle):
        raise click.UsageError(
            f"--bundle is not of {MODEL} without a GSB, whose module is attacked: name such a bundle"
        )
    torch.set_num_threads(threads)
    module = smoothed_graph(load_encoder(LoadRequest(MODEL)), no_booster(), images=1).requires_grad_(False)
    try:
        module = module.to(device)
    except (RuntimeError, AssertionError) as error:
        raise click.UsageError(f"--device {device} cannot be used here ({error}): name another, such as cpu") from error
    with (
        bundle_folder(bundle, sigma=sigma or SIGMA, noise_batch=32, threads=threads) as opened,
        FeatureSource(opened, threads=threads, device=runtime_device, keep=keep) as source,
        progress_bar() as bar,
    ):
        if sigma not in (None, source.manifest.sigma):
            raise click.UsageError(f"--bundle has sigma {source.manifest.sigma}, not {sigma}: leave --sigma out")
        task = bar.add_task("certificates", total=len(chosen))
        certified = []
        for photo in chosen:
            certified.append(Certified.made(source, photo, certifying, seed))
            bar.advance(task)
        attacker = Attacker(source, module, device, steps, draws, restarts, measuring, seed)
        rows = rows_of(attacker, certified, bar)
        sigma = source.manifest.sigma
    console.print(table_of(rows, sigma))
    broken = sum(row["broken"] for row in rows)
    console.print(f"certificates broken: {broken} of {len(rows)}, target 0: {verdict(broken == 0)}")
    shares = {
        name: quartiles([row["attacked"] / row["certified"] for row in rows if row["radius"] == name]) for name in RADII
    }
    setting = {"model": MODEL, "sigma": sigma, "alpha": ALPHA, "photos": [photo.name for photo in chosen]}
    targets = [{"what": "certificates broken", "value": broken, "target": 0, "met": broken == 0}]
    results = {"results": rows, "attacked_over_certified": shares, "targets": targets}
    write_results("attack", {"options": options(), "setting": setting, **results})
    sys.exit(broken > 0)


if __name__ == "__main__":
    main()
