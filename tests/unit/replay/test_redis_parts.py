"""The pure parts of the shared store: breaker, server's clock, facts, words for trouble, and what crosses the wire."""

from __future__ import annotations

import errno
import ssl

import pytest
import redis.exceptions as failures
from redis._parsers.base import BaseParser

from extauthz.model.time import Instant, Seconds
from extauthz.replay.redis.breaker import Breaker
from extauthz.replay.redis.facts import Facts, read_facts
from extauthz.replay.redis.server_clock import ServerClock
from extauthz.replay.redis.trouble import Trouble, of_error
from extauthz.replay.redis.wire import Codec, answers, command, told_at
from extauthz.replay.spend import Bind, Grace, Rate, Use
from extauthz.replay.store import Committed, Refused, Unavailable

LATE = Trouble("timeout", "late")
INFO = """# Server
redis_version:7.0.15
run_id:abc
# Memory
maxmemory:0
maxmemory_policy:noeviction
# Persistence
loading:0
aof_enabled:1
# Replication
role:master
# Cluster
cluster_enabled:0
"""


# The breaker


def test_a_breaker_is_open_until_the_first_probe_and_then_closed() -> None:
    breaker = Breaker(threshold=2)
    assert breaker.trouble() is not None
    breaker.close()
    assert breaker.trouble() is None


def test_failures_in_a_row_open_a_breaker_once_and_a_success_between_them_does_not() -> None:
    breaker = Breaker(threshold=2)
    breaker.close()
    assert not breaker.failed(LATE)
    breaker.succeeded()
    assert not breaker.failed(LATE)
    assert breaker.failed(LATE)
    assert breaker.trouble() == LATE
    assert not breaker.failed(Trouble("oom", "another"))
    breaker.succeeded()
    assert breaker.trouble() == LATE


def test_a_breaker_that_was_closed_counts_anew() -> None:
    breaker = Breaker(threshold=2)
    breaker.close()
    breaker.failed(LATE)
    breaker.close()
    assert not breaker.failed(LATE)


# The server's clock

WALL = Instant(1000.0)


def use(life: float) -> Use:
    """A use with so much life left."""
    return Use(key=b"k", max_uses=1, until=Instant(WALL + life))


def jumped(by: float, *, wait: float = 10.0) -> ServerClock:
    """A clock that was seen to jump after a while without calls."""
    clock = ServerClock()
    assert clock.observe(Instant(50_000.0), 0.0, 0.1) == 0.0
    clock.observe(Instant(50_000.0 + wait + by), wait, wait + 0.1)
    return clock


def test_a_clock_that_keeps_pace_jumps_never() -> None:
    clock = ServerClock()
    for second in range(100):
        assert clock.observe(Instant(50_000.0 + second), float(second), second + 0.2) == 0.0
    assert not clock.doubts((use(0.1),), WALL, 100.0)


def test_an_answer_that_came_late_is_no_jump() -> None:
    clock = ServerClock()
    clock.observe(Instant(50_000.0), 0.0, 5.0)
    assert clock.observe(Instant(50_005.0), 5.0, 5.1) == 0.0


def test_a_jump_ahead_makes_those_doubtful_that_have_less_life_left() -> None:
    clock = jumped(60.0)
    assert clock.ahead(11.0) == pytest.approx(60.1)
    assert clock.doubts((use(50.0),), WALL, 11.0)
    # Kept five seconds longer than asked, so sixty back leave this one in place.
    assert not clock.doubts((use(56.0),), WALL, 11.0)
    assert clock.doubts((use(900.0), Bind(key=b"b", value=b"v", until=Instant(WALL + 1))), WALL, 11.0)
    assert not clock.doubts((Rate(key=b"r", amount=1, window=Seconds(1.0), label="l"),), WALL, 11.0)


def test_two_jumps_add_up_and_are_minded_for_an_hour_or_the_longest_life() -> None:
    clock = jumped(60.0)
    assert clock.observe(Instant(50_000.0 + 20 + 60 + 30), 20.0, 20.1) > 0
    assert clock.ahead(21.0) == pytest.approx(90.2)
    assert clock.ahead(20.1 + 3600) == 0.0
    assert not clock.doubts((use(1.0),), WALL, 20.1 + 3600)
    long = ServerClock()
    long.mind((use(7200.0),), WALL)
    long.mind((use(1.0),), WALL)
    long.observe(Instant(50_000.0), 0.0, 0.1)
    long.observe(Instant(50_100.0), 1.0, 1.1)
    assert long.ahead(7000.0) > 0


