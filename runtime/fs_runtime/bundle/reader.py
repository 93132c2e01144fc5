"""Opening a bundle: nothing of it is used before its manifest and its hashes are checked."""

import hashlib
import hmac
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import msgspec

from fs_runtime.bundle.files import digest, locate, total_bytes
from fs_runtime.bundle.manifest import MANIFEST, SCHEMA_VERSION, Graph, Manifest
from fs_runtime.errors import BundleError

_LARGEST_MANIFEST = 1 << 20
_LARGEST_BLOCK = 1 << 32
"""Bytes of one noise block; a larger one is taken for a damaged manifest."""


@dataclass(frozen=True)
class Bundle:
    """A bundle whose manifest is sound and whose files have the hashes it states."""

    root: Path
    manifest: Manifest
    manifest_sha256: str

    def graph(self, role: str) -> Graph:
        """The graph of ``role``.

        Raises:
            BundleError: the bundle has none.
        """
        for graph in self.manifest.graphs:
            if graph.role == role:
                return graph
        raise BundleError(f"{self.root} has no graph of role {role!r}: export it again with a newer fs-export")

    def graph_path(self, graph: Graph) -> Path:
        """Where the ONNX file of ``graph`` lies."""
        return self.root / graph.file


class _Version(msgspec.Struct):
    schema_version: int


def read_bundle(root: str | Path, *, expect_sha256: str | None = None) -> Bundle:
    """Read a bundle and check it whole.

    Args:
        root: the bundle's folder.
        expect_sha256: SHA-256 of manifest.json, from whoever exported the bundle. Hashes inside a bundle find
            accidents; this one finds tampering.

    Raises:
        BundleError: the bundle is missing, damaged, unsafe, of another schema, or not the expected one.
    """
    root = Path(root)
    try:
        return _read(root, expect_sha256)
    except OSError as error:
        raise BundleError(
            f"{error.filename or root} cannot be read ({error.strerror or error}): check its name and permissions, or "
            "copy the whole bundle again"
        ) from error


def _read(root: Path, expect_sha256: str | None) -> Bundle:
    data = _manifest_bytes(root)
    actual = hashlib.sha256(data).hexdigest()
    if expect_sha256 is not None and not hmac.compare_digest(actual.encode(), expect_sha256.strip().lower().encode()):
        raise BundleError(
            f"{root / MANIFEST} has SHA-256 {actual}, not the expected {expect_sha256}: "
            "get the bundle again from where it was exported"
        )
    manifest = _decode(data, root)
    _check_shapes(manifest, root)
    bundle = Bundle(root=root, manifest=manifest, manifest_sha256=actual)
    _check_files(bundle)
    return bundle


def _manifest_bytes(root: Path) -> bytes:
    if not root.is_dir():
        raise BundleError(f"{root} is not a folder: name the bundle that fs-export wrote")
    path = locate(root, MANIFEST)
    with path.open("rb") as file:
        data = file.read(_LARGEST_MANIFEST + 1)
    if len(data) > _LARGEST_MANIFEST:
        raise BundleError(
            f"{path} is larger than {_LARGEST_MANIFEST} bytes: it is no manifest; export the bundle again"
        )
    return data


