"""How the server is reached: users, passwords and their change, TLS, sockets, databases, namespaces."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from extauthz.model.time import Instant, Seconds, SystemClock
from extauthz.replay.redis import Options, RedisStore, Target, Tls
from extauthz.replay.spend import Bind, Grace, Rate, Use
from extauthz.replay.store import Committed, Refused, Unavailable
from tests.redis.certificates import Authority
from tests.redis.servers import Server, connected, free_port, running, wait_for

CLOCK = SystemClock()
BRISK = Options(deadline=Seconds(0.5), check_every=Seconds(0.1))
HOW_TO = Path(__file__).parents[2] / "docs" / "how-to" / "redis.md"


def use(key: bytes = b"k" * 16, most: int = 1) -> Use:
    """A use of a token that lives for five minutes."""
    return Use(key=key, max_uses=most, until=Instant(CLOCK.now() + 300))


def everything() -> tuple[Bind | Use | Rate, ...]:
    """One spend of each kind."""
    until = Instant(CLOCK.now() + 300)
    return (
        Bind(key=b"b" * 16, value=b"v" * 16, until=until),
        Use(key=b"u" * 16, max_uses=9, until=until, grace=Grace(b"g" * 16, Seconds(3.0))),
        Rate(key=b"r" * 16, amount=9, window=Seconds(60.0), label="l"),
    )


def acl() -> str:
    """The line for the ACL file in the how-to."""
    found = re.search(r"^user extauthz .*$", HOW_TO.read_text(encoding="utf-8"), re.MULTILINE)
    assert found is not None
    return found[0]


@pytest.fixture
def password(tmp_path: Path) -> Path:
    """The password file, with a newline at its end as editors leave it."""
    file = tmp_path / "password"
    file.write_text("hunter2-ü\n")
    return file


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Server]:
    """A server with the ACL that the how-to recommends, and nobody else let in."""
    users = tmp_path / "users.acl"
    users.write_text(
        f"user default off\n{acl().replace('>PASSWORD', '>hunter2-ü')}\nuser admin on nopass ~* &* +@all\n"
    )
    with running("redis", "--aclfile", str(users)) as server:
        yield server


@pytest.mark.redis
def test_the_user_of_the_how_to_may_do_what_is_needed_and_nothing_else(guarded: Server, password: Path) -> None:
    target = replace(guarded.target, user="extauthz", password_file=password, database=1)
    with connected(target, CLOCK, BRISK) as store:
        for attempt in (b"one", b"two"):
            assert isinstance(store.commit(everything(), attempt), Committed)
        assert isinstance(store.look(everything()), tuple)
    elsewhere = RedisStore(target, CLOCK, replace(BRISK, namespace=b"other:"))
    elsewhere.start()
    try:
        wait_for(lambda: "NOPERM" in str(elsewhere.trouble()), "the reason")
    finally:
        elsewhere.stop()


@pytest.mark.redis
def test_a_wrong_password_is_told_without_showing_it_and_mended_by_the_file(guarded: Server, password: Path) -> None:
    password.write_text("hunter3")
    store = RedisStore(replace(guarded.target, user="extauthz", password_file=password), CLOCK, BRISK)
    store.start()
    try:
        wait_for(lambda: "WRONGPASS" in str(store.trouble()), "the reason")
        assert f"the password is that in `{password}`" in str(store.trouble())
        assert "hunter" not in str(store.trouble())
        password.write_text("hunter2-ü")
        wait_for(store.ready, "the store")
    finally:
        store.stop()


@pytest.mark.redis
def test_a_server_that_wants_a_password_is_told_as_such(guarded: Server) -> None:
    store = RedisStore(guarded.target, CLOCK, BRISK)
    store.start()
    try:
        wait_for(lambda: "NOAUTH" in str(store.trouble()), "the reason")
    finally:
        store.stop()


def test_a_password_file_that_is_missing_is_told_as_such(tmp_path: Path) -> None:
    store = RedisStore(Target(host="127.0.0.1", password_file=tmp_path / "absent"), CLOCK, BRISK)
    store.start()
    try:
        wait_for(lambda: "cannot be read: No such file" in str(store.trouble()), "the reason")
    finally:
        store.stop()


@pytest.mark.timeout(20)
def test_a_password_file_that_is_a_pipe_is_told_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    store = RedisStore(Target(host="127.0.0.1", password_file=tmp_path / "pipe"), CLOCK, BRISK)
    store.start()
    try:
        wait_for(lambda: "cannot be read: is no regular file" in str(store.trouble()), "the reason")
    finally:
        store.stop()


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", ["ca", "cert", "key"])
@pytest.mark.parametrize(("kind", "why"), [("pipe", "is no regular file"), ("absent", "No such file")])
def test_a_file_for_tls_that_cannot_be_read_is_told_and_not_waited_for(
    tmp_path: Path, name: str, kind: str, why: str
) -> None:
    os.mkfifo(tmp_path / "pipe")
    store = RedisStore(Target(host="127.0.0.1", tls=Tls(**{name: tmp_path / kind})), CLOCK, BRISK)
    store.start()
    try:
        wait_for(
            lambda: f"`{tmp_path / kind}` for TLS with the store cannot be read: {why}" in str(store.trouble()), why
        )
    finally:
        store.stop()


@pytest.mark.redis
def test_another_server_password_does_not_disturb_connections_that_stand(guarded: Server, password: Path) -> None:
    with connected(replace(guarded.target, user="extauthz", password_file=password), CLOCK, BRISK) as store:
        with guarded.client(username="admin", password="admin") as admin:
            admin.acl_setuser("extauthz", enabled=True, reset_passwords=True, passwords=["+fresh"])
        assert isinstance(store.commit((use(),), None), Committed)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def secure(authority: Authority) -> Iterator[Server]:
    """A server with TLS that wants client certificates."""
    cert, key = authority.issue("localhost")
    port = free_port()
    arguments = (
        "--tls-port", str(port), "--tls-cert-file", str(cert), "--tls-key-file", str(key),
        "--tls-ca-cert-file", str(authority.ca), "--tls-auth-clients", "yes",
    )  # fmt: skip
    with running("redis", *arguments) as server:
        server.tls_port = port
        yield server


def tls_target(server: Server, tls: Tls, host: str = "localhost") -> Target:
    return Target(host=host, port=server.tls_port, tls=tls)


@pytest.mark.redis
def test_tls_with_a_client_certificate_is_spoken(secure: Server, authority: Authority) -> None:
    cert, key = authority.issue("extauthz")
    with connected(tls_target(secure, Tls(ca=authority.ca, cert=cert, key=key)), CLOCK, BRISK) as store:
        assert isinstance(store.commit((use(),), None), Committed)


@pytest.mark.redis
@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("another authority", "is not trusted"),
        ("another name", "is not trusted"),
        ("no client certificate", "the store"),
        # It waits for the end of a command that the handshake is none of.
        ("no TLS there", "did not answer in time"),
    ],
)
def test_tls_that_cannot_be_trusted_is_refused(
    secure: Server, authority: Authority, tmp_path: Path, case: str, words: str
) -> None:
    cert, key = authority.issue("extauthz")
    good = Tls(ca=authority.ca, cert=cert, key=key)
    targets = {
        "another authority": tls_target(secure, replace(good, ca=Authority(tmp_path).ca)),
        "another name": tls_target(secure, good, host="127.0.0.1"),
        "no client certificate": tls_target(secure, Tls(ca=authority.ca)),
        "no TLS there": Target(host="localhost", port=secure.port, tls=good),
    }
    store = RedisStore(targets[case], CLOCK, BRISK)
    store.start()
    try:
        wait_for(lambda: words in str(store.trouble()) and "not connected" not in str(store.trouble()), "the reason")
        assert isinstance(store.commit((use(),), None), Unavailable)
    finally:
        store.stop()


def test_a_unix_socket_a_database_and_a_namespace_keep_counts_apart(server: Server) -> None:
    over_socket = Target(path=server.socket)
    with connected(over_socket, CLOCK) as one, connected(replace(over_socket, database=3), CLOCK) as other:
        assert isinstance(one.commit((use(),), None), Committed)
        assert isinstance(one.commit((use(),), None), Refused)
        assert isinstance(other.commit((use(),), None), Committed)
    with connected(server.target, CLOCK) as same:
        assert isinstance(same.commit((use(),), None), Refused)
    apart = Options(deadline=Seconds(5.0), namespace=b"tenant:")
    with connected(server.target, CLOCK, apart) as third, server.client() as client:
        assert isinstance(third.commit((use(),), None), Committed)
        assert client.get(b"tenant:x1:" + b"k" * 16 + b"u") == b"1"


def test_a_socket_that_is_not_there_is_told_as_such(tmp_path: Path) -> None:
    store = RedisStore(Target(path=tmp_path / "absent"), CLOCK, BRISK)
    store.start()
    try:
        wait_for(lambda: "no such file" in str(store.trouble()), "the reason")
    finally:
        store.stop()