def test_a_jump_back_and_a_small_correction_are_no_danger() -> None:
    for by in (-3600.0, -1.0, 0.5, 0.9):
        assert jumped(by).ahead(11.0) == 0.0


# Facts


def test_replicas_are_those_that_follow_and_were_heard_of() -> None:
    follows = "slave0:ip=10.0.0.1,port=6379,state=online,offset=14,lag=1\r\n"
    lags, loads = follows.replace("lag=1", "lag=11"), follows.replace("online", "send_bulk")
    assert read_facts((INFO + follows).encode()).replicas == 1
    assert read_facts((INFO + lags).encode()).replicas == 0
    assert read_facts((INFO + loads).encode()).replicas == 0
    assert read_facts((INFO + follows + follows.replace("slave0", "slave1")).encode()).replicas == 2
    fault = read_facts((INFO.replace("cluster_enabled:0", "") + follows).encode()).fault(
        "`s`", allow_eviction=False, min_replicas=2
    )
    assert fault is not None
    assert fault.kind == "replicas"


def test_facts_are_read_and_told() -> None:
    facts = read_facts(INFO.replace("\n", "\r\n").encode())
    assert facts.fault("s", allow_eviction=False) is None
    assert str(facts) == "Redis 7.0.15, persistence AOF, 0 replicas, no maxmemory, policy noeviction"
    assert not facts.may_evict


def test_valkey_is_told_by_its_own_name_and_version() -> None:
    facts = read_facts((INFO + "server_name:valkey\nvalkey_version:9.1.2\n").encode())
    assert str(facts).startswith("Valkey 9.1.2,")
    assert facts.fault("s", allow_eviction=False) is None


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        ("loading:0", "loading:1", "loading"),
        ("cluster_enabled:0", "cluster_enabled:1", "cluster"),
        ("role:master", "role:slave", "readonly"),
        ("redis_version:7.0.15", "redis_version:6.2.14", "version"),
        ("redis_version:7.0.15", "redis_version:unstable", "version"),
        ("maxmemory:0\nmaxmemory_policy:noeviction", "maxmemory:1\nmaxmemory_policy:allkeys-lru", "evicts"),
        ("maxmemory:0\nmaxmemory_policy:noeviction", "maxmemory:1\nmaxmemory_policy:volatile-ttl", "evicts"),
    ],
)
def test_a_server_on_which_counts_are_not_safe_has_a_fault(old: str, new: str, kind: str) -> None:
    assert old in INFO
    fault = read_facts(INFO.replace(old, new).encode()).fault("s", allow_eviction=False)
    assert fault is not None
    assert fault.kind == kind


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ({}, "name its primary"),
        ({"in_cluster": True}, "its cluster tells soon"),
        ({"by_sentinels": True}, "the sentinels of the store s name a replica"),
    ],
)
def test_what_to_do_about_a_replica_depends_on_who_named_it(named: dict[str, bool], words: str) -> None:
    text = INFO.replace("role:master", "role:slave")
    if "in_cluster" in named:
        text = text.replace("cluster_enabled:0", "cluster_enabled:1")
    fault = read_facts(text.encode()).fault("s", allow_eviction=False, **named)
    assert fault is not None
    assert fault.kind == "readonly"
    assert words in fault.detail


def test_eviction_needs_a_bound_and_can_be_allowed() -> None:
    facts = read_facts(INFO.replace("noeviction", "allkeys-lru").encode())
    assert not facts.may_evict
    bounded = read_facts(INFO.replace("noeviction", "allkeys-lru").replace("maxmemory:0", "maxmemory:9").encode())
    assert bounded.may_evict
    assert bounded.fault("s", allow_eviction=True) is None


@pytest.mark.parametrize("name", ["redis_version", "run_id", "role", "maxmemory", "maxmemory_policy"])
def test_info_that_lacks_what_must_be_known_is_refused(name: str) -> None:
    short = "\n".join(line for line in INFO.splitlines() if not line.startswith(f"{name}:"))
    with pytest.raises(ValueError, match=name):
        read_facts(short.encode())


def test_every_field_of_the_facts_counts_when_they_are_compared() -> None:
    assert read_facts(INFO.encode()) == read_facts(INFO.encode())
    assert isinstance(read_facts(INFO.encode()), Facts)


