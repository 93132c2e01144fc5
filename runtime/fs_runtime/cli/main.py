"""The ``fs-runtime`` command."""

from typing import NoReturn

import click

from fs_runtime.cli.bench import bench
from fs_runtime.cli.certify import certify
from fs_runtime.cli.classify import classify
from fs_runtime.cli.doctor import doctor
from fs_runtime.cli.inspect import inspect
from fs_runtime.cli.replay import replay
from fs_runtime.cli.report import report
from fs_runtime.cli.run import run
from fs_runtime.cli.schema import schema
from fs_runtime.cli.search import search
from fs_runtime.cli.smooth import smooth
from fs_runtime.cli.verify import verify
from fs_runtime.version import __version__


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, package_name="fs-runtime")
def cli() -> None:  # \b is click's mark for a paragraph that keeps its lines
    """Serve and certify smoothed image features, from a bundle that fs-export wrote.

    \b
    Exit codes: 0 done, 1 failure, 2 usage or bad input, 3 parity failed,
    4 incompatible engine or environment, 5 some certificate abstained, 143 on SIGTERM.
    """  # noqa: D301  # click reads backslash-b as the mark of a paragraph that keeps its lines


for command in (certify, classify, search, smooth, replay, report, inspect, verify, bench, schema, doctor):
    cli.add_command(command)


def main() -> NoReturn:
    """Entry point."""
    run(cli, "fs-runtime")
