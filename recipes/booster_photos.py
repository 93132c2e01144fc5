"""The photos that the shipped booster was fitted on, collected from public repositories.

    python recipes/booster_photos.py CLONES -o PHOTOS
    fs-export fit efficientnet-lite0 --data PHOTOS --sigma 0.1,0.25 --minutes 72 --threads 2 -o GSB

clones what is not yet in CLONES (some 3 GB; a clone in CLONES/owner/name is used as it is, bare or not). Photos of
every second ImageNet class by WordNet id are left out: those of imagenet-sample-images judge the booster
(benchmarks/gsb.py), and no photo that looks like one of them is taken either.
"""

import io
import random
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import click
import numpy as np
import numpy.typing as npt
from PIL import Image
from rich.console import Console
from rich.table import Table

SHORT_SIDE, LEAST_SIDE, LONGEST = 256, 150, 4
QUALITY = 92
LEAST_BYTES = 3000
THUMBNAIL = 16
SAME_AS_SAMPLE, SAME_AS_OTHER = 0.985, 0.99
"""Correlation of two photos' thumbnails from which they count as one."""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Source:
    """Photos in a repository.

    Attributes:
        name: begins the names of its photos here.
        repository: on GitHub.
        commit: that was used.
        paths: expression that a path must hold.
        most: photos at most, in a random order that is always the same.
        most_in_folder: likewise, of each folder.
        uniform: share of purely white or black pixels from which a picture counts as a cut-out or a scan.
        by_class: names begin with a WordNet id.
    """

    name: str
    repository: str
    commit: str
    paths: str = "."
    most: int = 10_000
    most_in_folder: int = 10_000
    uniform: float = 1.0
    by_class: bool = False


SAMPLES = Source(
    "", "EliSchwartz/imagenet-sample-images", "bc69043e2862758a1906c6a24a792bb28c6bb2ff", r"^n\d+", by_class=True
)
WHOLE = Source("", "BIDS/BSDS500", "a04b7c6c3a9f0ace74bf205c72a43d32e1c72722", r"^BSDS500/data/images/")
SOURCES = (
    Source("imagen", "ajschumacher/imagen", "2e8718956e3bb046db9a8e488c2254fd9846b6c5", by_class=True),
    Source(
        "imagenette", "thunderInfy/imagenette", "b850f030ff0701c36a4adc8b928ea9483a46915b", most=1200, by_class=True
    ),
    Source("coco128", "lightly-ai/coco128_yolo", "6d6f7a059ea63efffdbe48aca2d52c04d4c510e9"),
    Source("catdog", "ardamavi/Dog-Cat-Classifier", "9e4f1e1b8eb00fb52c7b1f7e271e573cbe5a2d2f", most=200),
    Source("houses", "emanhamed/Houses-dataset", "5e148219500558089cf5cf121b626b17fdde9b92", most=200),
    Source("raccoon", "experiencor/raccoon_dataset", "27f269ab4d4da6c38ebb16b4a95c5c912a9f1c49", most=100),
    Source("flickr8k", "quantumnaan/sic_translator", "d27da85cff2dbf143fcaf365aece667d66c4298f"),
    Source(
        "caltech101",
        "MachineLearning2020/Homework2-Caltech101",
        "836044dd000296b2bb74d0aa4b4e462e459b01d7",
        r"101_Obj.*/(?!(yin_yang|garfield|snoopy|dollar_bill|Motorbikes|Faces_easy|car_side|BACKGROUND_Google)/)",
        most_in_folder=35,
        uniform=0.06,
    ),
)


class Looked:
    """Thumbnails of the photos so far, by which copies are found."""

    def __init__(self, samples: list[Floats]) -> None:
        self._samples = np.stack(samples)
        self._others: list[Floats] = []

    def refusal(self, thumbnail: Floats) -> str | None:
        """Why a photo is not taken; None: it is, and counts from now on."""
        if float((self._samples @ thumbnail).max()) > SAME_AS_SAMPLE:
            return "like a sample"
        if self._others and float((np.stack(self._others) @ thumbnail).max()) > SAME_AS_OTHER:
            return "twice"
        self._others.append(thumbnail)
        return None


@click.command(help=__doc__.splitlines()[0])
@click.argument("clones", type=click.Path(path_type=Path, file_okay=False))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder to make.")
def main(clones: Path, output: Path) -> None:
    """Clone, choose and write."""
    if output.exists():
        raise click.UsageError(f"-o {output} exists: remove it or name another folder")
    console = Console()
    for source in (SAMPLES, WHOLE, *SOURCES):
        clone(source, clones)
    output.mkdir(parents=True)
    found = list(blobs(SAMPLES, clones))
    classes = sorted(wordnet_id(path) for path, _, _ in found)
    judging = set(classes[1::2])
    for path, _, content in found:
        if wordnet_id(path) not in judging:
            (output / Path(path).name).write_bytes(content)
    for path, _, content in blobs(WHOLE, clones):
        (output / Path(path).name).write_bytes(content)
    looked = Looked([thumbnail(drafted(content)) for _, _, content in sorted(found)])
    table = Table("source", "repository", "taken", "left out")
    for source in SOURCES:
        taken, refused = collect(source, clones, output, looked, judging)
        table.add_row(source.name, source.repository, str(taken), ", ".join(f"{n} {why}" for why, n in refused.items()))
        console.print(f"{source.name}: {taken}")
    console.print(table)
    console.print(f"{sum(1 for _ in output.iterdir())} photos in {output}")


