"""The ``fs-runtime`` command: one small file per verb, shared option groups."""
