"""Settings: one precedence, names that are not known refused, every mistake at once."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import pytest

from extauthz.config import (
    LogLevel,
    LogSink,
    Settings,
    StoreAddress,
    TcpAddress,
    UnixAddress,
    load,
    parse_address,
    settings,
)

Flags = Mapping[str, str | tuple[str, ...]]

THREE: dict[str, tuple[str, str, str]] = {
    "policies": ("a", "b", "c"),
    "listen": ("127.0.0.1:1", "unix:/run/b.sock", "[::1]:3"),
    "socket-mode": ("0600", "0666", "0777"),
    "admin": ("127.0.0.1:11", "off", "[::1]:13"),
    "store": ("redis://a/1", "rediss://b:7000", "unix:///run/c.sock?db=3"),
    "store-user": ("a", "b", "c"),
    "store-password-file": ("a", "b", "c"),
    "store-ca": ("a", "b", "c"),
    "store-cert": ("a", "b", "c"),
    "store-key": ("a", "b", "c"),
    "store-deadline": ("1ms", "2ms", "3ms"),
    "store-connections": ("1", "3", "64"),
    "store-namespace": ("a:", "b", "c"),
    "store-allow-eviction": ("true", "false", "true"),
    "store-min-replicas": ("0", "1", "2"),
    "store-wait-replicas": ("0", "1", "2"),
    "store-capacity": ("1", "2", "3"),
    "store-quota-issuer": ("0", "1", "2"),
    "store-quota-namespace": ("0", "1", "2"),
    "pepper-file": ("a", "b", "c"),
    "threads": ("1", "2", "3"),
    "max-concurrent": ("100", "200", "300"),
    "check-budget": ("1ms", "2ms", "3ms"),
    "max-request-bytes": ("4096", "8KiB", "1MiB"),
    "tls-cert": ("a", "b", "c"),
    "tls-key": ("a", "b", "c"),
    "tls-client-ca": ("a", "b", "c"),
    "keepalive-time": ("1s", "0s", "3s"),
    "keepalive-timeout": ("1s", "2s", "3s"),
    "max-connection-age": ("1s", "0s", "3s"),
    "max-connection-age-grace": ("1s", "2s", "3s"),
    "drain-delay": ("1s", "0s", "3s"),
    "drain-timeout": ("1s", "0s", "3s"),
    "token-cache-size": ("0", "1", "2"),
    "log-level": ("debug", "warning", "error"),
    "decision-log": ("stderr", "off", "./a.log"),
    "decision-log-allows": ("0", "0.5", ".25"),
    "decision-log-redact": ("subject", "client", "path"),
    "single-replica": ("true", "false", "true"),
    "max-source-age": ("2m", "0s", "3m"),
    "max-revocations": ("1000", "2000", "3000"),
    "install-namespace": ("a", "b-1", "c"),
    "service-account": ("a", "b", "c"),
    "allow-http-loopback": ("true", "false", "true"),
}
"""Three ways to say each setting that can be said in more than one."""
ONE_WORD = {"engine": "grpcio"}
SHARED = {"store": "rediss://a", "pepper-file": "p"}

ELSEWHERE = {"kubernetes", "namespace"}
"""They stand in the place of `policies`, and have tests of their own."""
BESIDES = {
    "store": {"pepper-file": "p"},
    "store-user": {**SHARED, "store-password-file": "p"},
    "store-password-file": SHARED,
    "store-ca": SHARED,
    "store-cert": {**SHARED, "store-key": "k"},
    "store-key": {**SHARED, "store-cert": "c"},
    "store-namespace": SHARED,
    "tls-cert": {"tls-key": "k"},
    "tls-key": {"tls-cert": "c"},
    "tls-client-ca": {"tls-key": "k", "tls-cert": "c"},
}


def read(flags: Flags | None = None, environ: Mapping[str, str] | None = None, file: str | bytes = "") -> object:
    content = file.encode() if isinstance(file, str) else file
    return load({"policies": "p", **(flags or {})}, environ or {}, content or None, "f.yaml")


def good(flags: Flags | None = None, environ: Mapping[str, str] | None = None, file: str | bytes = "") -> Settings:
    found = read(flags, environ, file)
    assert isinstance(found, Settings), found
    return found


def bad(flags: Flags | None = None, environ: Mapping[str, str] | None = None, file: str | bytes = "") -> list[str]:
    found = read(flags, environ, file)
    assert isinstance(found, tuple)
    return [str(problem) for problem in found]


# One precedence


def test_the_table_of_values_names_every_setting() -> None:
    assert THREE.keys() | ONE_WORD.keys() | ELSEWHERE == {setting.name for setting in settings()}


@pytest.mark.parametrize("name", THREE)
def test_flag_beats_variable_beats_file_beats_default(name: str) -> None:
    setting = next(setting for setting in settings() if setting.name == name)
    first, second, third = THREE[name]
    besides = BESIDES.get(name, {})
    variable, file = {setting.variable: second}, f"{name}: {third!r}\n"

    def found(flags: Flags, environ: Mapping[str, str], file: str) -> object:
        base = {} if name == "policies" else {"policies": "p"}
        loaded = load({**base, **besides, **flags}, environ, file.encode(), "f.yaml")
        assert isinstance(loaded, Settings), loaded
        return getattr(loaded, setting.field)

    values = [found({name: first}, variable, file), found({}, variable, file), found({}, {}, file)]
    alone = [found({name: text}, {}, "") for text in (first, second, third)]
    assert values == alone
    if name != "policies" and name not in BESIDES:
        values.append(found({}, {}, ""))
    assert all(one != other for one, other in pairwise(values))


def test_every_default_is_what_its_text_says() -> None:
    said = {s.name: tuple(s.default.split(",")) if s.repeatable else s.default for s in settings() if s.default}
    assert good(said) == good()


def test_every_setting_says_what_it_is_for() -> None:
    assert [setting.name for setting in settings() if not setting.doc.endswith(".")] == []


def test_a_source_that_another_one_beats_is_checked_all_the_same() -> None:
    assert bad({"threads": "2"}, {"EXTAUTHZ_THREADS": "many"}) == [
        "EXTAUTHZ_THREADS: `many` cannot be used; allowed: a whole number from 1 to 256"
    ]


# Names that are not known


def test_an_unknown_flag_is_refused_with_a_hint() -> None:
    assert bad({"thread": "2"}) == ["--thread: there is no such setting; did you mean `threads`?"]


def test_an_unknown_variable_is_refused_with_a_hint() -> None:
    assert bad({}, {"EXTAUTHZ_DRAIN_TIMOUT": "2s"}) == [
        "EXTAUTHZ_DRAIN_TIMOUT: there is no such setting; did you mean `drain-timeout`?"
    ]


def test_an_unknown_key_of_the_file_is_refused_with_its_line_and_a_hint() -> None:
    assert bad(file="threads: 2\ndrain_timeout: 2s\n") == [
        "f.yaml:2:drain_timeout: there is no such setting; did you mean `drain-timeout`?"
    ]


def test_a_name_like_none_is_refused_without_a_hint() -> None:
    assert bad(file="zzzzzzzz: 1\n") == ["f.yaml:1:zzzzzzzz: there is no such setting"]


@pytest.mark.parametrize("name", ["EXTAUTHZ_threads", "EXTAUTHZ_Threads", "EXTAUTHZ_DRAIN-TIMEOUT", "EXTAUTHZ_"])
def test_a_variable_in_another_spelling_is_not_taken_for_ours(name: str) -> None:
    assert "there is no such setting" in bad({}, {name: "2"})[0]


def test_variables_of_others_are_left_alone() -> None:
    assert good({}, {"PATH": "/bin", "EXTAUTH_THREADS": "x", "extauthz_threads": "x"}) == good()


@pytest.mark.parametrize(
    "name",
    [
        "EXTAUTHZ_SERVICE_HOST",
        "EXTAUTHZ_SERVICE_PORT",
        "EXTAUTHZ_SERVICE_PORT_GRPC",
        "EXTAUTHZ_PORT",
        "EXTAUTHZ_PORT_9191_TCP",
        "EXTAUTHZ_PORT_9191_TCP_ADDR",
        "EXTAUTHZ_ADMIN_SERVICE_HOST",
        "EXTAUTHZ_ADMIN_PORT_9090_TCP_PROTO",
    ],
)
def test_variables_that_kubernetes_makes_for_a_service_are_not_ours(name: str) -> None:
    assert good({}, {name: "tcp://10.0.0.1:9191"}) == good()


def test_the_variable_of_the_file_is_no_setting() -> None:
    assert good({}, {"EXTAUTHZ_CONFIG": "/etc/extauthz.yaml"}) == good()


def test_a_name_is_shown_without_control_characters_and_not_at_length() -> None:
    (problem,) = bad(file=f'"{"a" * 200}\\e[31m": 1\n')
    assert problem == f"f.yaml:1:{'a' * 80}: there is no such setting"
    assert bad({}, {"EXTAUTHZ_\x1b": "1"}) == ["EXTAUTHZ_\\x1b: there is no such setting"]


# Every mistake at once


def test_every_mistake_of_every_source_is_told_in_the_order_of_the_sources() -> None:
    found = bad(
        {"threads": "0", "nope": "1"},
        {"EXTAUTHZ_LOG_LEVEL": "loud", "EXTAUTHZ_ADMIN": "9090"},
        "check-budget: 1m\nstore: redis\n",
    )
    assert [problem.partition(": ")[0] for problem in found] == [
        "--threads",
        "--nope",
        "EXTAUTHZ_ADMIN",
        "EXTAUTHZ_LOG_LEVEL",
        "f.yaml:1:check-budget",
        "f.yaml:2:store",
    ]


def test_policies_come_from_one_source() -> None:
    for said, words in (({}, "is not set, nor is `kubernetes`"), ({"policies": "p", "kubernetes": "true"}, "besides")):
        found = load(said, {})
        assert isinstance(found, tuple)
        assert len(found) == 1
        assert words in str(found[0])
        assert "(`--policies DIR`) or the Kubernetes API (`--kubernetes`)" in str(found[0])
    for environ in ({"EXTAUTHZ_KUBERNETES": "true"}, {"EXTAUTHZ_KUBERNETES": "true", "EXTAUTHZ_NAMESPACE": "shop"}):
        loaded = load({}, environ)
        assert isinstance(loaded, Settings)
        assert (loaded.policies, loaded.kubernetes) == (None, True)


def test_a_namespace_is_for_policies_from_the_cluster() -> None:
    assert "`kubernetes` besides it" in bad({"namespace": "shop"})[0]


def test_a_required_setting_that_is_missing_is_told_beside_other_mistakes() -> None:
    found = load({"threads": "0"}, {})
    assert isinstance(found, tuple)
    assert [problem.where for problem in found] == ["--threads", "--policies"]


def test_every_bad_item_of_a_list_is_told() -> None:
    assert len(bad({"listen": ("127.0.0.1:1", "nowhere", "unix:relative")})) == 2


# Bounds


@pytest.mark.parametrize(
    ("name", "inside", "outside"),
    [
        ("threads", ("1", "256"), ("0", "257", "-1", "+1", "1.0", "1e2", " 1", "1_0", "\u0661", "")),
        ("max-request-bytes", ("4096", "4KiB", "16MiB"), ("4095", "3KiB", "17MiB", "1GiB", "1mib", "1 MiB", "-4KiB")),
        ("check-budget", ("1ms", "10s"), ("0s", "11s", "1", "1.5s", "-1s", "s", "1s1m", "")),
        ("max-connection-age", ("0s", "1s", "24h"), ("1ms", "25h", "0")),
        ("drain-delay", ("0s", "1ms", "10m"), ("11m",)),
        ("socket-mode", ("0600", "660", "0777"), ("0400", "0o660", "0888", "1777", "rw")),
        ("decision-log-allows", ("0", "1", "0.1", ".5", "1.0"), ("1.1", "-0.1", "nan", "inf", "1e-1", "50%")),
        ("allow-http-loopback", ("true", "false"), ("yes", "no", "on", "1", "True", "")),
        ("log-level", ("debug", "error"), ("DEBUG", "trace", "")),
        ("decision-log", ("off", "stdout", "/var/log/d"), ("stdot", "of", "")),
        (
            "admin",
            ("off", "[::1]:0", "a.example:65535"),
            ("on", "9090", ":9090", "a:65536", "[::1", "a b:1", "unix:/a"),
        ),
        (
            "listen",
            ("127.0.0.1:0", "unix:/a"),
            ("off", "127.0.0.1", "http://a:1", "unix:a", "unix:", "a:1/", "[1.2.3.4]:1", f"unix:/{'a' * 107}"),
        ),
        ("policies", ("a", "/a b"), ("", "a\0b")),
        ("store-connections", ("1", "64"), ("0", "65")),
        ("store-deadline", ("1ms", "149ms"), ("0s", "6s")),
    ],
)
def test_bounds_are_kept_and_the_allowed_is_told(name: str, inside: tuple[str, ...], outside: tuple[str, ...]) -> None:
    allowed = next(setting.kind.allowed for setting in settings() if setting.name == name)
    for text in inside:
        good({name: text})
    for text in outside:
        (problem,) = bad({name: text})
        assert problem.startswith(f"--{name}: `"), text
        assert problem.endswith(f"cannot be used; allowed: {allowed}"), text


# The shared store


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("redis://a", "redis://a:6379/0"),
        ("redis://a.b-c.example:7000/12", "redis://a.b-c.example:7000/12"),
        ("rediss://[::1]", "rediss://[::1]:6379/0"),
        ("redis://10.0.0.1:1", "redis://10.0.0.1:1/0"),
        ("unix:///run/redis.sock", "unix:///run/redis.sock"),
        ("unix:///run/redis.sock?db=3", "unix:///run/redis.sock?db=3"),
    ],
)
def test_a_shared_store_is_named_by_a_url_and_shown_as_one(text: str, shown: str) -> None:
    found = good({"store": text, "pepper-file": "p"})
    assert isinstance(found.store, StoreAddress)
    assert str(found.store) == shown
    assert good({"store": shown, "pepper-file": "p"}) == found


@pytest.mark.parametrize(
    "text",
    [
        "redis",
        "Memory",
        "",
        "redis://",
        "redis://a:0",
        "redis://a:65536",
        "redis://a/x",
        "redis://a/1/2",
        "redis://a?db=1",
        "redis://a b",
        "redis+sentinel://a",
        "http://a",
        "unix://run/redis.sock",
        "unix:///" + "a" * 107,
        " redis://a",
    ],
)
def test_any_other_text_for_a_store_is_refused(text: str) -> None:
    (problem,) = bad({"store": text, "pepper-file": "p"})
    assert problem.startswith("--store: `")


@pytest.mark.parametrize(
    "text",
    ["redis://:hunter2@a", "redis://u:hunter2@a:1/2", "rediss://u:p@hunter2@a", "u:hunter2@a", "redis:hunter2\n@"],
)
def test_a_password_in_the_url_is_refused_and_not_shown(text: str) -> None:
    (problem,) = bad({}, {"EXTAUTHZ_STORE": text})
    assert problem.startswith("EXTAUTHZ_STORE: `")
    assert "hunter2" not in problem
    assert problem.endswith("user and password have settings of their own")


def test_a_shared_store_without_a_pepper_that_replicas_share_is_refused() -> None:
    (problem,) = bad({"store": "redis://a"})
    assert problem.startswith("--store: is shared, and `pepper-file` is not set")


def test_settings_of_a_shared_store_without_one_are_refused() -> None:
    for name in ("store-user", "store-password-file", "store-ca", "store-namespace"):
        assert bad({name: "x"}) == [f"--{name}: is given without a shared store; allowed: `store` with a URL"]


def test_settings_of_a_shared_store_that_are_at_odds_are_refused() -> None:
    assert [problem.partition(":")[0] for problem in bad({**SHARED, "store-cert": "c"})] == ["--store-cert"]
    assert [problem.partition(":")[0] for problem in bad({**SHARED, "store-user": "u"})] == ["--store-user"]
    assert [problem.partition(":")[0] for problem in bad({**SHARED, "store-deadline": "150ms"})] == ["--store-deadline"]
    plain = {**SHARED, "store": "redis://a", "store-ca": "ca"}
    assert bad(plain) == [
        "--store: has no TLS, and `store-ca`, `store-cert` or `store-key` is set; allowed: `rediss://…`"
    ]


def test_one_half_of_a_key_pair_is_refused() -> None:
    assert bad({"tls-cert": "c"}) == ["--tls-cert: is given without `tls-key`; allowed: both or neither"]
    assert bad({"tls-key": "k"}) == ["--tls-key: is given without `tls-cert`; allowed: both or neither"]


def test_authorities_of_clients_without_a_certificate_are_refused() -> None:
    (problem,) = bad({"tls-client-ca": "ca"})
    assert problem.startswith("--tls-client-ca: is given without `tls-cert`")


def test_an_address_that_is_used_twice_is_refused() -> None:
    assert bad({"listen": ("127.0.0.1:9090",)})[0].startswith("--listen: `127.0.0.1:9090` is used twice")
    assert bad({"listen": ("unix:/a", "unix:/a")})[0].startswith("--listen: `unix:/a` is used twice")
    good({"listen": ("127.0.0.1:0", "127.0.0.1:0")})


# Lists


def test_a_list_is_repeated_flags_a_variable_with_commas_or_a_list_in_the_file() -> None:
    both = (TcpAddress("127.0.0.1", 1), UnixAddress(Path("/run/a.sock")))
    assert good({"listen": ("127.0.0.1:1", "unix:/run/a.sock")}).listen == both
    assert good({}, {"EXTAUTHZ_LISTEN": "127.0.0.1:1,unix:/run/a.sock"}).listen == both
    assert good(file="listen:\n- 127.0.0.1:1\n- unix:/run/a.sock\n").listen == both
    assert good(file="listen: unix:/run/a.sock\n").listen == both[1:]


def test_a_list_replaces_the_one_of_a_weaker_source_as_a_whole() -> None:
    assert good({"listen": ("127.0.0.1:1",)}, {"EXTAUTHZ_LISTEN": "127.0.0.1:2"}).listen == (
        TcpAddress("127.0.0.1", 1),
    )


def test_a_setting_that_takes_one_value_refuses_several_and_none() -> None:
    assert bad(file="threads: [1, 2]\n")[0].startswith("f.yaml:1:threads: takes one value, found 2")
    assert bad(file="threads: []\n")[0].startswith("f.yaml:1:threads: takes one value, found 0")
    assert bad(file="listen: []\n")[0].startswith("f.yaml:1:listen: takes one value, found 0")
    assert bad({}, {"EXTAUTHZ_LISTEN": ""})[0].startswith("EXTAUTHZ_LISTEN: `` cannot be used")


def test_an_address_is_written_as_it_is_read() -> None:
    for text in ("127.0.0.1:9191", "[::1]:9191", "localhost:0", "unix:/run/extauthz.sock"):
        assert str(parse_address(text)) == text


# What YAML would make of it


def test_words_that_yaml_takes_for_truth_values_are_words() -> None:
    found = good(file="admin: off\ndecision-log: off\nallow-http-loopback: true\n")
    assert found.admin is None
    assert found.decision_log is LogSink.OFF
    assert found.allow_http_loopback is True


def test_an_octal_mode_is_read_as_it_stands() -> None:
    assert good(file="socket-mode: 0640\n").socket_mode == 0o640
    assert good(file="socket-mode: '0640'\n").socket_mode == 0o640


def test_a_number_that_yaml_would_read_in_base_sixty_is_no_number() -> None:
    assert bad(file="threads: 1:40\n")[0].startswith("f.yaml:1:threads: `1:40` cannot be used")


def test_an_empty_file_says_nothing() -> None:
    assert good(file="# nothing\n") == good(file="---\n") == good()


def test_a_key_without_a_value_is_a_mistake() -> None:
    assert bad(file="threads:\n")[0].startswith("f.yaml:1:threads: `` cannot be used")


def test_a_key_that_is_said_twice_is_a_mistake() -> None:
    assert bad(file="log-level: debug\nlog-level: info\n") == [
        "f.yaml:2:log-level: is said twice; allowed: each key once"
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("threads: {a: 1}\n", "f.yaml:1:threads: is neither a value nor a list of values"),
        ("listen: [[a]]\n", "f.yaml:1:listen: is neither a value nor a list of values"),
        ("listen: &a [*a]\n", "f.yaml:1:listen: is neither a value nor a list of values"),
        ("threads: !!python/object:os.system 1\n", "f.yaml:1:threads: is neither a value nor a list of values"),
        ("policies: !!binary cA==\n", "f.yaml:1:policies: is neither a value nor a list of values"),
        ("threads: !mine 1\n", "f.yaml:1:threads: is neither a value nor a list of values"),
        ("- threads: 1\n", "f.yaml: the file is not a mapping; allowed: lines like `threads: 4`"),
        ("threads\n", "f.yaml: the file is not a mapping; allowed: lines like `threads: 4`"),
        ("threads: 1\n---\nthreads: 2\n", "f.yaml:2: the file is not one YAML document in UTF-8"),
        ("threads: [1\nlog-level: debug\n", "f.yaml:2: the file is not one YAML document in UTF-8"),
        ("a: *b\n", "f.yaml:1: the file is not one YAML document in UTF-8"),
        ("[" * 5000, "f.yaml: the file is not one YAML document in UTF-8"),
        ("? [a]\n: 1\n", "f.yaml:1:?: there is no such setting"),
        ("<<: {threads: 1}\n", "f.yaml:1:<<: is neither a value nor a list of values"),
    ],
)
def test_a_file_of_another_form_is_refused(text: str, problem: str) -> None:
    assert bad(file=text) == [problem]


def test_a_file_in_another_encoding_is_refused() -> None:
    assert bad(file="threads: 1 # ü".encode("latin-1")) == ["f.yaml: the file is not one YAML document in UTF-8"]


def test_a_file_beyond_all_measure_is_refused_unread() -> None:
    assert bad(file=b"#" * (64 * 1024 + 1)) == ["f.yaml: the file is larger than 65536 bytes"]


def test_words_become_values() -> None:
    assert good(file="log-level: debug\n").log_level is LogLevel.DEBUG
    assert good(file="decision-log: ./d.log\n").decision_log == Path("d.log")
