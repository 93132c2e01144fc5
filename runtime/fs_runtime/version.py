"""The version of fs-runtime, the same as in its pyproject.toml."""

__version__ = "0.1.0"
