"""TLS and mutual TLS on the listeners, and certificates that change on disk."""

from __future__ import annotations

import os
from pathlib import Path

import grpc
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import load_pem_x509_certificates

from extauthz.config import UnixAddress
from extauthz.model.time import SystemClock
from extauthz.server.tls import TlsFiles, TlsRefused, TlsWatch
from tests.clock import FakeClock
from tests.unit.keys.servers import ca_pem
from tests.unit.server.serving import PATIENCE, ask, channel, check, key_pair, running, tls_files, trusting, write_pair
from tests.unit.telemetry.seen import messages

TLS_LOG = "extauthz.server.tls"


def refused(target: str, credentials: grpc.ChannelCredentials | None) -> bool:
    """Whether no call comes through over a new connection."""
    with channel(target, credentials) as connection, pytest.raises(grpc.RpcError) as error:
        check(connection)(b"data", timeout=PATIENCE)
    return error.value.code() is grpc.StatusCode.UNAVAILABLE


def test_a_client_that_trusts_the_authority_is_answered(tmp_path: Path) -> None:
    with running(tls=tls_files(tmp_path)) as served:
        assert ask(served.target, credentials=trusting("a")) == b"data"


def test_a_client_that_trusts_another_authority_refuses_us(tmp_path: Path) -> None:
    with running(tls=tls_files(tmp_path)) as served:
        assert refused(served.target, trusting("b"))


def test_with_tls_nothing_is_answered_in_the_clear(tmp_path: Path) -> None:
    with running(tls=tls_files(tmp_path)) as served:
        assert refused(served.target, None)


def test_a_unix_socket_needs_no_tls(tmp_path: Path) -> None:
    with running(tls=tls_files(tmp_path), listen=(UnixAddress(tmp_path / "s.sock"),)) as served:
        assert ask(served.target) == b"data"


# Mutual TLS


def test_a_client_with_a_certificate_of_the_authority_is_answered(tmp_path: Path) -> None:
    with running(tls=tls_files(tmp_path, client_ca="clients")) as served:
        assert ask(served.target, credentials=trusting("a", key_pair(tmp_path, "clients"))) == b"data"


def test_a_client_without_a_certificate_is_refused(tmp_path: Path) -> None:
    with running(tls=tls_files(tmp_path, client_ca="clients")) as served:
        assert refused(served.target, trusting("a"))


def test_a_client_with_a_certificate_of_another_authority_is_refused(tmp_path: Path) -> None:
    with running(tls=tls_files(tmp_path, client_ca="clients")) as served:
        assert refused(served.target, trusting("a", key_pair(tmp_path, "a")))


def test_other_authorities_of_clients_count_for_new_connections(tmp_path: Path) -> None:
    files = tls_files(tmp_path, client_ca="clients")
    assert files.client_ca is not None
    with running(tls=files) as served:
        mine = trusting("a", key_pair(tmp_path, "others"))
        assert refused(served.target, mine)
        files.client_ca.write_text(ca_pem("others"))
        assert ask(served.target, credentials=mine) == b"data"


# Files that change


def test_a_new_certificate_is_shown_to_new_connections_and_old_ones_stay(tmp_path: Path) -> None:
    with running(tls=tls_files(tmp_path, "a")) as served, channel(served.target, trusting("a")) as old:
        assert check(old)(b"before", timeout=PATIENCE) == b"before"
        write_pair(tmp_path, "b")
        assert ask(served.target, credentials=trusting("b")) == b"data"
        assert refused(served.target, trusting("a"))
        assert check(old)(b"after", timeout=PATIENCE) == b"after"


