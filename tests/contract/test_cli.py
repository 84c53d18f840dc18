"""The command line as its users meet it: the console script, its lines and its exit codes."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import click
import grpc
import pytest
from grpc_health.v1 import health_pb2

from extauthz import __version__
from extauthz.cli import main
from extauthz.model.time import SystemClock
from tests import issuing
from tests.building import anonymous, obj, policy, revocation, with_token
from tests.contract.running import Serve, run, serving, write
from tests.introspecting import OPAQUE, SECRET, endpoint, issuer
from tests.redis.servers import wait_for
from tests.unit.keys.servers import ca_pem
from tests.unit.server.serving import key_pair, tls_files

CORP = obj("TokenIssuer", "corp", {"issuer": issuing.ISSUER, "keys": {"inline": issuing.jwks()}})
OPEN = anonymous("open", path={"exact": "/open"})
ONCE = with_token("once", match={"methods": ["POST"], "path": {"exact": "/once"}}, reuse={"maxUses": 1})
DEAD = "127.0.0.1:1"
_NOT_THERE = "No such file or directory"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One issuer and one policy."""
    made = tmp_path_factory.mktemp("policies")
    write(made, "shop.yaml", CORP, policy("orders", OPEN, ONCE))
    return made


@pytest.fixture(scope="module")
def served(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """A server that all tests of `check` ask."""
    with serving(folder) as started:
        yield started


def token(name: str) -> str:
    """A good token, another one for each name."""
    now = int(SystemClock().now())
    return issuing.token(issuing.claims(jti=name, iat=now - 60, exp=now + 300))


# extauthz


def test_help_names_every_command_and_the_exit_codes() -> None:
    done = run("--help")
    assert done.returncode == 0
    lines = [line for line in done.stdout.partition("Commands:")[2].splitlines() if line.startswith("  ")]
    commands = list(main.list_commands(click.Context(main)))
    assert [line.split()[0] for line in lines[: len(commands)]] == commands
    assert "Exit codes: 0 for yes, 1 when the answer is no" in done.stdout


@pytest.mark.parametrize("command", ["serve", "lint", "check", "demo", "version"])
def test_every_command_explains_itself(command: str) -> None:
    done = run(command, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"extauthz {command}" in done.stdout


@pytest.mark.parametrize("arguments", [("nope",), ("serve", "--polices", "x"), ("lint",), ("check",), ("version", "x")])
def test_wrong_usage_exits_with_2(arguments: tuple[str, ...]) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Usage: extauthz" in done.stderr


def test_a_misspelt_flag_gets_a_hint() -> None:
    assert "Did you mean '--policies'?" in run("serve", "--polices", "x").stderr


def test_version_tells_what_runs() -> None:
    done = run("version")
    assert done.returncode == 0
    assert done.stdout.startswith(f"extauthz {__version__}\npython 3.")


# extauthz serve


def test_serve_prints_two_lines_and_drains_on_sigterm(folder: Path) -> None:
    with serving(folder) as served:
        assert served.lines[0] == f"listening on {served.address}\n"
        assert served.lines[1].startswith("ready: 1 policy, version ")
        assert served.end() == (0, "stopped\n")


def test_serve_stops_on_sigint_as_well(folder: Path) -> None:
    with serving(folder) as served:
        served.process.send_signal(signal.SIGINT)
        served.process.wait(30)
        assert served.process.returncode == 0


def test_a_second_signal_cuts_the_delay_of_a_drain(folder: Path) -> None:
    with serving(folder, "--drain-delay", "10m") as served:
        served.process.terminate()
        _until_not_serving(served.address)
        assert served.end()[0] == 0


def test_readiness_tells_of_the_drain(folder: Path) -> None:
    with serving(folder, "--drain-delay", "10m", "--admin", "127.0.0.1:0") as served:
        served.process.terminate()
        _until_not_serving(served.address)
        with pytest.raises(urllib.error.HTTPError) as raised:
            urllib.request.urlopen(f"{served.admin}/readyz", timeout=10)
        assert json.load(raised.value)["missing"] == {"server": "it was told to stop, and drains"}
        assert served.end()[0] == 0


@contextmanager
def hangups_heard() -> Iterator[None]:
    """A server that starts meanwhile minds them, also where these tests run under nohup(1), whose children do not."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_hangup_ends_no_server_without_a_terminal(folder: Path, tmp_path: Path) -> None:
    errors = tmp_path / "errors"
    with hangups_heard(), serving(folder, errors=errors) as served:
        served.process.send_signal(signal.SIGHUP)
        wait_for(lambda: "SIGHUP changes nothing" in errors.read_text(), "the log")
        assert served.end() == (0, "stopped\n")


def test_handshakes_that_fail_write_nothing_and_hold_nothing_up(folder: Path, tmp_path: Path) -> None:
    files = tls_files(tmp_path, "a")
    errors = tmp_path / "errors"
    with serving(folder, "--tls-cert", files.cert, "--tls-key", files.key, errors=errors) as served:
        host, _, port = served.address.rpartition(":")
        for _ in range(3):
            with socket.create_connection((host, int(port)), timeout=30) as stranger:
                stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
                while stranger.recv(1024):
                    pass
        assert served.end()[0] == 0
    assert [json.loads(line)["level"] for line in errors.read_text().splitlines()] == ["info"]


def test_serve_needs_nobody_to_read_what_it_prints(folder: Path) -> None:
    with serving(folder) as served:
        assert served.process.stdout is not None
        served.process.stdout.close()
        served.process.terminate()
        assert served.process.wait(30) == 0


def _until_not_serving(address: str) -> None:
    """Wait until health says that the drain began."""
    with grpc.insecure_channel(address) as channel:
        watch = channel.unary_stream(
            "/grpc.health.v1.Health/Watch",
            health_pb2.HealthCheckRequest.SerializeToString,
            health_pb2.HealthCheckResponse.FromString,
        )
        turns = watch(health_pb2.HealthCheckRequest(service=""), timeout=30)
        assert any(turn.status == health_pb2.HealthCheckResponse.NOT_SERVING for turn in turns)


def test_serve_tells_where_the_admin_port_is(folder: Path) -> None:
    with serving(folder, "--admin", "127.0.0.1:0") as served:
        assert served.admin.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(f"{served.admin}/readyz", timeout=10) as answer:
            assert json.load(answer) == {"ready": True, "missing": {}, "notes": {}}
        with urllib.request.urlopen(f"{served.admin}/snapshot", timeout=10) as answer:
            assert [each["policy"] for each in json.load(answer)["policies"]] == ["shop/orders"]


def test_readiness_names_a_mistake_in_a_policy_until_it_is_mended(folder: Path, tmp_path: Path) -> None:
    policies = tmp_path / "policies"
    shutil.copytree(folder, policies)
    with serving(policies, "--admin", "127.0.0.1:0") as served:

        def policies_note() -> str:
            with urllib.request.urlopen(f"{served.admin}/readyz", timeout=10) as answer:
                told = json.load(answer)
            assert told["ready"]
            return str(told["notes"].get("policies", ""))

        broken = write(policies, "broken.yaml", policy("a", anonymous("open"), hosts=("other.example",), mode="Loud"))
        wait_for(lambda: bool(policies_note()), "the note")
        assert (
            policies_note() == "1 mistake in AccessPolicy shop/a; see `policy mistake` in the log, or `extauthz lint`"
        )
        broken.unlink()
        wait_for(lambda: not policies_note(), "the end of the note")


def test_readiness_names_an_introspection_endpoint_that_does_not_answer_until_it_does(tmp_path: Path) -> None:
    with endpoint() as server:
        rule = {"name": "all", "token": {"issuers": [{"name": "opaque"}], "audiences": ["orders-api"]}}
        write(tmp_path, "policies.yaml", SECRET, issuer(server.url), policy("a", rule, hosts=("api.example",)))
        (tmp_path / "token").write_text(OPAQUE)
        server.otherwise = (503, {}, b"")
        with serving(tmp_path, "--admin", "127.0.0.1:0", "--allow-http-loopback", "true") as served:

            def note() -> str:
                run("check", "--address", served.address, "https://api.example/", "--token-file", tmp_path / "token")
                with urllib.request.urlopen(f"{served.admin}/readyz", timeout=10) as answer:
                    return str(json.load(answer)["notes"].get("introspection", ""))

            assert note() == f"TokenIssuer shop/opaque: `{server.url}` answers with HTTP status 503"
            server.otherwise = {"active": False}
            wait_for(lambda: not note(), "the end of the note")


def test_serve_removes_its_socket(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    with serving(folder, "--listen", f"unix:{path}") as served:
        assert path.is_socket()
        assert run("check", "--address", f"unix:{path}", "https://api.example/open").returncode == 0
        assert served.end()[0] == 0
    assert not path.exists()


def test_wrong_settings_are_told_all_at_once(tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text("threads: 0\nlisten_on: 127.0.0.1:1\n")
    done = run("serve", "--config", config, "--log-level", "loud", environ={"EXTAUTHZ_ADMIN": "on"})
    assert (done.returncode, done.stdout) == (2, "")
    *mistakes, last = done.stderr.splitlines()
    assert [mistake.partition(": ")[0] for mistake in mistakes] == [
        "--log-level",
        "EXTAUTHZ_ADMIN",
        f"{config}:1:threads",
        f"{config}:2:listen_on",
        "--policies",
    ]
    assert last == "cannot start: 5 mistakes in the settings"


def test_a_configuration_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    done = run("serve", environ={"EXTAUTHZ_CONFIG": str(tmp_path / "none")})
    assert (done.returncode, done.stderr) == (2, f"--config: `{tmp_path / 'none'}` cannot be read: {_NOT_THERE}\n")


def test_settings_can_be_checked_without_a_start() -> None:
    done = run("serve", "--policies", "x", "--check-config")
    assert (done.returncode, done.stdout) == (0, "the settings are good\n")


@pytest.mark.parametrize("admin", ["off", "127.0.0.1:0"])
def test_a_port_in_use_ends_the_start(folder: Path, admin: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        done = run("serve", "--policies", folder, "--admin", admin, "--listen", f"127.0.0.1:{port}")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"cannot start: cannot listen on 127.0.0.1:{port}: it is in use" in done.stderr


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (["--tls-cert", "/none/c", "--tls-key", "/none/k"], f"`/none/c` cannot be read: {_NOT_THERE}"),
        (["--pepper-file", "/none/p"], f"the pepper file `/none/p` cannot be used: {_NOT_THERE}"),
        (["--decision-log", "/none/d"], f"the decision log `/none/d` cannot be written: {_NOT_THERE}"),
        (["--listen", "unix:/none/s"], "cannot listen on unix:/none/s: "),
    ],
)
def test_what_cannot_start_says_why_on_one_line(folder: Path, flags: list[str], line: str) -> None:
    done = run("serve", "--policies", folder, "--admin", "off", "--listen", "127.0.0.1:0", *flags)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"cannot start: {line}" in done.stderr
    assert "Traceback" not in done.stderr


# extauthz lint


def test_lint_of_a_good_folder_exits_with_0(folder: Path) -> None:
    done = run("lint", folder)
    assert (done.returncode, done.stdout, done.stderr) == (0, "2 objects, no mistakes\n", "")
    done = run("lint", "--output", "json", folder)
    assert (done.returncode, json.loads(done.stdout)) == (0, {"objects": 2, "mistakes": [], "notes": []})


def test_lint_tells_every_mistake_with_its_place_and_exits_with_1(tmp_path: Path) -> None:
    write(tmp_path, "a.yaml", policy("a", OPEN | {"anonymus": True}), policy("b", OPEN, mode="Off"))
    write(tmp_path, "b.yaml", policy("c", with_token("t")))
    done = run("lint", tmp_path)
    assert done.returncode == 1
    *mistakes, last = done.stdout.splitlines()
    assert last == f"3 objects, {len(mistakes)} mistakes in 2 files"
    assert {mistake.partition(":")[0] for mistake in mistakes} == {"a.yaml", "b.yaml"}
    assert any("anonymus" in mistake for mistake in mistakes)
    told = json.loads(run("lint", "--output", "json", tmp_path).stdout)
    assert told["objects"] == 3
    assert len(told["mistakes"]) == len(mistakes)
    assert {each["file"] for each in told["mistakes"]} == {"a.yaml", "b.yaml"}
    assert all(isinstance(each["line"], int) for each in told["mistakes"])


def test_lint_notes_a_revocation_that_is_over_and_exits_with_0(folder: Path) -> None:
    write(folder, "r.yaml", revocation("typo", jti="x", expires="2021-01-31T12:00:00Z"))
    done = run("lint", folder)
    note, last = done.stdout.splitlines()
    assert (done.returncode, last) == (0, "3 objects, no mistakes, 1 note")
    assert "TokenRevocation shop/typo: spec.expires: has passed" in note
    told = json.loads(run("lint", "--output", "json", folder).stdout)
    assert [each["field"] for each in told["notes"]] == ["spec.expires"]


def test_lint_of_what_is_no_folder_is_wrong_usage(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("")
    for path in (tmp_path / "none", tmp_path / "f"):
        assert run("lint", path).returncode == 2


# extauthz check


@contextmanager
def serve_http() -> Iterator[str]:
    """A server of HTTP/1.1, as the admin port is one."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def check(served: Serve, *arguments: object, stdin: str = "") -> tuple[int, str]:
    done = run("check", "--address", served.address, *arguments, stdin=stdin)
    assert done.stderr == ""
    return done.returncode, done.stdout


def test_an_admitted_request_exits_with_0(served: Serve) -> None:
    code, text = check(served, "https://api.example/open")
    lines = text.splitlines()
    assert (code, lines[0]) == (0, "admitted, HTTP 200")
    assert {"  policy: shop/orders", "  rule: open"} <= set(lines)


def test_what_shadow_mode_alone_admits_is_told_as_such(tmp_path: Path) -> None:
    beta = policy("beta", with_token("all"), hosts=("beta.example",), mode="Shadow")
    with serving(write(tmp_path, "beta.yaml", CORP, beta).parent) as shadowing:
        code, text = check(shadowing, "https://beta.example/")
    words = "admitted, HTTP 200; only because its policy is in Shadow mode: else it would be denied"
    assert (code, text.splitlines()[0]) == (0, words)


def test_a_denied_request_exits_with_1_and_tells_why(served: Serve) -> None:
    code, text = check(served, "https://api.example/other")
    assert (code, text.splitlines()[0]) == (1, "denied, HTTP 403")
    assert "  reason: no_policy" in text


def test_a_denial_shows_its_challenge(served: Serve) -> None:
    code, text = check(served, "-X", "POST", "https://api.example/once")
    assert code == 1
    assert '  set on the response: www-authenticate: Bearer realm="extauthz"' in text


def test_machines_get_json(served: Serve) -> None:
    code, text = check(served, "--output", "json", "https://api.example/other")
    told = json.loads(text)
    assert code == 1
    assert (told["admitted"], told["status"], told["decision"]["reason"]) == (False, 403, "no_policy")


def test_counts_are_whole_numbers_for_machines(served: Serve) -> None:
    ask = ("-X", "POST", "--token-file", "-", "--output", "json", "https://api.example/once")
    told = json.loads(check(served, *ask, stdin=token("whole"))[1])
    assert repr(told["decision"]["remaining"]) == "0"


def test_a_token_is_spent_by_a_check_and_never_printed(served: Serve, tmp_path: Path) -> None:
    text = token("spent")
    file = tmp_path / "token"
    file.write_text(f"{text}\n")
    ask = ("-X", "POST", "https://api.example/once", "--token-file")
    said = [
        check(served, *ask, source, "--output", output, stdin=stdin)
        for source, stdin in ((file, ""), ("-", text))
        for output in ("text", "json")
    ]
    assert [code for code, _ in said] == [0, 1, 1, 1]
    assert [line.split(":")[0].strip() for line in said[0][1].splitlines()][:9] == [
        "admitted, HTTP 200", "decision", "mode", "policy", "rule", "issuer", "subject", "client", "remaining",
    ]  # fmt: skip
    assert "  remaining: 0" in said[0][1]
    assert "token_reused" in said[1][1]
    printed = "".join(output for _, output in said)
    assert [part for part in text.split(".") if part in printed] == []


def test_neither_log_of_a_server_holds_a_token(folder: Path, tmp_path: Path) -> None:
    good, forged = token("logged"), issuing.with_signature(token("forged"), b"\x01" * 256)
    decisions, errors = tmp_path / "decisions", tmp_path / "errors"
    with serving(folder, "--decision-log", decisions, "--log-level", "debug", errors=errors) as served:
        for text in (good, good, forged, f"{good}.x"):
            check(served, "-X", "POST", "--token-file", "-", "https://api.example/once", stdin=text)
        check(served, "https://api.example/once?access_token=" + good)
        assert served.end()[0] == 0
    lines = [json.loads(line) for line in decisions.read_text().splitlines()]
    assert [line["reason"] for line in lines[1:4]] == ["token_reused", "signature_invalid", "token_malformed"]
    logged = decisions.read_text() + errors.read_text()
    assert len(lines) == 5
    assert [part for part in (*good.split("."), *forged.split(".")) if part in logged] == []


def test_headers_source_and_pinned_policy_are_sent(served: Serve) -> None:
    assert check(served, "--policy", "shop/orders", "https://any.example/open")[0] == 0
    code, text = check(served, "--policy", "shop/none", "https://api.example/open")
    assert (code, "no_policy" in text) == (1, True)
    sent = ("-X", "POST", "-H", f"Authorization: Bearer {token('header')}", "--source-address", "10.0.0.7")
    assert check(served, *sent, "https://api.example/once")[0] == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("api.example/open",),
        ("ftp://api.example/open",),
        ("https://[::1/open",),
        ("-H", "no colon", "https://api.example/"),
        ("-H", "x: \N{SNOWMAN}", "https://api.example/"),
        ("--timeout", "2", "https://api.example/"),
        ("--token-file", "/none/t", "https://api.example/"),
    ],
)
def test_a_check_that_is_asked_wrongly_exits_with_2(arguments: tuple[str, ...]) -> None:
    done = run("check", "--address", DEAD, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Error: Invalid value for" in done.stderr


@pytest.mark.parametrize("given", [("cert",), ("key",), ("ca", "cert"), ("ca", "key"), ("cert", "key")])
def test_half_of_what_tls_needs_is_refused_and_nothing_sent_in_the_clear(
    tmp_path: Path, given: tuple[str, ...]
) -> None:
    (tmp_path / "f").write_text("")
    flags = [each for name in given for each in (f"--tls-{name}", tmp_path / "f")]
    done = run("check", "--address", DEAD, *flags, "https://api.example/open")
    assert (done.returncode, done.stdout) == (2, "")
    assert "`--tls-cert` and `--tls-key` need each other, and `--tls-ca`" in done.stderr


def test_a_token_of_any_octets_is_sent_as_it_is(served: Serve, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_bytes(b"\xff\xfe")
    code, text = check(served, "-X", "POST", "--token-file", file, "https://api.example/once")
    assert (code, "credential_malformed" in text) == (1, True)


def test_a_server_that_is_not_there_exits_with_2() -> None:
    done = run("check", "--address", DEAD, "https://api.example/open")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"no answer from {DEAD}: unavailable: ")


def test_a_server_that_says_nothing_exits_with_2() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        done = run("check", "--address", address, "--timeout", "50ms", "https://api.example/open")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"no answer from {address}: ")


