# fs-runtime on a CPU: no PyTorch, no compiler, no package installer, not root.
#
#   docker build -f deploy/cpu.Dockerfile -t fs-runtime:cpu .
#   docker run --rm --network none -v "$PWD/bundle:/bundle:ro" -v "$PWD/photos:/photos:ro" fs-runtime:cpu \
#     certify /bundle /photos --json
#
# A container's CPU quota is not seen from inside: with --cpus 2 also say -e FS_THREADS=2.

FROM debian:bookworm-slim AS build
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3 python3-venv \
 && rm -rf /var/lib/apt/lists/*
COPY constraints.txt /src/constraints.txt
COPY runtime /src/runtime
RUN python3 -m venv /build \
 && /build/bin/pip wheel --no-cache-dir -c /src/constraints.txt -w /wheels "/src/runtime[cpu]" \
 && python3 -m venv --without-pip /opt/fs \
 && /build/bin/pip --python /opt/fs/bin/python install --no-cache-dir --no-index --find-links /wheels "fs-runtime[cpu]"

FROM debian:bookworm-slim
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3 \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin fs
COPY --from=build /opt/fs /opt/fs
ENV PATH=/opt/fs/bin:$PATH PYTHONUNBUFFERED=1
USER 10001
WORKDIR /tmp
ENTRYPOINT ["fs-runtime"]
CMD ["doctor"]