@pytest.mark.parametrize(
    "broken", ["", "no PEM at all", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_a_broken_certificate_leaves_the_last_good_one_in_force(tmp_path: Path, broken: str) -> None:
    files = tls_files(tmp_path, "a")
    with running(tls=files) as served, messages(TLS_LOG) as said:
        files.cert.write_text(broken)
        assert ask(served.target, credentials=trusting("a")) == b"data"
        assert said.get(timeout=PATIENCE) == (
            "the TLS files changed and cannot be used, the last good ones serve on: "
            f"`{files.cert}` holds no certificate in PEM"
        )
        assert ask(served.target, credentials=trusting("a")) == b"data"
        assert said.empty(), "one change is told once"
        write_pair(tmp_path, "b")
        assert ask(served.target, credentials=trusting("b")) == b"data"


def test_a_certificate_whose_key_is_still_the_old_one_waits_for_its_key(tmp_path: Path) -> None:
    files = tls_files(tmp_path, "a")
    key, cert = key_pair(tmp_path, "b")
    with running(tls=files) as served:
        files.cert.write_bytes(cert)
        assert ask(served.target, credentials=trusting("a")) == b"data"
        files.key.write_bytes(key)
        assert ask(served.target, credentials=trusting("b")) == b"data"


def test_files_that_are_gone_leave_the_last_good_ones_in_force(tmp_path: Path) -> None:
    files = tls_files(tmp_path, "a")
    with running(tls=files) as served, messages(TLS_LOG) as said:
        files.key.unlink()
        assert ask(served.target, credentials=trusting("a")) == b"data"
        assert f"`{files.key}` cannot be read" in said.get(timeout=PATIENCE)
        assert ask(served.target, credentials=trusting("a")) == b"data"
        assert said.empty(), "it is told once"


def test_the_links_of_a_mounted_secret_are_followed(tmp_path: Path) -> None:
    for name in ("a", "b"):
        folder = tmp_path / name
        folder.mkdir()
        write_pair(folder, name)
    data = tmp_path / "..data"
    data.symlink_to("a")
    files = TlsFiles(tmp_path / "tls.crt", tmp_path / "tls.key", None)
    files.cert.symlink_to("..data/tls.crt")
    files.key.symlink_to("..data/tls.key")
    with running(tls=files) as served:
        assert ask(served.target, credentials=trusting("a")) == b"data"
        (tmp_path / "new").symlink_to("b")
        (tmp_path / "new").rename(data)
        assert ask(served.target, credentials=trusting("b")) == b"data"


@pytest.mark.timeout(30)
def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(tmp_path: Path) -> None:
    files = tls_files(tmp_path, "a")
    with running(tls=files) as served, messages(TLS_LOG) as said:
        files.cert.unlink()
        os.mkfifo(files.cert)
        assert ask(served.target, credentials=trusting("a")) == b"data"
        assert f"`{files.cert}` cannot be read: is no regular file" in said.get(timeout=PATIENCE)
        files.cert.unlink()
        write_pair(tmp_path, "b")
        assert ask(served.target, credentials=trusting("b")) == b"data"


# What is told between two connections


def test_files_that_cannot_be_used_are_told_before_anyone_connects(tmp_path: Path) -> None:
    files = tls_files(tmp_path, "a", client_ca="clients")
    watch = TlsWatch(files, SystemClock())
    watch.look()
    assert watch.problem == ""
    files.cert.write_bytes(key_pair(tmp_path, "b")[1])
    watch.look()
    assert watch.problem == (
        f"new connections get the last good certificate: "
        f"the key in `{files.key}` is not the one of the certificate in `{files.cert}`"
    )
    write_pair(tmp_path, "b")
    watch.look()
    assert watch.problem == ""


def test_files_that_are_gone_are_told_until_they_are_back(tmp_path: Path) -> None:
    files = tls_files(tmp_path)
    watch, away = TlsWatch(files, SystemClock()), tmp_path / "away"
    watch.look()
    files.key.rename(away)
    for _ in range(2):
        watch.look()
        assert f"`{files.key}` cannot be read: No such file" in watch.problem
    away.rename(files.key)
    watch.look()
    assert watch.problem == ""


def test_a_certificate_that_clients_refuse_for_its_time_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The server looks well to itself, and no call comes through."""
    files = tls_files(tmp_path)
    [cert, *_] = load_pem_x509_certificates(files.cert.read_bytes())
    begins, ends = cert.not_valid_before_utc, cert.not_valid_after_utc
    watch = TlsWatch(files, clock := FakeClock(begins.timestamp() - 1))
    watch.look()
    assert watch.certificate == (begins.timestamp(), ends.timestamp())
    assert watch.problem.endswith(f"tls.crt`: it is good from {begins:%Y-%m-%dT%H:%M:%SZ} on")
    for wall, problem in (
        (begins.timestamp(), ""),
        (ends.timestamp(), ""),
        (
            ends.timestamp() + 1,
            f"clients refuse the certificate in `{files.cert}`: it expired at {ends:%Y-%m-%dT%H:%M:%SZ}; renew it",
        ),
    ):
        clock.advance(wall - clock.now())
        for _ in range(2):
            watch.look()
            assert watch.problem == problem
    assert len(caplog.records) == 2


@pytest.mark.timeout(10)
def test_a_pipe_that_the_server_began_with_is_left_alone(tmp_path: Path) -> None:
    files = tls_files(tmp_path)
    files.key.unlink()
    os.mkfifo(files.key)
    watch = TlsWatch(files, SystemClock())
    for _ in range(2):
        watch.look()
        assert watch.problem == ""


# Files that cannot be used at the start


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    files = tls_files(tmp_path)
    files.key.unlink()
    with pytest.raises(TlsRefused, match=r"tls\.key` cannot be read: No such file"), running(tls=files):
        pass


def test_a_key_of_another_certificate_is_named(tmp_path: Path) -> None:
    files = tls_files(tmp_path)
    files.key.write_bytes(key_pair(tmp_path, "a")[0])
    with pytest.raises(TlsRefused, match=r"the key in `.*tls\.key` is not the one of"), running(tls=files):
        pass


def test_a_key_with_a_password_is_named_and_not_quoted(tmp_path: Path) -> None:
    files = tls_files(tmp_path)
    locked = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"word"),
    )
    files.key.write_bytes(locked)
    with pytest.raises(TlsRefused, match="holds no private key in PEM without a password") as error, running(tls=files):
        pass
    assert locked.splitlines()[1].decode() not in str(error.value)


def test_authorities_that_are_none_are_named(tmp_path: Path) -> None:
    files = tls_files(tmp_path, client_ca="clients")
    assert files.client_ca is not None
    files.client_ca.write_text("none")
    with pytest.raises(TlsRefused, match=r"clients\.crt` holds no certificate"), running(tls=files):
        pass
