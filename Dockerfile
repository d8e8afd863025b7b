# cmcgan with PyTorch. docs/docker.md shows how to build and use the image.
FROM python:3.12-slim AS build
# The address of a package index of PyTorch, for another build of it than the usual one, for example for CPUs only.
ARG TORCH_INDEX=""
RUN python -m venv /opt/cmcgan
ENV PATH=/opt/cmcgan/bin:$PATH
RUN if [ -n "$TORCH_INDEX" ]; then \
        pip install --no-cache-dir --index-url "$TORCH_INDEX" "torch==2.11.*" "torchaudio==2.11.*"; \
    fi
COPY . /src
RUN pip install --no-cache-dir /src

FROM python:3.12-slim
COPY --from=build /opt/cmcgan /opt/cmcgan
ENV PATH=/opt/cmcgan/bin:$PATH
RUN useradd --create-home --uid 1000 cmcgan
USER 1000:1000
WORKDIR /data
ENTRYPOINT ["cmcgan"]
CMD ["--help"]
