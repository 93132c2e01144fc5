#!/usr/bin/env bash
# Everything that is measured or tested on a GPU, in one call, from a checkout that need not be installed and without a
# network: the doctor, the tests marked gpu, the noise (10^8 values a sigma), the speed by ONNX Runtime, and that of a plan
# where TensorRT or TensorRT-RTX builds one for the GPU. What one of them cannot do here it says.
#
#   benchmarks/gpu.sh OUT        # OUT: folder for what comes of it
#
# PYTHON: the interpreter (default python3), which has torch, transformers, onnx, onnxscript and pytest.
# PLANS: whose plans are measured, of tensorrt and tensorrt-rtx (default tensorrt-rtx).
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

kept() { # name of the results, command...: a step, and the results that it wrote; never those of an older run
  local results=benchmarks/results/$1.json
  rm -f "$results"
  step "$@"
  if [ -f "$results" ]; then cp "$results" "$out/"; fi
}

step doctor "$python" -m fs_runtime doctor --device cuda
step tests "$python" -m pytest -q -rs -p no:cacheprovider -m gpu tests
kept noise_moments-device "$python" benchmarks/noise_moments.py --path device
speed=(--rounds "${ROUNDS:-5}" --seconds "${SECONDS_EACH:-0.7}")
kept gpu "$python" benchmarks/gpu.py "${speed[@]}"
for plan in ${PLANS:-tensorrt-rtx}; do
  kept "gpu-$plan" "$python" benchmarks/gpu.py --backend "$plan" "${speed[@]}"
done
exit "$failed"
