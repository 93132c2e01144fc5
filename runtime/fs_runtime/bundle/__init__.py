"""Bundles: the schema, and reading one with every check made before it is used."""

from fs_runtime.bundle.manifest import MANIFEST, SCHEMA_VERSION, Engine, Graph, Manifest
from fs_runtime.bundle.reader import Bundle, read_bundle

__all__ = ["MANIFEST", "SCHEMA_VERSION", "Bundle", "Engine", "Graph", "Manifest", "read_bundle"]
