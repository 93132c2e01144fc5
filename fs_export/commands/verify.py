"""``fs-export verify``: does a bundle still compute what its encoder computes?"""

from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from fs_export import options
from fs_runtime.cli.options import as_json, bundle, expect_sha256, threads
from fs_runtime.cli.terminal import printable

if TYPE_CHECKING:
    from fs_runtime.bundle.manifest import Parity


@click.command()
@bundle
@threads
@expect_sha256
@click.option("--model", metavar="MODEL", help="Where the encoder is now, if not where the manifest says.")
@click.option("--gsb", type=click.Path(path_type=Path), metavar="DIR", help="Where the bundle's booster is, if fitted.")
@options.parity_draws
@options.trusting
@as_json
def verify(
    bundle: Path,
    threads: int | None,
    expect_sha256: str | None,
    model: str | None,
    gsb: Path | None,
    parity_draws: int,
    trust_pickle: bool,
    trust_remote_code: bool,
    as_json: bool,
) -> None:
    """Check a bundle's hashes, load its encoder again, and hold the graph against it. Exit code 3 if they differ.

    It says what ran the graph, and what this does not check: a bf16 graph cannot run on a CPU, so another one that
    rounds alike is run in its place. Plans are held against the graph where the GPU that they are for is here; of the
    others it says that this was not run.
    """
    from fs_exporters.pipeline import parity_line
    from fs_exporters.tensorrt import verify_engines
    from fs_exporters.verify import verify_bundle
    from fs_runtime.bundle import read_bundle
    from fs_runtime.cuda_driver import ask_driver
    from fs_runtime.environment import default_threads

    parity = verify_bundle(
        bundle,
        threads=threads,
        parity_draws=parity_draws,
        expect_sha256=expect_sha256,
        model=model,
        gsb=gsb,
        trust_pickle=trust_pickle,
        trust_remote_code=trust_remote_code,
    )
    read = read_bundle(bundle, expect_sha256=expect_sha256)
    verdicts = verify_engines(read, ask_driver(), threads=threads or default_threads()) if read.manifest.engines else ()
    if as_json:
        engines = [
            {"file": each.engine.file, "parity": each.parity, "parity_not_run": each.not_run} for each in verdicts
        ]
        line = {"schema": "fs-export/verify/1", "path": str(bundle), "parity": parity, "engines": engines}
        click.echo(msgspec.json.encode(line))
    else:
        precision = read.manifest.graphs[0].precision
        # A graph of fp32 is the module but for rounding; of the others a difference is allowed.
        within = "" if precision == "fp32" else f", within what {precision} is allowed"
        same = f"computes what its encoder computes{within}: {parity_line(parity)}"
        lines = [f"{bundle}: whole, and {same}", *_what_ran(parity)]
        for each in verdicts:
            outcome = f"parity not run, {each.not_run}" if each.parity is None else parity_line(each.parity)
            lines.append(f"{bundle / each.engine.file}: has its hash; {outcome}")
            lines += [] if each.parity is None else _what_ran(each.parity)
        for text in lines:
            click.echo(printable(text))


def _what_ran(parity: "Parity") -> list[str]:
    """What computed the side that was compared, and what the comparison leaves open."""
    return [f"  run by: {parity.ran}", *(f"  not checked: {gap}" for gap in parity.not_checked)]
