"""Reading a bundle: what is refused, always as a BundleError that names the file."""

import hashlib
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers import tiny

from fs_runtime.bundle import MANIFEST, read_bundle
from fs_runtime.errors import BundleError

Edit = Callable[[dict[str, Any]], object]


PLAN = "engines/sm89/model.plan"


PARITY = {
    "graph": PLAN,
    "ran": "tensorrt-rtx",
    "image": "synthetic",
    "seed": "0",
    "pilot": 32,
    "draws": 64,
    "alpha": 1e-3,
    "smallest_cosine": 1.0,
    "smallest_cosine_allowed": 0.99,
    "mean_cosine": 1.0,
    "mean_cosine_allowed": 0.99,
    "largest_difference": {},
    "largest_difference_allowed": {},
    "angle_original": None,
    "angle_graph": None,
    "angle_change_allowed": 1e-3,
}


def _engine(graph_sha256: str, **changes: Any) -> dict[str, Any]:
    """The manifest's entry for the plan, whose content is its own name."""
    return {
        "file": PLAN,
        "sha256": hashlib.sha256(PLAN.encode()).hexdigest(),
        "bytes": len(PLAN),
        "builder": "tensorrt-rtx",
        "version": "1.7.1.116",
        "graph_sha256": graph_sha256,
        "precision_requested": "fp32",
        "precision_observed": "fp32",
        "compute_capability": "8.9",
        "noise_batch": 4,
        "parity_not_run": "no GPU",
        **changes,
    }


def _bundle(tmp_path: Path) -> Path:
    """A sound bundle, with external data in two files, a plan, and two files more."""
    root = tmp_path / "bundle"
    tiny.write_bundle(root)
    for name in ("model.onnx.data", "more.data", "config.json", "prototypes/cats.txt", PLAN):
        (root / name).parent.mkdir(exist_ok=True, parents=True)
        (root / name).write_bytes(name.encode())

    def state(manifest: dict[str, Any]) -> None:
        graph = manifest["graphs"][0]
        graph["external_data"] = ["model.onnx.data", "more.data"]
        whole = b"".join((root / name).read_bytes() for name in (graph["file"], *graph["external_data"]))
        graph.update(sha256=hashlib.sha256(whole).hexdigest(), bytes=len(whole))
        for name in ("config.json", "prototypes/cats.txt"):
            data = (root / name).read_bytes()
            manifest["files"][name] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
        manifest["engines"] = [_engine(graph["sha256"])]

    tiny.edit_manifest(root, state)
    return root


def _refusal(root: Path, name: str, **options: Any) -> str:
    """The message of the BundleError that reading must raise; it names the file and says what to do."""
    with pytest.raises(BundleError, match=re.escape(name)) as caught:
        read_bundle(root, **options)
    message = str(caught.value)
    assert caught.value.exit_code == 2
    assert "\n" not in message
    return message


def test_read_bundle_gives_what_was_written_when_the_bundle_is_sound(tmp_path: Path) -> None:
    root = _bundle(tmp_path)
    bundle = read_bundle(str(root))
    data = (root / MANIFEST).read_bytes()
    assert bundle.manifest_sha256 == hashlib.sha256(data).hexdigest()
    assert bundle.root == root
    graph = bundle.graph("smoothed")
    assert graph.external_data == ("model.onnx.data", "more.data")
    assert bundle.graph_path(graph) == root / "model.onnx"
    assert sorted(bundle.manifest.files) == ["config.json", "prototypes/cats.txt"]
    assert bundle.manifest.sigma == tiny.SIGMA


def test_graph_names_the_bundle_when_the_role_is_absent(tmp_path: Path) -> None:
    bundle = read_bundle(_bundle(tmp_path))
    with pytest.raises(BundleError, match=r"bundle.*no graph of role 'clean'"):
        bundle.graph("clean")


def test_read_bundle_refuses_when_the_folder_is_missing(tmp_path: Path) -> None:
    assert "is not a folder" in _refusal(tmp_path / "nowhere", "nowhere")


