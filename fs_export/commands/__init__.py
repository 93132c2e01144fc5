"""The verbs of ``fs-export``."""