def _decode(data: bytes, root: Path) -> Manifest:
    path = root / MANIFEST
    try:
        version = msgspec.json.decode(data, type=_Version).schema_version
        if version > SCHEMA_VERSION:
            raise BundleError(
                f"{path} has schema version {version}, this fs-runtime reads {SCHEMA_VERSION}: upgrade fs-runtime"
            )
        return msgspec.json.decode(data, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BundleError(f"{path} is not a valid manifest ({error}): export the bundle again") from error


def _check_shapes(manifest: Manifest, root: Path) -> None:
    """Hold the manifest's shapes against one another and against what can be allocated."""
    path = root / MANIFEST
    if manifest.images > manifest.noise_batch:
        raise BundleError(
            f"{path} mixes {manifest.images} images in batches of {manifest.noise_batch} draws, fewer than one draw an "
            "image: export the bundle again"
        )
    rows = manifest.noise_batch + (manifest.images if manifest.images > 1 else 0)
    block = 4 * rows * (3 * manifest.height * manifest.width + manifest.dimension)
    if block > _LARGEST_BLOCK:
        raise BundleError(
            f"{path} asks for noise blocks of {block / 2**30:.1f} GiB, more than {_LARGEST_BLOCK / 2**30:.0f} GiB: "
            "export with a smaller --noise-batch or --images"
        )
    for graph in manifest.graphs:
        stated = manifest if graph.role == "smoothed" else manifest.bare
        if graph.inputs != stated.smoothed_inputs or graph.outputs != stated.smoothed_outputs:
            raise BundleError(
                f"{path}: the inputs and outputs stated for {graph.file!r} do not follow from noise_batch, images, "
                "height, width and feature_shape: export the bundle again"
            )
    _check_engines(manifest, path)


def _check_engines(manifest: Manifest, path: Path) -> None:
    """Refuse plans that cannot be of this bundle's graph."""
    smoothed = {graph.sha256: graph for graph in manifest.graphs if graph.role == "smoothed"}
    seen: set[str] = set()
    for engine in manifest.engines:
        graph = smoothed.get(engine.graph_sha256)
        if graph is None or engine.noise_batch != manifest.noise_batch:
            raise BundleError(f"{path}: {engine.file} is of another graph: build it again with fs-export build")
        if not engine.precision_requested == engine.precision_observed == graph.precision:
            raise BundleError(
                f"{path}: {engine.file} is {engine.precision_observed}, {graph.file} is {graph.precision}: build it "
                "again with fs-export build"
            )
        if (engine.parity is None) == (engine.parity_not_run is None):
            raise BundleError(
                f"{path}: {engine.file} must have either parity or parity_not_run: build it again with fs-export build"
            )
        if engine.file in seen:
            raise BundleError(f"{path} lists {engine.file} twice: export the bundle again")
        seen.add(engine.file)


def _check_files(bundle: Bundle) -> None:
    for graph in bundle.manifest.graphs:
        names = (graph.file, *graph.external_data)
        _check_file(bundle.root, names, graph.sha256, graph.bytes)
    for engine in bundle.manifest.engines:
        _check_file(bundle.root, (engine.file,), engine.sha256, engine.bytes)
    for name, file in bundle.manifest.files.items():
        _check_file(bundle.root, (name,), file.sha256, file.bytes)
    _check_nothing_else(bundle)


def _check_nothing_else(bundle: Bundle) -> None:
    """Refuse files that the manifest does not list: a graph could take weights from them, which no hash covers."""
    manifest = bundle.manifest
    listed = {MANIFEST, *manifest.files, *(engine.file for engine in manifest.engines)}
    for graph in manifest.graphs:
        listed |= {graph.file, *graph.external_data}
    known = {PurePosixPath(name) for name in listed}
    for path in bundle.root.rglob("*"):
        relative = PurePosixPath(path.relative_to(bundle.root).as_posix())
        if (path.is_symlink() or not path.is_dir()) and relative not in known:
            raise BundleError(f"{path} is not listed in {MANIFEST}: remove it, or copy the whole bundle again")


def _check_file(root: Path, names: tuple[str, ...], sha256: str, size: int) -> None:
    paths = [locate(root, name) for name in names]
    if (found := total_bytes(paths)) != size:
        raise BundleError(
            f"{' + '.join(map(str, paths))} has {found} bytes, the manifest says {size}: copy the whole bundle again"
        )
    if digest(paths) != sha256:
        raise BundleError(
            f"{' + '.join(map(str, paths))} does not have the SHA-256 that the manifest states: "
            "it was changed or damaged; copy the whole bundle again"
        )