def test_read_bundle_refuses_when_given_a_file(tmp_path: Path) -> None:
    assert "is not a folder" in _refusal(_bundle(tmp_path) / "model.onnx", "model.onnx")


def test_read_bundle_refuses_when_the_name_is_too_long_for_the_system(tmp_path: Path) -> None:
    _refusal(tmp_path / ("x" * 300), "x" * 300)


def test_read_bundle_refuses_when_the_manifest_is_missing(tmp_path: Path) -> None:
    root = _bundle(tmp_path)
    (root / MANIFEST).unlink()
    assert "missing" in _refusal(root, MANIFEST)


def _deep(open_with: str) -> bytes:
    return (open_with * 100_000).encode()


def _in_unknown_field(nested: str) -> Callable[[bytes], bytes]:
    return lambda data: data[:-1] + b',"future":' + nested.encode() + b"}"


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda data: b"", id="empty"),
        pytest.param(lambda data: data[: len(data) // 2], id="truncated"),
        pytest.param(lambda data: data[:-1], id="last-brace-missing"),
        pytest.param(lambda data: data + b"{}", id="trailing"),
        pytest.param(lambda data: data.replace(b'"tiny"', b'"t\xff\xfeny"'), id="not-utf-8"),
        pytest.param(lambda data: data.decode().encode("utf-16"), id="utf-16"),
        pytest.param(lambda data: data.replace(b'"tiny"', b'"\\ud800"'), id="lone-surrogate"),
        pytest.param(lambda data: b"\x00" * 64, id="zeros"),
        pytest.param(lambda data: b"[]", id="an-array"),
        pytest.param(lambda data: b"null", id="null"),
        pytest.param(lambda data: b"{}", id="no-version"),
        pytest.param(lambda data: _deep("["), id="deep-arrays"),
        pytest.param(lambda data: _deep('{"a":'), id="deep-objects"),
        pytest.param(_in_unknown_field("[" * 100_000 + "]" * 100_000), id="deep-unknown-array"),
        pytest.param(_in_unknown_field('{"a":' * 100_000 + "1" + "}" * 100_000), id="deep-unknown-object"),
        pytest.param(lambda data: data.replace(b'"source": {', b'"source": ' + b"[" * 100_000), id="deep-known"),
        pytest.param(lambda data: data.replace(b"0.25", b"NaN"), id="NaN"),
        pytest.param(lambda data: data.replace(b"0.25", b"Infinity"), id="Infinity"),
        pytest.param(lambda data: data.replace(b"0.25", b"1e999"), id="overflow"),
        pytest.param(lambda data: data.replace(b'"bytes":', b'"bytes":' + b"9" * 5000), id="endless-integer"),
    ],
)
def test_read_bundle_refuses_when_the_manifest_is_no_json(tmp_path: Path, spoil: Callable[[bytes], bytes]) -> None:
    root = _bundle(tmp_path)
    path = root / MANIFEST
    before = path.read_bytes()
    path.write_bytes(spoil(before))
    assert path.read_bytes() != before
    assert "is not a valid manifest" in _refusal(root, MANIFEST)


def test_read_bundle_refuses_when_the_manifest_is_larger_than_a_mebibyte(tmp_path: Path) -> None:
    root = _bundle(tmp_path)
    path = root / MANIFEST
    data = path.read_bytes()
    path.write_bytes(data + b" " * (2**20 - len(data)))
    read_bundle(root)
    path.write_bytes(data + b" " * (2**20 + 1 - len(data)))
    assert "larger than 1048576 bytes" in _refusal(root, MANIFEST)


@pytest.mark.parametrize("version", [2, 3, 10**30])
def test_read_bundle_says_upgrade_when_the_schema_is_newer(tmp_path: Path, version: int) -> None:
    root = _bundle(tmp_path)
    tiny.edit_manifest(root, lambda manifest: manifest.update(schema_version=version, invented_later=[1]))
    message = _refusal(root, MANIFEST)
    assert f"schema version {version}" in message
    assert "upgrade fs-runtime" in message