def collect(source: Source, clones: Path, output: Path, looked: Looked, judging: set[str]) -> tuple[int, Counter[str]]:
    """Write a source's photos; how many, and how many were left out why."""
    kept, refused = 0, Counter[str]()
    for path, sha1, content in blobs(source, clones):
        if kept >= source.most:
            break
        photo = opened(content) if len(content) >= LEAST_BYTES else None
        why = "unreadable or small" if photo is None else None
        if photo is not None:
            why = "flat" if is_flat(np.asarray(photo), source.uniform) else looked.refusal(thumbnail(photo))
        if why is None:
            kept += 1
            why = "of judging classes" if source.by_class and wordnet_id(path) in judging else None
        if why is not None:
            refused[why] += 1
            continue
        assert photo is not None
        photo.save(output / f"{source.name}_{sha1[:10]}.jpg", "JPEG", quality=QUALITY)
    return kept - refused["of judging classes"], refused


def clone(source: Source, clones: Path) -> None:
    """Clone a repository that is not there, and see that it has the commit."""
    folder = clones / source.repository
    if not folder.exists():
        address = f"https://github.com/{source.repository}.git"
        subprocess.run(["git", "clone", "--bare", address, str(folder)], check=True)
    if git(folder, "cat-file", "-t", source.commit).strip() != b"commit":
        raise click.ClickException(f"{folder} has no commit {source.commit}: fetch it there")


def blobs(source: Source, clones: Path) -> Iterator[tuple[str, str, bytes]]:
    """Path, SHA-1 and content of a source's files, each content once, in a random order that is always the same."""
    folder, seen, files = clones / source.repository, set[str](), list[tuple[str, str]]()
    for line in git(folder, "ls-tree", "-r", "-z", source.commit).decode("utf8", "replace").split("\0"):
        if not line:
            continue
        facts, path = line.split("\t", 1)
        sha1 = facts.split()[2]
        named = re.search(r"\.(jpe?g|png)$", path, re.IGNORECASE) and re.search(source.paths, path)
        if named and sha1 not in seen:
            seen.add(sha1)
            files.append((path, sha1))
    random.Random(0).shuffle(files)
    in_folder = Counter[PurePosixPath]()
    for path, sha1 in files:
        parent = PurePosixPath(path).parent
        in_folder[parent] += 1
        if in_folder[parent] <= source.most_in_folder:
            yield path, sha1, git(folder, "cat-file", "blob", sha1)


def opened(content: bytes) -> Image.Image | None:
    """A photo as RGB, its shorter side at most ``SHORT_SIDE``; None: it cannot be read, or does not suit."""
    image: Image.Image
    try:
        image = Image.open(io.BytesIO(content))
        short = min(image.size)
        if short < LEAST_SIDE or max(image.size) > LONGEST * short:
            return None
        transparent = image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info
        if transparent and np.asarray(image.convert("RGBA"))[..., 3].min() < 250:
            return None
        if short > 700:
            image.draft("RGB", (image.width * 300 // short, image.height * 300 // short))
        image = image.convert("RGB")
    except (OSError, SyntaxError, ValueError):
        return None
    short = min(image.size)
    if short <= SHORT_SIDE:
        return image
    width, height = (max(SHORT_SIDE, round(side * SHORT_SIDE / short)) for side in image.size)
    return image.resize((width, height), Image.Resampling.LANCZOS)


def is_flat(pixels: npt.NDArray[np.uint8], uniform: float) -> bool:
    """Whether a picture is a drawing, a cut-out on white, or next to empty."""
    coarse = (pixels[::2, ::2] >> 3).astype(np.int32)
    colours = np.bincount((coarse[..., 0] << 10 | coarse[..., 1] << 5 | coarse[..., 2]).ravel())
    if pixels.std() < 12 or colours.max() > 0.45 * coarse[..., 0].size or (colours > 0).sum() < 60:
        return True
    if (np.abs(np.diff(pixels.mean(-1), axis=1)) < 0.34).mean() > 0.6:
        return True
    white, black = (pixels.min(-1) >= 248).mean(), (pixels.max(-1) <= 6).mean()
    return bool(max(white, black) > uniform)


def thumbnail(photo: Image.Image) -> Floats:
    """What two photos are compared by: a small grey picture, centred, of norm 1."""
    grey = np.asarray(photo.convert("L").resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX), np.float32).ravel()
    centred: Floats = grey - grey.mean()
    return np.divide(centred, np.linalg.norm(centred) + 1e-6, dtype=np.float32)


def drafted(content: bytes) -> Image.Image:
    """A photo, decoded small."""
    image = Image.open(io.BytesIO(content))
    image.draft("RGB", (256, 256))
    return image


def wordnet_id(path: str) -> str:
    """The WordNet id that a file's name begins with."""
    return Path(path).name.split("_")[0]


def git(folder: Path, *arguments: str) -> bytes:
    """What git prints."""
    return subprocess.run(["git", "-C", str(folder), *arguments], check=True, capture_output=True).stdout


if __name__ == "__main__":
    main()
