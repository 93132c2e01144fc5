"""A seeded sweep over damaged bundles and images; `benchmarks/mutations.py` runs a longer one."""

import pytest
from helpers.mutations import run_mutations


@pytest.mark.slow
def test_runtime_refuses_or_works_when_files_are_damaged():
    outcomes = run_mutations(2_000, seed=1)
    assert outcomes.faults == []
    # The sweep has power only if both happen, for every kind.
    for kind in ("manifest", "graph", "image"):
        assert outcomes.counts[f"{kind}: refused"] > 50, outcomes.counts
    assert outcomes.counts["image: fine"] > 50
    assert sum(outcomes.counts.values()) == 2_000
