"""``fs-export doctor``: does this build machine have what it needs?"""

from pathlib import Path
from typing import Any

import click

from fs_runtime.cli.doctor import bundle, device, show_checks
from fs_runtime.cli.options import as_json


@click.command()
@bundle
@device
@as_json
def doctor(bundle: Path | None, device: Any, as_json: bool) -> None:
    """Look at PyTorch and what else exporting needs, and at all that fs-runtime doctor looks at.

    Exit code 4 when something is missing that exporting or --device needs.
    """
    from fs_exporters.doctor import check_build_machine
    from fs_runtime.doctor import diagnose

    own = check_build_machine()
    names = {check.id for check in own}
    others = (check for check in diagnose(bundle, device=device) if check.id not in names)
    show_checks((*own, *others), as_json=as_json, schema="fs-export/check/1")
