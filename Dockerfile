# The image of `extauthz`: python, the locked dependencies and the program, nothing to build or to install with.
# To pin the bases, build with --build-arg PYTHON=python:3.13-slim@sha256:… and --build-arg COMPILER=python:3.13@sha256:… ;
# docs/how-to/release.md tells how to find them, and how two builds of one commit give one image.
ARG PYTHON=python:3.13-slim
# The same Python on the same Debian, with a C compiler.
ARG COMPILER=python:3.13

FROM ${COMPILER} AS native
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
RUN python -m venv --without-pip /opt/native
COPY requirements/native.txt /src/requirements/native.txt
RUN python -m pip --python /opt/native/bin/python install --require-hashes --only-binary :all: --no-deps --no-compile -r /src/requirements/native.txt
COPY native /src/native
COPY extauthz /src/extauthz
# What every Check runs through, in C, beside the rest as it is (docs/adr/0039-compiled.md).
RUN /opt/native/bin/python /src/native/build.py /src/build/native

FROM ${PYTHON} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
RUN python -m venv --without-pip /opt/extauthz
COPY requirements/run.txt /src/run.txt
# Wheels only: each file has the hash of the lock.
RUN python -m pip --python /opt/extauthz/bin/python install --require-hashes --only-binary :all: --no-deps --no-compile -r /src/run.txt
COPY --from=native /src/build/native /src/program
# Byte code that holds the hash of its source and no time, so that another build gives the same octets.
RUN cp -r /src/program/. "$(/opt/extauthz/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/" \
 && printf '%s\n' '#!/opt/extauthz/bin/python' 'from extauthz.cli import main' 'main()' > /opt/extauthz/bin/extauthz \
 && chmod 0755 /opt/extauthz/bin/extauthz \
 && find /opt/extauthz -name __pycache__ -type d -prune -exec rm -r {} + \
 && PYTHONHASHSEED=0 /opt/extauthz/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/extauthz/lib \
 && PYTHONDONTWRITEBYTECODE=1 /opt/extauthz/bin/extauthz version

FROM ${PYTHON}
LABEL org.opencontainers.image.title="extauthz" \
      org.opencontainers.image.licenses="Apache-2.0"
ENV PATH=/opt/extauthz/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
# The base brings pip; nothing here needs it.
RUN python -m pip uninstall --yes --quiet --root-user-action ignore pip \
 && rm -rf /usr/local/lib/python3*/ensurepip
COPY --from=build /opt/extauthz /opt/extauthz
COPY LICENSE /opt/extauthz/LICENSE
USER 65532:65532
WORKDIR /
EXPOSE 9191 9090
ENTRYPOINT ["/opt/extauthz/bin/extauthz"]
CMD ["--help"]