def _set(*path: str | int, value: Any) -> Edit:
    def edit(manifest: dict[str, Any]) -> None:
        target: Any = manifest
        for key in path[:-1]:
            target = target[key]
        target[path[-1]] = value

    return edit


def _case(*path: str | int, value: Any) -> Any:
    return pytest.param(_set(*path, value=value), id="-".join(map(str, path)) + f"={value!r}"[:24])


_GRAPH = ("graphs", 0)


@pytest.mark.parametrize(
    "edit",
    [
        _case("invented", value=1),
        _case("source", "invented", value=1),
        _case(*_GRAPH, "invented", value=1),
        _case(*_GRAPH, "inputs", 0, "invented", value=1),
        _case("files", "config.json", "invented", value=1),
        _case("preprocess", "invented", value=1),
        _case("schema_version", value=0),
        _case("schema_version", value=-1),
        _case("schema_version", value="1"),
        _case("schema_version", value=1.0),
        _case("schema_version", value=True),
        _case("schema_version", value=None),
        _case("source", value="tiny"),
        _case("source", "model", value=7),
        _case("source", "model", value="x" * 1025),
        _case("tap", value="hidden"),
        _case("height", value="8"),
        _case("height", value=8.5),
        _case("height", value=0),
        _case("height", value=-8),
        _case("height", value=4097),
        _case("width", value=10**30),
        _case("feature_shape", value=[]),
        _case("feature_shape", value=[1, 1, 1, 6]),
        _case("feature_shape", value=[0]),
        _case("feature_shape", value=[-6]),
        _case("feature_shape", value=[2**22 + 1]),
        _case("feature_shape", value=6),
        _case("noise_batch", value=0),
        _case("noise_batch", value=4097),
        _case("noise_batch", value=True),
        _case("sigma", value=0),
        _case("sigma", value=-0.25),
        _case("images", value=0),
        _case("images", value=65),
        _case("images", value=1.5),
        _case("sigma", value=2.5),
        _case("sigma", value="0.25"),
        _case("mean", value=[0.5, 0.5]),
        _case("std", value=[0.5, 0.5, 0.0]),
        _case("std", value=[0.5, 0.5, -1.0]),
        _case("preprocess", value={"resize": {"mode": "stretch"}}),
        _case("preprocess", value={"resize": {"mode": "exact", "height": 10**9, "width": 8, "kernel": "bicubic"}}),
        _case("graphs", value=[]),
        _case("graphs", value={}),
        _case(*_GRAPH, "role", value="other"),
        _case(*_GRAPH, "file", value=""),
        _case(*_GRAPH, "file", value="x" * 513),
        _case(*_GRAPH, "sha256", value="0" * 63),
        _case(*_GRAPH, "sha256", value="G" * 64),
        _case(*_GRAPH, "bytes", value=-1),
        _case(*_GRAPH, "precision", value="fp64"),
        _case(*_GRAPH, "inputs", 0, "dtype", value="float64"),
        _case(*_GRAPH, "inputs", 0, "shape", value=[1, 3, 8, 8, 1]),
        _case(*_GRAPH, "inputs", 0, "shape", value=[1, 3, "H", "W"]),
        _case("files", value=[]),
        _case("engines", value=[{"file": "model.plan"}]),
        _case("tools", value={"torch": 2}),
    ],
)
def test_read_bundle_refuses_when_a_field_breaks_the_schema(tmp_path: Path, edit: Edit) -> None:
    root = _bundle(tmp_path)
    tiny.edit_manifest(root, edit)
    assert "is not a valid manifest" in _refusal(root, MANIFEST)


