"""Damaged bundles and images by the thousand: each must end in a result or a user's error, never in anything else."""

import copy
import hashlib
import io
import json
import multiprocessing
import random
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from helpers.tiny import write_bundle
from PIL import Image

import fs_runtime
from fs_runtime.bundle import MANIFEST
from fs_runtime.certification import CertificationError
from fs_runtime.errors import FsError
from fs_runtime.preprocess import PreprocessRule, ShortestEdge, prepare

SLOWEST = 20.0
"""Seconds that one damaged file may take; more counts as a hang."""

_EXTREMES: tuple[Any, ...] = (
    None, True, -1, 0, 1, 2**31, 2**63, 2**64, -(2**70), 1e308, -1e308, 1e-320, 0.5, "", "x", "../x", "/", "\x00",
    "\x1b[31m", "a" * 5000, [], {}, [[]], {"a": {}}, [1] * 300, "0" * 64, "model.onnx", "manifest.json", ".", "NaN",
)  # fmt: skip
_RULE = PreprocessRule(resize=ShortestEdge(edge=16, kernel="bicubic"))
_FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")


@dataclass
class Outcomes:
    """What became of the cases.

    Attributes:
        counts: by kind and outcome.
        faults: a line for each case that ended in anything but a result or a user's error.
    """

    counts: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


def run_mutations(cases: int, seed: int, *, workers: int = 2) -> Outcomes:
    """Run ``cases`` damaged files, half of them bundles, each in a process whose death would be seen."""
    batch = 50
    starts = [(seed, first, min(batch, cases - first)) for first in range(0, cases, batch)]
    outcomes = Outcomes()
    context = multiprocessing.get_context("spawn")
    # A fresh pool has a fixed number of processes; a worker that dies leaves its batch unanswered, which times out.
    with context.Pool(workers) as pool:
        pending = [(start, pool.apply_async(_run_batch, start)) for start in starts]
        for start, result in pending:
            try:
                counts, faults = result.get(timeout=SLOWEST * batch)
            except multiprocessing.TimeoutError:
                outcomes.faults.append(f"batch {start}: no answer: a crash or a hang")
                continue
            outcomes.counts.update(counts)
            outcomes.faults.extend(faults)
    return outcomes


def _run_batch(seed: int, first: int, count: int) -> tuple[Counter[str], list[str]]:
    warnings.simplefilter("ignore")  # Pillow tells of every odd tag
    counts: Counter[str] = Counter()
    faults: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        for index in range(first, first + count):
            rng = random.Random(f"{seed}-{index}")
            kind = ("manifest", "image", "graph", "image")[index % 4]
            start = time.perf_counter()
            try:
                outcome = _CASES[kind](rng, Path(folder) / str(index))
            except (FsError, CertificationError) as error:
                outcome = "refused" if str(error).strip() else "an error without words"
            except BaseException as error:  # what must not happen is what this looks for
                outcome = f"{type(error).__name__}: {error}"
            if time.perf_counter() - start > SLOWEST:
                outcome = "hang"
            if outcome not in ("fine", "refused"):
                faults.append(f"{kind} case {index} of seed {seed}: {outcome}"[:500])
            counts[f"{kind}: {outcome if outcome in ('fine', 'refused') else 'fault'}"] += 1
    return counts, faults


def _manifest_case(rng: random.Random, folder: Path) -> str:
    write_bundle(folder)
    path = folder / MANIFEST
    if rng.random() < 0.5:
        path.write_bytes(_damage(rng, path.read_bytes()))
    else:
        content = json.loads(path.read_bytes())
        for _ in range(rng.randint(1, 3)):
            _edit_json(rng, content)
        path.write_text(json.dumps(content))
    return _use(folder)


def _graph_case(rng: random.Random, folder: Path) -> str:
    write_bundle(folder)
    path = folder / "model.onnx"
    path.write_bytes(_damage(rng, path.read_bytes()))
    if rng.random() < 0.9:
        # An attacker states the right hash of the wrong graph.
        content = json.loads((folder / MANIFEST).read_bytes())
        content["graphs"][0]["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
        content["graphs"][0]["bytes"] = path.stat().st_size
        (folder / MANIFEST).write_text(json.dumps(content))
    return _use(folder)


def _image_case(rng: random.Random, folder: Path) -> str:
    folder.mkdir()
    path = folder / "image"
    path.write_bytes(_damage(rng, _picture(rng)))
    prepared = prepare(path, _RULE)
    values = prepared.pixel_values
    return "fine" if np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1 else "pixels outside [0, 1]"


_CASES = {"manifest": _manifest_case, "graph": _graph_case, "image": _image_case}


def _use(folder: Path) -> str:
    with fs_runtime.load(folder, threads=1) as encoder:
        size = (encoder.manifest.height, encoder.manifest.width, 3)
        if max(size) > 64:
            return "fine"  # a sane bundle of another size; no graph fits it
        certificate = encoder.certify(np.full(size, 0.5, np.float32), draws=40, alpha=0.05, pilot=8, seed=1)
        angle = certificate.angle(0.1)
    return "fine" if 0.0 <= angle <= 3.15 else f"angle {angle}"


def _damage(rng: random.Random, data: bytes) -> bytes:
    """Flip, cut, repeat, insert: a few of them."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
        at = rng.randrange(len(changed) + 1)
        kind = rng.randrange(6)
        if kind == 0 and changed:
            changed[at % len(changed)] ^= 1 << rng.randrange(8)
        elif kind == 1 and changed:
            changed[at % len(changed)] = rng.choice((0, 1, 0x7F, 0x80, 0xFF))
        elif kind == 2:
            del changed[at:]
        elif kind == 3:
            del changed[at : at + rng.randint(1, 64)]
        elif kind == 4:
            changed[at:at] = changed[at : at + rng.randint(1, 64)]
        else:
            changed[at:at] = rng.randbytes(rng.randint(1, 16))
    return bytes(changed)


def _edit_json(rng: random.Random, content: Any) -> None:
    """Replace, remove or add one value somewhere."""
    places = list(_places(content))
    holder, key = rng.choice(places)
    action = rng.randrange(4)
    if action == 0:
        del holder[key]
    elif action == 1 and isinstance(holder, dict):
        holder[rng.choice(("extra", "", "sigma", "graphs"))] = copy.deepcopy(rng.choice(_EXTREMES))
    else:
        holder[key] = copy.deepcopy(rng.choice(_EXTREMES))


def _places(content: Any) -> Iterator[tuple[Any, Any]]:
    pairs = list(content.items()) if isinstance(content, dict) else list(enumerate(content))
    for key, value in pairs:
        yield content, key
        if isinstance(value, dict | list):
            yield from _places(value)


def _picture(rng: random.Random) -> bytes:
    mode = rng.choice(("RGB", "L", "RGBA", "P", "1", "I;16", "CMYK"))
    kind = rng.choice(_FORMATS)
    side = rng.choice((1, 7, 24))
    noise = np.random.Generator(np.random.Philox(rng.getrandbits(32))).integers(0, 256, (side, side, 3), np.uint8)
    image = Image.fromarray(noise)
    try:
        image = image.convert("L").convert("I").convert("I;16") if mode == "I;16" else image.convert(mode)
        return _encoded(image, kind)
    except (OSError, ValueError, KeyError):
        # This format cannot hold this mode.
        return _encoded(Image.fromarray(noise), kind)


def _encoded(image: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()
