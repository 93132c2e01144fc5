"""``fs-runtime doctor``: does this machine have what it needs?"""

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.text import Text

from fs_runtime.cli import options
from fs_runtime.cli.terminal import cell, data, encodable, messages, printable, table
from fs_runtime.doctor import DEVICES, Check, diagnose
from fs_runtime.errors import BackendError

_STYLES = {"ok": "green", "absent": "dim", "failed": "bold red"}

device = click.option(
    "--device",
    type=click.Choice(DEVICES),
    default="cpu",
    show_default=True,
    help="What shall run here; only what it needs can fail.",
)
bundle = click.argument("bundle", metavar="[DIR]", required=False, type=click.Path(path_type=Path))


@click.command()
@bundle
@device
@options.as_json
def doctor(bundle: Path | None, device: Any, as_json: bool) -> None:
    """Look at Python, ONNX Runtime, GPU and TensorRT, and at the bundle DIR against them.

    Exit code 4 when something is missing that --device needs.
    """
    show_checks(diagnose(bundle, device=device), as_json=as_json, schema="fs-runtime/check/1")


def show_checks(checks: Iterable[Check], *, as_json: bool, schema: str) -> None:
    """Print checks as a table or as JSON lines, and leave with exit code 4 if one failed."""
    checks = tuple(checks)
    failed = [check for check in checks if check.status == "failed"]
    if as_json:
        for check in checks:
            facts = {name: encodable(value) for name, value in asdict(check).items()}
            click.echo(msgspec.json.encode({"schema": schema, **facts}))
    else:
        made = table("check", "", "found", "needed", words=4)
        for check in checks:
            status = Text(check.status, style=_STYLES[check.status])
            made.add_row(cell(check.id), status, cell(check.actual), cell(check.expected))
        data().print(made)
        for check in failed:
            line = f"{check.id}: {check.remedy}"
            messages().print(printable(line), style="red", markup=False, highlight=False, soft_wrap=True)
    if failed:
        click.get_current_context().exit(BackendError.exit_code)
