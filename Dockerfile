# The service alone: no library that fits rankers, no root, and a root file system that may be read-only.
#
#     docker build --tag ltr .
#     docker run --rm --read-only --env LTR_SERVE_KEYS --publish 8080:8080 --volume "$PWD/bundles/shop-…:/bundle:ro" ltr --workers 2
#
# What is installed has the versions and the hashes of requirements.lock. To roll a bundle out by `ln -sfn` and a reload, mount the
# directory that the link is in: --volume "$PWD/bundles:/bundles:ro" --entrypoint ltr … serve /bundles/current --host 0.0.0.0
ARG PYTHON=3.11

FROM python:${PYTHON}-slim AS build
RUN pip install --no-cache-dir --disable-pip-version-check uv==0.13.9 && python -m venv --without-pip /opt/ltr
ENV VIRTUAL_ENV=/opt/ltr UV_NO_CACHE=1 UV_COMPILE_BYTECODE=1
WORKDIR /source
# First what changes seldom.
COPY pyproject.toml requirements.lock ./
RUN uv pip install --constraint requirements.lock --requirement pyproject.toml --extra serve
COPY LICENSE README.md ./
COPY features features
COPY ltr ltr
RUN uv pip install --no-deps --build-constraint requirements.lock '.[serve]'

FROM python:${PYTHON}-slim
RUN useradd --system --uid 10001 --home-dir /var/cache/ltr --shell /usr/sbin/nologin ltr && install --directory --owner ltr /var/cache/ltr
COPY --from=build /opt/ltr /opt/ltr
ENV PATH=/opt/ltr/bin:$PATH NUMBA_CACHE_DIR=/var/cache/ltr/numba
USER ltr
WORKDIR /var/cache/ltr
# Loops compiled for the processor that builds the image; on another kind they are compiled anew at the first start, and kept in
# the volume, which can be written where the root cannot.
RUN python -c "import ltr.features.kernels, ltr.features.list_kernels, ltr.features.neighbours, ltr.features.spelling_kernels, \
    ltr.features.windows, ltr.rankers.shap, ltr.rankers.sliced_kernels"
VOLUME /var/cache/ltr
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request as http; http.urlopen('http://127.0.0.1:8080/health/ready', timeout=2)"]
# Without keys it says what to set, and ends.
ENTRYPOINT ["ltr", "serve", "/bundle", "--host", "0.0.0.0"]
