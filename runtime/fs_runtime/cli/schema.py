"""``fs-runtime schema``: what every field of a certificate or JSON line means, and may be."""

import click

from fs_runtime.schemas import NAMES, schema_text


@click.command()
@click.argument("name", metavar="NAME", type=click.Choice(NAMES))
def schema(name: str) -> None:
    """Print a JSON Schema (2020-12), with a description of every field.

    \b
    NAME is one of
      feature           the certificate of a feature: certify --json, -o, --save
      prediction        the certificate of a label
      error             the line of an image that failed
      smoothed-feature  smooth --json
      replay            replay --json
    """  # noqa: D301  # click reads backslash-b as the mark of a paragraph that keeps its lines
    click.echo(schema_text(name), nl=False)
