"""The photos that the shipped booster was fitted on, from two public repositories.

    python recipes/booster_photos.py CLONES -o PHOTOS
    fs-export fit efficientnet-lite0 --data PHOTOS --sigma 0.1,0.25 --minutes 80 --threads 2 -o GSB

clones what is not yet in CLONES (a clone in CLONES/owner/name is used as it is, bare or not), and writes 1,000 photos:
of imagenet-sample-images those of the 1st, 3rd, 5th, ... class by WordNet id, as the others judge the booster
(benchmarks/gsb.py), and all of BSDS500.
"""

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import click


@dataclass(frozen=True)
class Source:
    """Photos in a repository.

    Attributes:
        repository: on GitHub.
        commit: that was used.
        paths: of its photos.
        every: so many-th photo by name is taken, the first one too.
    """

    repository: str
    commit: str
    paths: str
    every: int = 1


SOURCES = (
    Source(
        "EliSchwartz/imagenet-sample-images",
        "bc69043e2862758a1906c6a24a792bb28c6bb2ff",
        r"n\d+_[^/]*\.JPEG",
        every=2,
    ),
    Source("BIDS/BSDS500", "a04b7c6c3a9f0ace74bf205c72a43d32e1c72722", r"BSDS500/data/images/\w+/\d+\.jpg"),
)


@click.command(help=__doc__.splitlines()[0])
@click.argument("clones", type=click.Path(path_type=Path, file_okay=False))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder to make.")
def main(clones: Path, output: Path) -> None:
    """Clone, choose and write."""
    if output.exists():
        raise click.UsageError(f"-o {output} exists: remove it or name another folder")
    for source in SOURCES:
        clone(source, clones)
    output.mkdir(parents=True)
    for source in SOURCES:
        for name, content in photos(source, clones):
            (output / name).write_bytes(content)
        click.echo(f"{source.repository}: {sum(1 for _ in output.iterdir())} photos in {output} by now", err=True)


def clone(source: Source, clones: Path) -> None:
    """Clone a repository that is not there, and see that it has the commit."""
    folder = clones / source.repository
    if not folder.exists():
        subprocess.run(["git", "clone", f"https://github.com/{source.repository}.git", str(folder)], check=True)
    found = subprocess.run(["git", "-C", str(folder), "cat-file", "-e", f"{source.commit}^{{commit}}"], check=False)
    if found.returncode:
        raise click.ClickException(f"{folder} has no commit {source.commit}: fetch it there")


def photos(source: Source, clones: Path) -> Iterator[tuple[str, bytes]]:
    """Names and contents of a source's photos."""
    folder = clones / source.repository
    paths = git(folder, "ls-tree", "-r", "-z", "--name-only", source.commit).decode().split("\0")
    for path in sorted(path for path in paths if re.fullmatch(source.paths, path))[:: source.every]:
        yield PurePosixPath(path).name, git(folder, "cat-file", "blob", f"{source.commit}:{path}")


def git(folder: Path, *arguments: str) -> bytes:
    """What git prints."""
    return subprocess.run(["git", "-C", str(folder), *arguments], check=True, capture_output=True).stdout


if __name__ == "__main__":
    main()