@pytest.mark.parametrize("field", ["source", "sigma", "noise_batch", "graphs", "preprocess", "tap"])
def test_read_bundle_refuses_when_a_field_is_missing(tmp_path: Path, field: str) -> None:
    root = _bundle(tmp_path)
    tiny.edit_manifest(root, lambda manifest: manifest.pop(field))
    assert field in _refusal(root, MANIFEST)


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(lambda m: m.update(noise_batch=5), id="noise-batch"),
        pytest.param(lambda m: m.update(images=2), id="images"),
        pytest.param(lambda m: m.update(height=9), id="height"),
        pytest.param(lambda m: m.update(width=7), id="width"),
        pytest.param(lambda m: m.update(feature_shape=[7]), id="feature-shape"),
        pytest.param(lambda m: m.update(tap="tokens"), id="features-without-a-pooled-tap"),
        pytest.param(lambda m: m["graphs"][0]["outputs"].pop(), id="features-missing"),
        pytest.param(lambda m: m["graphs"][0]["inputs"].reverse(), id="input-order"),
        pytest.param(lambda m: m["graphs"][0]["outputs"].reverse(), id="output-order"),
        pytest.param(lambda m: m["graphs"][0]["inputs"].append(m["graphs"][0]["inputs"][0]), id="one-input-more"),
        pytest.param(lambda m: m["graphs"][0]["inputs"][0].update(name="pixels"), id="input-name"),
        pytest.param(lambda m: m["graphs"][0]["inputs"][0].update(dtype="int64"), id="input-dtype"),
        pytest.param(lambda m: m["graphs"][0]["outputs"][0].update(shape=[1, 4]), id="output-shape"),
    ],
)
def test_read_bundle_refuses_when_inputs_and_outputs_do_not_follow(tmp_path: Path, edit: Edit) -> None:
    root = _bundle(tmp_path)
    tiny.edit_manifest(root, edit)
    assert "do not follow from" in _refusal(root, MANIFEST)


@pytest.mark.parametrize(
    "absurd",
    [
        {"height": 4096, "width": 4096, "noise_batch": 4096},
        {"noise_batch": 4096, "feature_shape": [2**22]},
        {"feature_shape": [2**22, 2**22, 2**22]},
        {"height": 2048, "width": 2048, "noise_batch": 64, "images": 64},
    ],
)
def test_read_bundle_refuses_when_a_block_cannot_be_allocated(tmp_path: Path, absurd: dict[str, Any]) -> None:
    root = _bundle(tmp_path)
    tiny.edit_manifest(root, lambda manifest: manifest.update(absurd))
    assert "--noise-batch" in _refusal(root, MANIFEST)


def test_read_bundle_counts_the_pixels_of_every_image_when_it_bounds_a_block(tmp_path: Path) -> None:
    # Without the images' own pixels the block is below 4 GiB.
    root = _bundle(tmp_path)
    tiny.edit_manifest(root, lambda manifest: manifest.update(height=2048, width=2048, noise_batch=64))
    assert "do not follow from" in _refusal(root, MANIFEST)


@pytest.mark.parametrize("images", [5, 64])
def test_read_bundle_refuses_when_there_are_more_images_than_draws(tmp_path: Path, images: int) -> None:
    root = _bundle(tmp_path)
    tiny.edit_manifest(root, lambda manifest: manifest.update(images=images))
    assert f"mixes {images} images in batches of 4 draws" in _refusal(root, MANIFEST)


