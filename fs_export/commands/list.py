"""``fs-export list``: which encoders can be exported."""

import click
import msgspec

from fs_runtime.cli.options import as_json
from fs_runtime.cli.terminal import data, table


@click.command("list")
@as_json
def list_encoders(as_json: bool) -> None:
    """Show the encoder families, their taps and example ids."""
    from fs_models.encoders import families

    if as_json:
        for family in families():
            line = {"schema": "fs-export/family/1", "family": family.family, "taps": family.taps}
            click.echo(msgspec.json.encode({**line, "examples": family.examples}))
        return
    made = table("family", "taps", "examples", words=3)
    for family in families():
        made.add_row(family.family, ", ".join(family.taps), ", ".join(family.examples))
    data().print(made)
