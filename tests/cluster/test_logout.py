"""From a logout at the issuer to a request that is refused: a real controller, a real API server, a real sidecar."""

from __future__ import annotations

import http.client
import re
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit
from urllib.request import urlopen

import pytest
from cryptography.x509 import load_pem_x509_certificates

from extauthz.cli.demo.process import Process, poll_until
from extauthz.control.rbac import Mode
from extauthz.model.time import SystemClock
from extauthz.server.events import PATH
from extauthz.server.grpcio import METHOD
from extauthz.tokens.logout import EVENT
from tests import issuing
from tests.building import obj, policy
from tests.checks import check_request, read_response
from tests.cluster.access import Access, Account
from tests.cluster.apiserver import ApiServer
from tests.cluster.rights import may
from tests.cluster.sidecar import ClusterSidecar, Writer
from tests.cluster.test_source import INSTALL, install, may_follow
from tests.contract.running import SCRIPT, environment
from tests.unit.keys.servers import ca_pem
from tests.unit.server.serving import channel, tls_files

CLOCK = SystemClock()
LOGOUTS = {"clients": ["web"]}


@dataclass(frozen=True)
class Listening:
    """A controller that takes logouts."""

    process: Process
    events: str
    admin: str
    tls: ssl.SSLContext | None

    def post(self, token: str) -> int:
        """The status of the answer."""
        where = urlsplit(self.events)
        host, port = where.hostname or "", where.port
        connection = (
            http.client.HTTPConnection(host, port, timeout=20)
            if self.tls is None
            else http.client.HTTPSConnection(host, port, timeout=20, context=self.tls)
        )
        try:
            headers = {"content-type": "application/x-www-form-urlencoded"}
            connection.request("POST", PATH, urlencode({"logout_token": token}), headers)
            return connection.getresponse().status
        finally:
            connection.close()


@contextmanager
def controlling(
    access: Access, folder: Path, account: Account, *flags: str, tls: bool = False, name: str = "c"
) -> Iterator[Listening]:
    """`extauthz controller` as a process of its own, whose objects are read."""
    options = ["--events", "127.0.0.1:0", "--admin", "127.0.0.1:0", *flags]
    if tls:
        files = tls_files(folder)
        options += ["--events-tls-cert", str(files.cert), "--events-tls-key", str(files.key)]
    environ = environment(KUBECONFIG=str(access.kubeconfig(account.token)), POD_NAME=name)
    process = Process([SCRIPT, "controller", *options], folder / f"{name}.log", environ)
    try:
        poll_until(lambda: "waiting to be elected" in said(process), process, "its listeners")
        found = re.search(r"events on (\S+), admin on (\S+)", said(process))
        assert found is not None
        admin = urlsplit(found[2])
        poll_until(lambda: _ready(admin.hostname or "", admin.port or 0), process, "its readiness")
        yield Listening(process, found[1], found[2], ssl.create_default_context(cadata=ca_pem("a")) if tls else None)
    finally:
        process.stop()


def _told(controller: Listening) -> tuple[float, ...]:
    """From when to when the controller's certificate is good, as its metrics have it."""
    page = urlopen(f"{controller.admin}/metrics", timeout=10).read().decode()
    found = dict(re.findall(r"^extauthz_tls_certificate_not_(\w+)_timestamp_seconds (\S+)$", page, re.MULTILINE))
    return float(found["before"]), float(found["after"])


def _life(cert: Path) -> tuple[float, ...]:
    (found,) = load_pem_x509_certificates(cert.read_bytes())
    return found.not_valid_before_utc.timestamp(), found.not_valid_after_utc.timestamp()


def said(process: Process) -> str:
    return process.log.read_text(errors="replace")


def _ready(host: str, port: int) -> bool:
    connection = http.client.HTTPConnection(host, port, timeout=10)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    finally:
        connection.close()


def issuer(kind: str, name: str, namespace: str, **more: Any) -> dict[str, Any]:
    keys = {"inline": issuing.jwks("rsa")}
    spec = {"issuer": f"https://{name}.example", "audiences": ["orders-api"], "keys": keys, **more}
    return obj(kind, name, spec, namespace)


def token(iss: str, **more: Any) -> str:
    now = int(CLOCK.now())
    return issuing.token(issuing.claims(iss=f"https://{iss}.example", iat=now - 60, exp=now + 300, **more))


def logout(iss: str, key: str = "rsa", **more: Any) -> str:
    """A logout token that is good now, but for what is said."""
    now = int(CLOCK.now())
    claims = {
        "iss": f"https://{iss}.example", "aud": "web", "iat": now, "exp": now + 120, "jti": "logout-1", "sid": "s-1",
        "events": {EVENT: {}}, **more,
    }  # fmt: skip
    return issuing.token(claims, issuing.header(kid="rsa", typ="logout+jwt"), key)


@pytest.fixture
def cluster(access: Access) -> Access:
    install(access)
    return access


