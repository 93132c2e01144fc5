#!/usr/bin/env bash
# Everything that is measured on a GPU, in one call, from a checkout that need not be installed and without a network.
#
#   benchmarks/gpu.sh OUT        # OUT: folder for what comes of it
#
# PYTHON: the interpreter (default python3), which has torch, transformers, onnx and onnxscript.
# SITE: a folder of packages that goes before its own, such as onnxruntime-gpu and msgspec.
# One step that fails does not stop the next; the exit code is the first failure's.
set -uo pipefail
out=$(mkdir -p "${1:?usage: benchmarks/gpu.sh OUT}" && cd "$1" && pwd)
cd "$(dirname "$0")/.."
root=$PWD
python=${PYTHON:-python3}
export PYTHONPATH="${SITE:+$SITE:}$root:$root/exporters:$root/models:$root/runtime${PYTHONPATH:+:$PYTHONPATH}"
export PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 ORT_DISABLE_TELEMETRY=1
failed=0

step() { # name, command...
  local name=$1
  shift
  printf '\n=== %s (%ss)\n' "$name" "$SECONDS"
  "$@" 2>&1 | tee "$out/$name.txt"
  local code=${PIPESTATUS[0]}
  printf '=== %s: exit code %s\n' "$name" "$code"
  if [ "$failed" -eq 0 ]; then failed=$code; fi
}

step doctor "$python" -m fs_runtime doctor --device cuda
step gpu "$python" benchmarks/gpu.py --rounds "${ROUNDS:-5}" --seconds "${SECONDS_EACH:-0.7}"
if [ -f benchmarks/results/gpu.json ]; then cp benchmarks/results/gpu.json "$out/"; fi
exit "$failed"
