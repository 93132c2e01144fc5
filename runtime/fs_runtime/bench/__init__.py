"""How fast bundles run here: opened side by side, measured in interleaved rounds."""

from fs_runtime.bench.contender import Asked, Contender
from fs_runtime.bench.results import BenchLine, Spread
from fs_runtime.bench.rounds import run_rounds
from fs_runtime.bench.summary import bench_line

__all__ = ["Asked", "BenchLine", "Contender", "Spread", "bench_line", "run_rounds"]