def test_read_bundle_reads_a_bundle_that_mixes_as_many_images_as_draws(tmp_path: Path) -> None:
    assert read_bundle(tiny.write_bundle(tmp_path, images=4)).manifest.images == 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"graph_sha256": "0" * 64}, "is of another graph"),
        ({"noise_batch": 8}, "is of another graph"),
        ({"precision_observed": "fp16"}, "is fp16, model.onnx is fp32"),
        ({"precision_requested": "fp16", "precision_observed": "fp16"}, "is fp16, model.onnx is fp32"),
    ],
)
def test_read_bundle_refuses_when_a_plan_is_not_of_its_graph(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    root = _bundle(tmp_path)
    tiny.edit_manifest(root, lambda manifest: manifest["engines"][0].update(changes))
    assert message in _refusal(root, MANIFEST)


def test_read_bundle_refuses_when_a_plan_is_listed_twice(tmp_path: Path) -> None:
    root = _bundle(tmp_path)
    tiny.edit_manifest(root, lambda manifest: manifest["engines"].append(manifest["engines"][0]))
    assert f"lists {PLAN} twice" in _refusal(root, MANIFEST)


@pytest.mark.parametrize(
    "changes",
    [
        {"compute_capability": "sm89"},
        {"compute_capability": "8.9+"},
        {"builder": "tvm"},
        {"settings": {"workspace_mb": 0}},
        {"settings": {"fast": True}},
        {"bytes": -1},
        {"noise_batch": 0},
    ],
)
def test_read_bundle_refuses_when_a_plan_is_described_badly(tmp_path: Path, changes: dict[str, Any]) -> None:
    root = _bundle(tmp_path)
    tiny.edit_manifest(root, lambda manifest: manifest["engines"][0].update(changes))
    assert "is not a valid manifest" in _refusal(root, MANIFEST)


@pytest.mark.parametrize("changes", [{"parity": PARITY}, {"parity_not_run": None}])
def test_read_bundle_refuses_when_a_plan_does_not_say_whether_parity_ran(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    root = _bundle(tmp_path)
    tiny.edit_manifest(root, lambda manifest: manifest["engines"][0].update(changes))
    assert f"{PLAN} must have either parity or parity_not_run" in _refusal(root, MANIFEST)
    tiny.edit_manifest(root, lambda manifest: manifest["engines"][0].update({"parity": PARITY, "parity_not_run": None}))
    assert read_bundle(root).manifest.engines[0].parity is not None


_UNSAFE = [
    "../model.onnx",
    "prototypes/../model.onnx",
    "..",
    ".",
    "/etc/passwd",
    "a\\b",
    "..\\x",
    "a\0b",
    "//etc/passwd",
]


@pytest.mark.parametrize("unsafe", _UNSAFE)
@pytest.mark.parametrize("place", ["graph", "external-data", "file", "engine"])
def test_read_bundle_refuses_when_a_path_leaves_the_bundle(tmp_path: Path, place: str, unsafe: str) -> None:
    root = _bundle(tmp_path)
    (tmp_path / "model.onnx").write_bytes((root / "model.onnx").read_bytes())
    facts = json.loads((root / MANIFEST).read_bytes())["files"]["config.json"]
    edits: dict[str, Edit] = {
        "graph": _set(*_GRAPH, "file", value=unsafe),
        "external-data": _set(*_GRAPH, "external_data", value=[unsafe]),
        "file": _set("files", unsafe, value=facts),
        "engine": lambda manifest: manifest["engines"][0].update(file=unsafe),
    }
    tiny.edit_manifest(root, edits[place])
    assert "not a path inside the bundle" in _refusal(root, repr(unsafe))


def test_read_bundle_refuses_when_a_listed_name_is_too_long_for_the_system(tmp_path: Path) -> None:
    root = _bundle(tmp_path)
    tiny.edit_manifest(root, _set(*_GRAPH, "file", value="x" * 300))
    _refusal(root, "x" * 300)


_LISTED = ["model.onnx", "model.onnx.data", "more.data", "config.json", "prototypes/cats.txt", PLAN]


@pytest.mark.parametrize("name", [*_LISTED, MANIFEST])
def test_read_bundle_refuses_when_a_file_is_a_link(tmp_path: Path, name: str) -> None:
    root = _bundle(tmp_path)
    outside = tmp_path / "outside"
    (root / name).rename(outside)
    (root / name).symlink_to(outside)
    assert "is a link" in _refusal(root, name)


def test_read_bundle_refuses_when_a_folder_inside_is_a_link(tmp_path: Path) -> None:
    root = _bundle(tmp_path)
    (root / "prototypes").rename(tmp_path / "outside")
    (root / "prototypes").symlink_to(tmp_path / "outside")
    assert "is a link" in _refusal(root, "prototypes")


def test_read_bundle_refuses_when_a_link_leads_nowhere(tmp_path: Path) -> None:
    root = _bundle(tmp_path)
    (root / MANIFEST).unlink()
    (root / MANIFEST).symlink_to(tmp_path / "nowhere")
    assert "is a link" in _refusal(root, MANIFEST)


@pytest.mark.parametrize("name", [*_LISTED, MANIFEST])
@pytest.mark.parametrize("kind", ["folder", "pipe"])
def test_read_bundle_refuses_when_something_else_is_in_place_of_a_file(tmp_path: Path, name: str, kind: str) -> None:
    root = _bundle(tmp_path)
    (root / name).unlink()
    if kind == "folder":
        (root / name).mkdir()
    else:
        os.mkfifo(root / name)
    assert "is not a regular file" in _refusal(root, name)


@pytest.mark.parametrize("name", _LISTED)
def test_read_bundle_refuses_when_a_listed_file_is_missing(tmp_path: Path, name: str) -> None:
    root = _bundle(tmp_path)
    (root / name).unlink()
    assert "missing" in _refusal(root, name)


@pytest.mark.parametrize("name", _LISTED)
def test_read_bundle_refuses_when_a_file_has_another_size(tmp_path: Path, name: str) -> None:
    root = _bundle(tmp_path)
    with (root / name).open("ab") as file:
        file.write(b"\0")
    assert "bytes, the manifest says" in _refusal(root, name)


@pytest.mark.parametrize("name", _LISTED)
def test_read_bundle_refuses_when_a_bit_of_a_file_flipped(tmp_path: Path, name: str) -> None:
    root = _bundle(tmp_path)
    data = bytearray((root / name).read_bytes())
    data[-1] ^= 1
    (root / name).write_bytes(data)
    assert "does not have the SHA-256" in _refusal(root, name)


def test_read_bundle_refuses_when_external_data_files_are_swapped(tmp_path: Path) -> None:
    root = _bundle(tmp_path)
    tiny.edit_manifest(root, lambda manifest: manifest["graphs"][0]["external_data"].reverse())
    assert "does not have the SHA-256" in _refusal(root, "more.data")


@pytest.mark.parametrize("call", ["open", "stat"])
def test_read_bundle_refuses_when_a_file_may_not_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    # Permissions do not stop the superuser, who runs tests in containers.
    root = _bundle(tmp_path)
    real = getattr(Path, call)

    def denied(self: Path, *args: Any, **options: Any) -> Any:
        if self.name == "config.json":
            raise PermissionError(13, "Permission denied", str(self))
        return real(self, *args, **options)

    monkeypatch.setattr(Path, call, denied)
    assert "Permission denied" in _refusal(root, "config.json")


@pytest.mark.parametrize("decorate", [str.upper, str.lower, lambda text: f"  {text}\n"])
def test_read_bundle_accepts_when_the_expected_hash_is_written_otherwise(
    tmp_path: Path, decorate: Callable[[str], str]
) -> None:
    root = _bundle(tmp_path)
    expected = hashlib.sha256((root / MANIFEST).read_bytes()).hexdigest()
    assert read_bundle(root, expect_sha256=decorate(expected)).manifest_sha256 == expected


@pytest.mark.parametrize("wrong", ["0" * 64, "", "sha256:", "ä"])
def test_read_bundle_refuses_when_the_expected_hash_is_another(tmp_path: Path, wrong: str) -> None:
    root = _bundle(tmp_path)
    actual = hashlib.sha256((root / MANIFEST).read_bytes()).hexdigest()
    message = _refusal(root, MANIFEST, expect_sha256=wrong)
    assert actual in message
    _refusal(root, MANIFEST, expect_sha256=actual[:-1])


def test_read_bundle_refuses_when_tampering_kept_the_bundle_consistent(tmp_path: Path) -> None:
    root = _bundle(tmp_path)
    expected = hashlib.sha256((root / MANIFEST).read_bytes()).hexdigest()
    tiny.edit_manifest(root, _set("sigma", value=0.5))
    read_bundle(root)
    assert expected in _refusal(root, MANIFEST, expect_sha256=expected)


def test_read_bundle_refuses_when_the_clean_graph_is_for_more_than_one_draw(tmp_path: Path) -> None:
    root = tiny.write_bundle(tmp_path, noise_batch=2, graph={"role": "clean"})
    with pytest.raises(BundleError, match="do not follow from noise_batch"):
        read_bundle(root)
