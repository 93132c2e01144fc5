"""What a booster buys on photos that no fit has seen: scores, collapse, and labels of smoothed features.

    python benchmarks/gsb.py --photos PHOTOS --gsb default --draws 16 --json benchmarks/results/gsb.json
    python benchmarks/gsb_table.py benchmarks/results/gsb.json

The second prints the table of docs/gsb.md. Names of photos begin with the WordNet id of their class, as ImageNet's do
(n01440764_tench.JPEG). Each sigma that the booster was fitted at is measured with it and without; those of --bare-sigma
without. A row holds, as means over the photos:

score, cosine      Gaussian robustness score against the clean feature, and what it is as a cosine
length             resultant length: of the mean of ever so many draws' unit features, estimated from their pairs
smoothed_cosine    of the mean of the draws to the clean feature
top_1_of_one       share of single noisy copies whose label is right
top_1              share of photos whose label is right by the mean of the draws
between            mean cosine between single noisy features of different photos
between_smoothed   the same between their means of the draws
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from common import machine
from torch.nn.functional import normalize

from fs_models.encoders import LoadRequest, load_encoder
from fs_models.encoders.frozen import frozen_for_training
from fs_models.encoders.imagenet import imagenet_ids
from fs_models.gsb.checkpoint import read_checkpoint
from fs_models.gsb.fitting.judge import Judge, Part, mean_between
from fs_models.gsb.fitting.workers import workers
from fs_models.gsb.shipped import find_folder
from fs_runtime.preprocess import image_files, prepare

MODEL = "efficientnet-lite0"
_PIECES = 8


def _truth(paths: Sequence[Path]) -> list[int]:
    """The number of each photo's class."""
    numbers = {name: number for number, name in enumerate(imagenet_ids())}
    ids = [path.name.split("_")[0] for path in paths]
    if unknown := [path.name for path, each in zip(paths, ids, strict=True) if each not in numbers]:
        raise SystemExit(f"the name of {unknown[0]} does not begin with the WordNet id of an ImageNet class")
    return [numbers[each] for each in ids]


def _top_1(features: torch.Tensor, prototypes: torch.Tensor, truth: Sequence[int]) -> float:
    found = (features @ prototypes.T).argmax(1)
    return float((found == torch.tensor(truth)).float().mean())


def _length(units: torch.Tensor) -> float:
    """Mean resultant length of the photos' unit features [draws, K, D]; the few draws' own scatter is taken out."""
    draws = len(units)
    squared = (units.double().sum(0).square().sum(1) - draws) / (draws * (draws - 1))
    return float(squared.clamp_min(0.0).sqrt().mean())


def _row(judge: Judge, sigma: float, draws: int, parts: tuple[Part | None, Part | None], labels: tuple) -> dict:  # type: ignore[type-arg]
    purifier, mapper = parts
    raws = [judge.raw(purifier, sigma, draw) for draw in range(draws)]
    verdict = judge.verdict({sigma: raws}, mapper)
    at = torch.tensor([sigma])
    with torch.inference_mode():
        units = torch.stack([normalize(raw if mapper is None else mapper(raw, at), dim=1) for raw in raws])
    mean = units.mean(0)
    smoothed = normalize(mean, dim=1)
    return {
        "sigma": sigma,
        "gsb": purifier is not None,
        "score": verdict.scores[sigma],
        "cosine": 2.0 * verdict.scores[sigma] - 1.0,
        "length": _length(units),
        "smoothed_cosine": float((smoothed * judge.clean).sum(1).mean()),
        "top_1_of_one": sum(_top_1(each, *labels) for each in units) / draws,
        "top_1": _top_1(mean, *labels),
        "between": verdict.between,
        "between_smoothed": mean_between(smoothed),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--gsb", default="default")
    parser.add_argument("--every", type=int, default=1, help="take every so many-th photo")
    parser.add_argument("--draws", type=int, default=4, help="noisy copies of a photo, two or more")
    parser.add_argument("--bare-sigma", type=float, nargs="*", default=[0.5], help="measured without the booster only")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, help="where the figures go too")
    arguments = parser.parse_args()
    if arguments.draws < 2:
        parser.error("--draws must be at least 2: the resultant length comes from pairs of them")
    encoder = load_encoder(LoadRequest(MODEL))
    folder = find_folder(arguments.gsb, encoder.spec)
    assert folder is not None
    checkpoint = read_checkpoint(folder)
    paths = image_files(arguments.photos)[:: arguments.every]
    prototypes = normalize(encoder.prototypes()["imagenet"].vectors, dim=1)
    labels = prototypes, _truth(paths)
    pixels = torch.from_numpy(np.concatenate([prepare(path, encoder.spec.preprocess).pixel_values for path in paths]))
    cpu = torch.device("cpu")
    with workers(arguments.threads, cpu, _PIECES) as crew:
        judge = Judge.of(frozen_for_training(encoder, cpu), pixels, checkpoint.config.sigmas, 0, crew)
        clean = {"photos": len(paths), "draws": arguments.draws, "gsb_sha256": checkpoint.sha256}
        clean |= {"clean_top_1": _top_1(judge.clean, *labels), "clean_between": judge.clean_between}
        print(json.dumps(clean), flush=True)
        rows = []
        bare, boosted = (None, None), (checkpoint.purifier, checkpoint.mapper)
        asked = [(sigma, parts) for sigma in judge.sigmas for parts in (bare, boosted)]
        asked += [(sigma, bare) for sigma in arguments.bare_sigma if sigma not in judge.sigmas]
        for sigma, parts in asked:
            rows.append(_row(judge, sigma, arguments.draws, parts, labels))
            print(json.dumps(rows[-1]), flush=True)
    if arguments.json:
        document = {"schema_version": 1, "benchmark": "gsb", "machine": machine(), **clean, "rows": rows}
        arguments.json.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