def test_check_speaks_mutual_tls(folder: Path, tmp_path: Path) -> None:
    files = tls_files(tmp_path, client_ca="clients")
    key, cert = key_pair(tmp_path, "clients")
    for name, content in (("ca", ca_pem("a").encode()), ("key", key), ("cert", cert)):
        (tmp_path / name).write_bytes(content)
    flags = ("--tls-cert", files.cert, "--tls-key", files.key, "--tls-client-ca", files.client_ca)
    mine = ("--tls-cert", tmp_path / "cert", "--tls-key", tmp_path / "key")
    with serving(folder, *flags) as served:
        ask = ("check", "--address", served.address, "--tls-ca", tmp_path / "ca", "https://api.example/open")
        assert run(*ask, *mine).returncode == 0
        assert run(*ask).returncode == 2
        assert run(*ask).stderr.endswith("; if it wants a client certificate, give `--tls-cert` and `--tls-key`\n")
        done = run("check", "--address", served.address, "https://api.example/open")
        assert done.stderr.endswith("; if it listens with TLS, give `--tls-ca`\n")


def test_check_says_what_to_do_where_a_listener_is_another_than_it_thinks(served: Serve, tmp_path: Path) -> None:
    (tmp_path / "ca").write_text(ca_pem("a"))
    done = run("check", "--address", served.address, "--tls-ca", tmp_path / "ca", "https://api.example/open")
    assert done.stderr.endswith("; it speaks no TLS: leave `--tls-ca` out\n")
    with serve_http() as address:
        done = run("check", "--address", address, "https://api.example/open")
    assert done.stderr.endswith("; that is no listener for Envoy: name one of `--listen`, not the admin port\n")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)


def test_a_policy_folder_that_is_not_there_is_told_in_one_line(tmp_path: Path) -> None:
    done = run("serve", "--policies", tmp_path / "none")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"cannot start: there is no policy folder `{tmp_path / 'none'}`")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("flags", "code"),
    [
        (["--allow-http-loopback"], 0),
        (["--allow-http-loopback", "true"], 0),
        (["--allow-http-loopback=false"], 0),
        (["--allow-http-loopback", "--admin", "off"], 0),
        (["--allow-http-loopback", "maybe"], 2),
    ],
)
def test_a_switch_may_stand_bare(folder: Path, flags: list[str], code: int) -> None:
    assert run("serve", "--policies", folder, *flags, "--check-config").returncode == code
