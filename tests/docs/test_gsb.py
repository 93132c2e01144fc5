"""The figures in docs/gsb.md are of the booster that is shipped."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from fs_models.encoders import LoadRequest, load_encoder
from fs_models.gsb import choose_booster

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"


@pytest.mark.parametrize("name", ["gsb", "evaluation", "booster_speed", "clean_certificates"])
def test_results_are_of_the_shipped_booster(name: str) -> None:
    shipped = choose_booster("default", load_encoder(LoadRequest("efficientnet-lite0")), 0.25)
    assert shipped.sha256 is not None
    assert shipped.sha256 in _hashes(json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8")))


def test_gsb_page_shows_the_table_that_the_results_give() -> None:
    place = ROOT / "benchmarks" / "gsb_table.py"
    spec = importlib.util.spec_from_file_location("gsb_table", place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found = json.loads((RESULTS / "gsb.json").read_text(encoding="utf-8"))
    assert module.markdown(found) in (ROOT / "docs" / "gsb.md").read_text(encoding="utf-8")


def _hashes(document: Any) -> list[Any]:
    """What stands under ``gsb_sha256`` anywhere."""
    if isinstance(document, dict):
        own = [document["gsb_sha256"]] if "gsb_sha256" in document else []
        return own + [each for value in document.values() for each in _hashes(value)]
    return [each for value in document for each in _hashes(value)] if isinstance(document, list) else []
