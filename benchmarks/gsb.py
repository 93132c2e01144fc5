"""What a booster buys on photos that no fit has seen: scores, collapse, and labels of smoothed features.

    python benchmarks/gsb.py --photos PHOTOS --gsb default --every 2 --draws 4

Names of photos begin with the WordNet id of their class, as ImageNet's do; the folders beside PHOTOS count for the
order of the classes, which must be all 1,000 together.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import normalize

from fs_models.encoders import LoadRequest, load_encoder
from fs_models.gsb.checkpoint import read_checkpoint
from fs_models.gsb.fitting.frozen import frozen_for_training
from fs_models.gsb.fitting.judge import Judge, Part
from fs_models.gsb.fitting.workers import workers
from fs_models.gsb.shipped import find_folder
from fs_runtime.preprocess import image_files, prepare

MODEL = "efficientnet-lite0"
_PIECES = 8


def _classes(photos: Path) -> list[str]:
    return sorted({path.name.split("_")[0] for path in image_files(photos.parent)})


def _top_1(features: torch.Tensor, prototypes: torch.Tensor, truth: Sequence[int]) -> float:
    found = (features @ prototypes.T).argmax(1)
    return float((found == torch.tensor(truth)).float().mean())


def _row(judge: Judge, sigma: float, draws: int, parts: tuple[Part | None, Part | None], labels: tuple) -> dict:  # type: ignore[type-arg]
    purifier, mapper = parts
    raws = [judge.raw(purifier, sigma, draw) for draw in range(draws)]
    verdict = judge.verdict({sigma: raws}, mapper)
    at = torch.tensor([sigma])
    with torch.inference_mode():
        units = torch.stack([normalize(raw if mapper is None else mapper(raw, at), dim=1) for raw in raws])
    mean = units.mean(0)
    return {
        "sigma": sigma,
        "gsb": purifier is not None,
        "score": verdict.scores[sigma],
        "cosine": 2.0 * verdict.scores[sigma] - 1.0,
        "between": verdict.between,
        "smoothed_cosine": float((normalize(mean, dim=1) * judge.clean).sum(1).mean()),
        "top_1": _top_1(mean, *labels),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--gsb", default="default")
    parser.add_argument("--every", type=int, default=1, help="take every so many-th photo")
    parser.add_argument("--draws", type=int, default=4)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, help="where the figures go too")
    arguments = parser.parse_args()
    encoder = load_encoder(LoadRequest(MODEL))
    folder = find_folder(arguments.gsb, encoder.spec)
    assert folder is not None
    checkpoint = read_checkpoint(folder)
    paths = image_files(arguments.photos)[:: arguments.every]
    classes = _classes(arguments.photos)
    prototypes = normalize(encoder.prototypes()["imagenet"].vectors, dim=1)
    if len(classes) != len(prototypes):
        raise SystemExit(f"{arguments.photos.parent} holds photos of {len(classes)} classes, not {len(prototypes)}")
    labels = (prototypes, [classes.index(path.name.split("_")[0]) for path in paths])
    pixels = torch.from_numpy(np.concatenate([prepare(path, encoder.spec.preprocess).pixel_values for path in paths]))
    cpu = torch.device("cpu")
    with workers(arguments.threads, cpu, _PIECES) as crew:
        judge = Judge.of(frozen_for_training(encoder, cpu), pixels, checkpoint.config.sigmas, 0, crew)
        clean = {"photos": len(paths), "draws": arguments.draws, "gsb_sha256": checkpoint.sha256}
        clean |= {"clean_top_1": _top_1(judge.clean, *labels), "clean_between": judge.clean_between}
        print(json.dumps(clean), flush=True)
        rows = []
        for sigma in judge.sigmas:
            for parts in ((None, None), (checkpoint.purifier, checkpoint.mapper)):
                rows.append(_row(judge, sigma, arguments.draws, parts, labels))
                print(json.dumps(rows[-1]), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps({**clean, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
