# cmcgan for CPUs, or for NVIDIA GPUs with --build-arg TORCH=cu130. docs/docker.md shows how to use it.
FROM python:3.12-slim AS build
# The name of an index of PyTorch: "cpu", or a version of CUDA.
ARG TORCH=cpu
RUN python -m venv /opt/cmcgan
ENV PATH=/opt/cmcgan/bin:$PATH
RUN pip install --no-cache-dir --index-url "https://download.pytorch.org/whl/${TORCH}" "torch==2.11.*" "torchaudio==2.11.*"
COPY . /src
RUN pip install --no-cache-dir /src

FROM python:3.12-slim
COPY --from=build /opt/cmcgan /opt/cmcgan
ENV PATH=/opt/cmcgan/bin:$PATH
RUN useradd --create-home --uid 1000 cmcgan
USER 1000:1000
WORKDIR /work
ENTRYPOINT ["cmcgan"]
CMD ["--help"]
