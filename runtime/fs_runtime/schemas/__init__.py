"""JSON Schemas (2020-12) of what commands and certificates write; ``fs-runtime schema`` prints them.

They are made of the types that are written, by ``python -m fs_runtime.cli.schema_documents``.
"""

from importlib import resources

from fs_runtime.errors import InputError

NAMES: tuple[str, ...] = ("feature", "prediction", "error", "smoothed-feature", "replay", "bench")
"""What there is a schema of."""


def schema_text(name: str) -> str:
    """The JSON Schema called ``name``, one of :data:`NAMES`, as text.

    Raises:
        InputError: there is no schema of that name.
    """
    if name not in NAMES:
        raise InputError(f"there is no schema {name!r}: name one of {', '.join(NAMES)}")
    return resources.files(__name__).joinpath(file_name(name)).read_text(encoding="utf-8")


def file_name(name: str) -> str:
    """Name of the file in this package that holds a schema."""
    return f"{name}.schema.json"
