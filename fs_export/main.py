"""The ``fs-export`` command: a file per verb under ``fs_export/commands``."""

from typing import NoReturn

import click

from fs_export.commands.build import build
from fs_export.commands.demo import demo
from fs_export.commands.doctor import doctor
from fs_export.commands.evaluate import evaluate
from fs_export.commands.export import export
from fs_export.commands.fit import fit
from fs_export.commands.list import list_encoders
from fs_export.commands.verify import verify
from fs_runtime.cli.run import run


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="fs-export")
def cli() -> None:  # \b is click's mark for a paragraph that keeps its lines
    """Turn a pretrained image encoder into a certifiably smoothed bundle, for fs-runtime to serve.

    \b
    Exit codes: 0 done, 1 failure, 2 usage or bad input, 3 parity failed,
    4 incompatible engine or environment, 5 some certificate abstained, 143 on SIGTERM.
    """  # noqa: D301  # click reads backslash-b as the mark of a paragraph that keeps its lines


for command in (export, build, verify, fit, evaluate, demo, list_encoders, doctor):
    cli.add_command(command)


def main() -> NoReturn:
    """Entry point."""
    run(cli, "fs-export")
