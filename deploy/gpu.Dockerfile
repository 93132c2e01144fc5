# fs-runtime on an NVIDIA GPU by ONNX Runtime's CUDA provider: CUDA 13 and cuDNN 9 from NVIDIA's Python packages,
# the driver from the host. No PyTorch, no compiler, no package installer, not root.
#
#   docker build -f deploy/gpu.Dockerfile -t fs-runtime:gpu .
#   docker run --rm --network none --gpus all -v "$PWD/bundle:/bundle:ro" fs-runtime:gpu doctor /bundle --device cuda
#   docker run --rm --network none --gpus all -v "$PWD/bundle:/bundle:ro" fs-runtime:gpu bench /bundle --device cuda:0
#
# The host needs a driver for CUDA 13 and the NVIDIA Container Toolkit.

FROM debian:bookworm-slim AS build
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3 python3-venv \
 && rm -rf /var/lib/apt/lists/*
COPY constraints.txt /src/constraints.txt
COPY runtime /src/runtime
RUN python3 -m venv /build \
 && /build/bin/pip wheel --no-cache-dir -c /src/constraints.txt -w /wheels \
      "/src/runtime[gpu]" "onnxruntime-gpu[cuda,cudnn]==1.31.1" \
 && python3 -m venv --without-pip /opt/fs \
 && /build/bin/pip --python /opt/fs/bin/python install --no-cache-dir --no-index --find-links /wheels \
      "fs-runtime[gpu]" "onnxruntime-gpu[cuda,cudnn]"

FROM debian:bookworm-slim
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3 \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin fs
COPY --from=build /opt/fs /opt/fs
ENV PATH=/opt/fs/bin:$PATH PYTHONUNBUFFERED=1 \
    NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER 10001
WORKDIR /tmp
ENTRYPOINT ["fs-runtime"]
CMD ["doctor", "--device", "cuda"]
