"""Certificates as objects and as files: what was proved, for which image, on what."""
