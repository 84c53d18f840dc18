"""One API server for all tests that want one, a namespace for each, and servers of a test's own to be broken.

tests/conftest.py makes these fixtures known everywhere.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import pytest

from tests.cluster.access import Access
from tests.cluster.apiserver import ApiServer
from tests.cluster.binaries import ABSENT, NO_HELM, Binaries, NoBinariesError, find_binaries, find_helm
from tests.cluster.published import NO_CRDS, Published
from tests.cluster.tools.helm import helm_folder
from tests.cluster.tools.published import published_folder


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs a program where there is none. Skipped from here, all of them are one line of the summary."""
    wanted = getattr(item, "fixturenames", ())
    if "binaries" in wanted and not _demanded() and _found() is None:
        pytest.skip(ABSENT)
    if "helm" in wanted and not os.environ.get("CI") and not (helm_folder() / "helm").exists():
        pytest.skip(NO_HELM)
    if "published" in wanted and not os.environ.get("CI") and not published_folder().is_dir():
        pytest.skip(NO_CRDS)


def _demanded() -> bool:
    return bool(os.environ.get("CI") or os.environ.get("KUBEBUILDER_ASSETS"))


@cache
def _found() -> Binaries | None:
    try:
        return find_binaries()
    except NoBinariesError:
        return None


@pytest.fixture(scope="session")
def binaries() -> Binaries:
    """The programs. In CI, and where KUBEBUILDER_ASSETS is set, they must be there."""
    try:
        return find_binaries()
    except NoBinariesError as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture(scope="session")
def helm() -> str:
    """The path of helm. In CI it must be there."""
    try:
        return find_helm()
    except NoBinariesError as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture(scope="session")
def apiserver(binaries: Binaries) -> Iterator[ApiServer]:
    """The shared one: not to be harmed."""
    with tempfile.TemporaryDirectory(prefix="extauthz-cluster-") as folder:
        server = ApiServer(Path(folder), binaries)
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture
def start_apiserver(binaries: Binaries) -> Iterator[Callable[..., ApiServer]]:
    """Starts an API server of the test's own, with flags of kube-apiserver."""
    with ExitStack() as stack:

        def start(*flags: str) -> ApiServer:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="extauthz-cluster-"))
            server = ApiServer(Path(folder), binaries, *flags)
            stack.callback(server.stop)
            return server

        yield start


@pytest.fixture(scope="session")
def access(apiserver: ApiServer) -> Access:
    """Ways into the shared API server."""
    return apiserver.access


@pytest.fixture(scope="session")
def published(access: Access) -> Published:
    """Definitions of other projects, to be installed in the shared API server. In CI they must have been fetched."""
    return Published(access)


@pytest.fixture
def namespace(access: Access) -> str:
    """A namespace that no other test knows."""
    return access.new_namespace()
