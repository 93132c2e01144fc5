"""``fs-export verify``: does a bundle still compute what its encoder computes?"""

from pathlib import Path

import click
import msgspec

from fs_export import options
from fs_runtime.cli.options import as_json, bundle, expect_sha256, threads
from fs_runtime.cli.terminal import printable


@click.command()
@bundle
@threads
@expect_sha256
@click.option("--model", metavar="MODEL", help="Where the encoder is now, if not where the manifest says.")
@options.parity_draws
@options.trusting
@as_json
def verify(
    bundle: Path,
    threads: int | None,
    expect_sha256: str | None,
    model: str | None,
    parity_draws: int,
    trust_pickle: bool,
    trust_remote_code: bool,
    as_json: bool,
) -> None:
    """Check a bundle's hashes, load its encoder again, and hold the graph against it. Exit code 3 if they differ."""
    from fs_exporters.pipeline import parity_line
    from fs_exporters.verify import verify_bundle

    parity = verify_bundle(
        bundle,
        threads=threads,
        parity_draws=parity_draws,
        expect_sha256=expect_sha256,
        model=model,
        trust_pickle=trust_pickle,
        trust_remote_code=trust_remote_code,
    )
    if as_json:
        click.echo(msgspec.json.encode({"schema": "fs-export/verify/1", "path": str(bundle), "parity": parity}))
    else:
        click.echo(printable(f"{bundle}: whole, and computes what its encoder computes: {parity_line(parity)}"))