# Words for trouble

MAY_NOT = "has no permissions to run the"
SCRIPT = "mentioned in the command arguments script: 104ae65d, on @user_script:1."


@pytest.mark.parametrize(
    ("reply", "kind", "words"),
    [
        ("OOM command not allowed when used memory > 'maxmemory'. script: 1", "oom", "(OOM)"),
        ("READONLY You can't write against a read only replica.", "readonly", "(READONLY)"),
        ("LOADING Valkey is loading the dataset in memory", "loading", "(LOADING)"),
        ("NOAUTH Authentication required.", "auth", "(NOAUTH)"),
        ("WRONGPASS invalid username-password pair or user is disabled.", "auth", "(WRONGPASS)"),
        ("NOPERM User u has no permissions to run the 'evalsha' command", "auth", "(NOPERM)"),
        ("MISCONF Errors writing to the AOF file", "persistence", "(MISCONF)"),
        ("NOREPLICAS Not enough good replicas to write.", "persistence", "(NOREPLICAS)"),
        ("MASTERDOWN Link with MASTER is down", "readonly", "(MASTERDOWN)"),
        ("BUSY Redis is busy running a script.", "busy", "(BUSY)"),
        ("CLUSTERDOWN Hash slot not served", "cluster", "(CLUSTERDOWN)"),
        ("MOVED 3999 127.0.0.1:6381", "moved", "(MOVED)"),
        ("CROSSSLOT Keys in request don't hash to the same slot", "cluster", "(CROSSSLOT)"),
        ("WRONGTYPE Operation against a key holding the wrong kind of value", "other", "(WRONGTYPE)"),
        ("ERR max number of clients reached", "connection", "maxclients"),
        (f"ERR ACL failure in script: User u {MAY_NOT} 'set' command script: on @user_script:1.", "auth", "`set`"),
        ("ERR ACL failure in script: No permissions to access a key script: on @user_script:1.", "auth", "or key"),
        (f"ERR The user executing the script can't run this command or subcommand {SCRIPT}", "auth", "a command or"),
        (f"ERR The user executing the script can't access at least one of the keys {SCRIPT}", "auth", "or key"),
        ("ERR unknown secret-value", "other", "(ERR)"),
    ],
)
def test_what_a_server_answers_is_told_by_its_code_and_never_quoted(reply: str, kind: str, words: str) -> None:
    trouble = of_error(BaseParser.parse_error(reply), "`redis://a:1`")
    assert trouble.kind == kind
    assert words in trouble.detail
    assert "`redis://a:1`" in trouble.detail
    for told in ("secret-value", "User u", "3999", "evalsha", "104ae65d"):
        assert told not in trouble.detail


def caused(by: OSError) -> failures.ConnectionError:
    """An error of the driver, as it raises it while it handles another."""
    try:
        try:
            raise by
        except OSError:
            raise failures.ConnectionError("hunter2")  # noqa: B904 (so does the driver)
    except failures.ConnectionError as error:
        return error


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (caused(ConnectionRefusedError(errno.ECONNREFUSED, "x")), "refused", "refuses connections"),
        (caused(OSError(errno.EHOSTUNREACH, "x")), "connection", "no route to host"),
        (caused(OSError(-2, "x")), "connection", "cannot be resolved"),
        (caused(ssl.SSLError(1, "x")), "tls", "TLS handshake"),
        (caused(ssl.SSLCertVerificationError(1, "x")), "tls", "is not trusted"),
        (failures.ConnectionError("hunter2"), "connection", "was closed"),
        (failures.TimeoutError("hunter2"), "timeout", "in time"),
        (failures.InvalidResponse("hunter2"), "other", "InvalidResponse"),
        (OSError("hunter2"), "connection", "cannot be"),
    ],
)
def test_what_breaks_on_the_way_is_told_in_our_words(error: Exception, kind: str, words: str) -> None:
    trouble = of_error(error, "`s`")
    assert trouble.kind == kind
    assert words in trouble.detail
    assert "hunter2" not in trouble.detail


# The wire

CODEC = Codec(b"ns:")


def test_durations_cross_and_no_instant_does() -> None:
    spends = (use(300.0), Bind(key=b"b", value=b"v", until=Instant(WALL + 0.0001)), use(0.0))
    request = CODEC.write(spends, None, WALL)
    assert request.arguments[3::5] == (305_000, 5001, 0)
    later = CODEC.write(tuple(spends[:1]), None, Instant(WALL + 100))
    assert later.arguments[3::5] == (205_000,)
    assert not request.repeatable


