# The image of `extauthz`: python, the locked dependencies and the program, nothing to build or to install with.
# To pin the base, build with --build-arg PYTHON=python:3.13-slim@sha256:… ; docs/how-to/release.md tells how to find it,
# and how two builds of one commit give one image.
ARG PYTHON=python:3.13-slim

FROM ${PYTHON} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
RUN python -m venv --without-pip /opt/extauthz
COPY requirements/run.txt /src/run.txt
# Wheels only: nothing is compiled, and each file has the hash of the lock.
RUN python -m pip --python /opt/extauthz/bin/python install --require-hashes --only-binary :all: --no-deps --no-compile -r /src/run.txt
COPY extauthz /src/extauthz
# Byte code that holds the hash of its source and no time, so that another build gives the same octets.
RUN cp -r /src/extauthz "$(/opt/extauthz/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/" \
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
