"""The numbers in docs/theory.md are those that its own program prints."""

import re
import subprocess
import sys
from pathlib import Path

THEORY = Path(__file__).parents[2] / "docs" / "theory.md"


def test_theory_prints_its_table_when_its_program_is_run():
    text = THEORY.read_text(encoding="utf-8")
    (program,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    printed = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    rows = re.findall(r"^\| (0\.\d+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|$", text, re.MULTILINE)
    assert len(rows) == 3
    lines = [line.split() for line in printed.splitlines()]
    assert [[float(cell) for cell in row] for row in rows] == [[float(cell) for cell in line] for line in lines[:3]]