@pytest.mark.timeout(120)
def test_a_session_that_was_logged_out_is_refused_a_moment_later_and_no_other(
    cluster: Access, namespace: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    writer, name = Writer(cluster), f"idp-{namespace}"
    writer.apply(issuer("TokenIssuer", name, namespace, backChannelLogout=LOGOUTS))
    writer.apply(policy("p", {"name": "r", "token": {"issuers": [{"name": name}]}}, namespace=namespace))
    account = may(cluster, namespace, Mode.CONTROLLER_OF_ONE, install=INSTALL)
    sidecar = ClusterSidecar(tmp_path, cluster.kubeconfig(may_follow(cluster, namespace).token), namespace)
    flags = ("--namespace", namespace)
    try:
        sidecar.wait_ready()
        with (
            controlling(cluster, tmp_path, account, *flags, tls=True) as controller,
            channel(f"unix:{sidecar.socket}") as connection,
        ):
            check: Callable[..., bytes] = connection.unary_unary(METHOD)

            def reason(shown: str) -> str:
                asked = check_request(headers=[("authorization", f"Bearer {shown}")])
                return str(read_response(check(asked, timeout=20)).metadata.get("reason", "allow"))

            ended, other = token(name, sid="s-1"), token(name, sid="s-2", jti="id-2")
            assert (reason(ended), reason(other)) == ("allow", "allow")
            assert controller.post(logout(name, "rsa-2")) == 400
            assert controller.post(logout(name, aud="another")) == 400
            assert _told(controller) == _life(tmp_path / "tls.crt")
            began = CLOCK.monotonic()
            assert controller.post(logout(name)) == 200
            poll_until(lambda: reason(ended) == "token_revoked", None, "the refusal")
            told = f"{(CLOCK.monotonic() - began) * 1e3:.0f} ms"
            record_property("logout to refusal", told)
            print(f"from the logout to the refusal {told}")  # noqa: T201  # for people: no time is asserted
            assert reason(other) == "allow"
    finally:
        sidecar.process.stop()


@pytest.mark.timeout(120)
def test_a_logout_at_the_clusters_issuer_is_taken_by_whichever_replica_and_written_once(
    cluster: Access, tmp_path: Path
) -> None:
    home = cluster.new_namespace("install")
    writer, name = Writer(cluster), f"idp-{home}"
    writer.apply(issuer("ClusterTokenIssuer", name, "", backChannelLogout=LOGOUTS))
    account, flags = may(cluster, home, Mode.CONTROLLER), ("--install-namespace", home)
    with (
        controlling(cluster, tmp_path, account, *flags, name="one") as one,
        controlling(cluster, tmp_path, account, *flags, name="two") as two,
    ):
        text = logout(name)
        assert [one.post(text), two.post(text), one.post(text)] == [200, 200, 200]
    found = cluster.kubectl("get", "tokenrevocations", "-n", home, "-o", "name").stdout.split()
    assert len(found) == 1
    assert all("is TokenRevocation" in said(each.process) for each in (one, two))


@pytest.mark.timeout(120)
def test_what_a_stranger_posts_costs_the_api_server_no_call(
    apiserver: ApiServer, cluster: Access, namespace: str, tmp_path: Path
) -> None:
    writer, name = Writer(cluster), f"idp-{namespace}"
    writer.apply(issuer("TokenIssuer", name, namespace, backChannelLogout=LOGOUTS))
    writer.apply(issuer("TokenIssuer", f"silent-{namespace}", namespace))
    account = may(cluster, namespace, Mode.CONTROLLER_OF_ONE, install=INSTALL)

    def written() -> int:
        calls = apiserver.calls(account.user)
        return sum(each["verb"] == "create" and each["objectRef"]["resource"] == "tokenrevocations" for each in calls)

    with controlling(cluster, tmp_path, account, "--namespace", namespace) as controller:
        forged = [logout(name, "rsa-2", jti=f"j-{number}") for number in range(20)]
        others = [
            logout("nobody"),
            logout(f"silent-{namespace}"),
            logout(name, aud="another"),
            logout(name, iat=1, exp=2),
            logout(name, sid=None, sub="x" * 2000),
            token(name),
            "x" * 20_000,
        ]
        assert {controller.post(text) for text in (*forged, *others)} == {400}
        assert controller.post(logout(name)) == 200
        poll_until(lambda: written() == 1, None, "the one call in the audit log")


def test_without_the_right_to_write_an_issuer_hears_that_it_failed(
    cluster: Access, namespace: str, tmp_path: Path
) -> None:
    name = f"idp-{namespace}"
    Writer(cluster).apply(issuer("TokenIssuer", name, namespace, backChannelLogout=LOGOUTS))
    account = may(cluster, namespace, Mode.CONTROLLER_OF_ONE, install=INSTALL, events=False)
    with controlling(cluster, tmp_path, account, "--namespace", namespace) as controller:
        assert controller.post(logout(name)) == 400
        words = "could not be written: the API server answered 403"
        poll_until(lambda: words in said(controller.process), None, "the line in the log")
