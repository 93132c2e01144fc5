"""The table of docs/gsb.md from what gsb.py measured.

python benchmarks/gsb_table.py benchmarks/results/gsb.json
"""

import json
import sys
from pathlib import Path
from typing import Any

_COLUMNS = {
    "score": "score",
    "cosine": "cosine",
    "length": "length",
    "top_1_of_one": "top-1, one copy",
    "top_1": "top-1, smoothed",
    "between": "between, one copy",
    "between_smoothed": "between, smoothed",
}
_PERCENT = ("top_1_of_one", "top_1")


def markdown(found: dict[str, Any]) -> str:
    """The table, and the sentence above it."""
    photos, draws = found["photos"], found["draws"]
    said = (
        f"{photos} photos, {draws} noisy copies each; clean features: top-1 {_percent(found['clean_top_1'])}, "
        f"mean cosine between different photos {found['clean_between']:.2f}."
    )
    lines = [said, "", _line(["sigma", "system", *_COLUMNS.values()])]
    lines.append(_line(["---:", "---", *("---:" for _ in _COLUMNS)]))
    for row in found["rows"]:
        cells = [_percent(row[name]) if name in _PERCENT else f"{row[name]:.3f}" for name in _COLUMNS]
        lines.append(_line([f"{row['sigma']:g}", "FS + GSB" if row["gsb"] else "FS", *cells]))
    return "\n".join(lines) + "\n"


def _percent(share: float) -> str:
    return f"{100.0 * share:.1f}%"


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    print(markdown(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))), end="")