def test_keys_carry_namespace_format_and_kind_and_the_attempt_comes_last() -> None:
    spends = (use(1.0), Rate(key=b"r", amount=1, window=Seconds(0.0000015), label="l"))
    request = CODEC.write(spends, b"attempt", WALL)
    assert request.keys[:2] == (b"ns:x1:ku", b"ns:x1:rl")
    assert len(request.keys[2]) == len(b"ns:x1:") + 16 + 1
    assert request.repeatable
    assert request.arguments[-3] == 2


def test_an_attempt_is_named_by_what_is_counted_and_whom_it_is_tied_to() -> None:
    def name(*spends: Use | Bind | Rate, attempt: bytes = b"a") -> bytes:
        return CODEC.write(spends, attempt, WALL).keys[-1]

    def tie(value: bytes) -> Bind:
        return Bind(key=b"b", value=value, until=Instant(WALL + 9))

    other = Use(key=b"j", max_uses=1, until=Instant(WALL + 1.0))
    names = [
        name(use(1.0)),
        name(other),
        name(use(1.0), other),
        name(other, use(1.0)),
        name(use(1.0), attempt=b"z"),
        name(tie(b"v")),
        name(tie(b"w")),
        name(Bind(key=b"k", value=b"", until=Instant(WALL + 9))),
    ]
    assert len(set(names)) == len(names)
    # An edited limit or a later instant is the same attempt.
    assert name(use(1.0)) == name(Use(key=b"k", max_uses=7, until=Instant(WALL + 5), grace=Grace(b"g", Seconds(1.0))))


def test_replies_are_read_and_foreign_ones_are_none() -> None:
    spends = (use(1.0), Rate(key=b"r", amount=1, window=Seconds(60.0), label="l"))
    now = 1_790_000_000_000_000
    outcomes = {
        (0, 4, 0, now): Committed(4),
        (0, -1, 0, now): Committed(None),
        (1, 0, -1, now): Refused(spends[0], None),
        (1, 1, 1_500_000, now): Refused(spends[1], Seconds(1.5)),
    }
    for reply, outcome in outcomes.items():
        assert CODEC.read(list(reply), spends) == outcome
    assert isinstance(CODEC.read([2, 0, 0, now], spends), Unavailable)
    for foreign in (None, b"OK", 0, [], [0], [3, 0, 0, now], [1, 2, 0, now], [1, -1, 0, now], [b"0", 1, 0, now]):
        assert CODEC.read(foreign, spends) is None
    for foreign in (None, [3], [3, now, 0], [0, 1, 0, now]):
        assert CODEC.read_look(foreign, spends) is None


def test_the_time_of_a_call_is_that_of_its_last_reply() -> None:
    now = 1_790_000_000_000_000
    replies: list[object] = [Trouble("other", "no"), [0, 1, 0, now], [1, 0, -1, now + 2_000_000], [5, 1, 0, now]]
    assert told_at(replies) == 1_790_000_002.0
    for silent in (
        [],
        [None],
        [Trouble("other", "no")],
        [[3, now]],
        [[3, now, 0, -1, 1, 0]],
        [[0, 1, 0, b"1"]],
        [b"1234"],
    ):
        assert told_at(silent) is None


def test_requests_of_one_call_come_one_behind_the_other_each_with_the_number_of_its_parts() -> None:
    first, second = (CODEC.write((use(1.0),), attempt, Instant(WALL)) for attempt in (None, b"a"))
    crossed = command(b"EVALSHA", b"sha", (first, second))
    assert crossed[:3] == (b"EVALSHA", b"sha", 3)
    assert crossed[3:6] == (*first.keys, *second.keys)
    assert crossed[6:] == (1, len(first.arguments), *first.arguments, 2, len(second.arguments), *second.arguments)


def test_a_call_has_an_answer_for_each_of_its_requests_or_none_for_any() -> None:
    no = failures.ResponseError("OOM")
    assert answers([[0, 1, 0, 5], no], 2) == [[0, 1, 0, 5], no]
    assert answers(no, 2) == [no, no]
    for foreign in (None, b"OK", [], [[0, 1, 0, 5]], [0, 1, 0, 5]):
        assert answers(foreign, 2) == [None, None]
