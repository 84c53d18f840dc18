"""The key ring: keys stay fresh in the background, and one issuer's trouble stays its own."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from extauthz.keys.fetch import Fetcher
from extauthz.keys.jwk import KeyRules
from extauthz.keys.jwks import FIRST, Discovery, InlineKeys, IssuerKeys, JwksUrl, KeyFile, KeyRing, KeyState
from extauthz.keys.schedule import OF_ONE
from extauthz.keys.source import Source
from extauthz.model.time import Instant, Seconds
from extauthz.model.token import IssuerRef
from tests.building import NOW
from tests.clock import FakeClock
from tests.issuing import state
from tests.unit.keys.made import RULES, ec_jwk, key_set, rsa_jwk
from tests.unit.keys.servers import Site, ca_pem, dripping, server_tls, serving

A, B = (IssuerRef("TokenIssuer", "shop", name) for name in "ab")
ONE, TWO = key_set(ec_jwk("one")), key_set(ec_jwk("two", "two"))
PATIENCE = 10.0


class Watched:
    """A ring under a clock that stands still, and a way to wait for what its threads bring about."""

    def __init__(self, *, allow: bool = True, deadline: float = 3.0) -> None:
        self.clock = FakeClock()
        self.changes = 0
        self._changed = threading.Condition()
        fetcher = Fetcher(allow_loopback=allow, deadline=Seconds(deadline))
        self.ring = KeyRing(self.clock, on_change=self._note, fetcher=fetcher)
        self.issuers: tuple[IssuerKeys, ...] = ()

    def _note(self) -> None:
        with self._changed:
            self.changes += 1
            self._changed.notify_all()

    def keep(self, *issuers: IssuerKeys) -> None:
        """Set the issuers, and begin when that has not been done."""
        self.issuers = issuers
        self.ring.reconcile(issuers)
        self.ring.start()

    def later(self, seconds: float) -> None:
        """Turn the clock, and let the ring look at it."""
        self.clock.advance(seconds)
        self.ring.reconcile(self.issuers)

    def until(self, holds: Callable[[KeyState], bool], ref: IssuerRef = A) -> KeyState:
        """Wait until the state of an issuer is as wanted."""
        with self._changed:
            assert self._changed.wait_for(lambda: holds(self.state(ref)), PATIENCE), self.state(ref)
        return self.state(ref)

    def until_turned(self, holds: Callable[[KeyState], bool], ref: IssuerRef = A) -> KeyState:
        """Turn the clock until the state of an issuer is as wanted: a look that is under way may end after a turn, and
        makes its next appointment from then."""
        for _ in range(round(PATIENCE / 0.05)):
            self.later(2)
            with self._changed:
                if self._changed.wait_for(lambda: holds(self.state(ref)), 0.05):
                    break
        return self.until(holds, ref)

    def state(self, ref: IssuerRef = A) -> KeyState:
        return self.ring.states()[ref]

    def kids(self, ref: IssuerRef = A) -> list[str | None]:
        """The usable keys now."""
        usable = self.state(ref).usable(self.clock.now())
        return [key.kid for key in usable.keys] if usable is not None else []


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


@pytest.fixture
def watched(stack: ExitStack) -> Watched:
    found = Watched()
    stack.callback(found.ring.stop)
    return found


@pytest.fixture
def site(stack: ExitStack) -> Site:
    return stack.enter_context(serving())


def issuer(source: Source, ref: IssuerRef = A, **more: Any) -> IssuerKeys:
    return IssuerKeys(ref, source, more.pop("rules", RULES), **more)


def has(*kids: str) -> Callable[[KeyState], bool]:
    return lambda state: state.keys is not None and [key.kid for key in state.keys.keys] == list(kids)


def failed(state: KeyState) -> bool:
    return state.problem is not None


def fetched_since(instant: float) -> Callable[[KeyState], bool]:
    return lambda state: state.fetched_at is not None and state.fetched_at >= instant


class Gate:
    """An answer that waits until it is let through."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.entered = threading.Semaphore(0)
        self.opened = threading.Event()

    def __call__(self, _: Any) -> bytes:
        self.entered.release()
        self.opened.wait(PATIENCE)
        return self.body


def test_inline_keys_are_ready_at_once_without_any_thread() -> None:
    watched = Watched()
    watched.ring.reconcile((issuer(InlineKeys(ONE)),))
    assert watched.kids() == ["one"]
    assert watched.ring.first_fetch_done()
    watched.clock.advance(10 * 365 * 86400)
    assert watched.kids() == ["one"]


def test_inline_keys_that_are_unusable_are_a_problem_for_the_operator() -> None:
    watched = Watched()
    watched.ring.reconcile((issuer(InlineKeys(b"{}")),))
    assert watched.kids() == []
    assert (
        watched.state().problem
        == "the policy's own key set is refused: it is `{}`; give the issuer an asymmetric signing key"
    )


def test_keys_are_fetched_in_the_background(watched: Watched, site: Site) -> None:
    site.answers["/keys"] = ONE
    watched.keep(issuer(JwksUrl(f"{site.url}/keys"), max_stale=Seconds(600)))
    state = watched.until(has("one"))
    assert state.fetched_at == watched.clock.now()
    assert state.good_until == watched.clock.now() + 600
    assert state.problem is None
    assert watched.ring.first_fetch_done()


def test_keys_are_found_by_discovery(watched: Watched, site: Site) -> None:
    metadata = {"issuer": site.url, "jwks_uri": f"{site.url}/keys"}
    site.answers["/.well-known/openid-configuration"] = json.dumps(metadata).encode()
    site.answers["/keys"] = ONE
    watched.keep(issuer(Discovery(site.url)))
    watched.until(has("one"))


def test_metadata_of_another_issuer_gives_no_keys(watched: Watched, site: Site) -> None:
    metadata = {"issuer": "https://evil.example", "jwks_uri": f"{site.url}/keys"}
    site.answers["/.well-known/openid-configuration"] = json.dumps(metadata).encode()
    site.answers["/keys"] = ONE
    watched.keep(issuer(Discovery(site.url)))
    assert "names the issuer `https://evil.example`" in str(watched.until(failed).problem)
    assert site.count("/keys") == 0


def test_a_bundle_of_authorities_is_honoured(watched: Watched, stack: ExitStack, tmp_path: Path) -> None:
    site = stack.enter_context(serving(tls=server_tls(tmp_path)))
    site.answers["/keys"] = ONE
    url = f"{site.url}/keys"
    watched.keep(issuer(JwksUrl(url, ca_pem())), issuer(JwksUrl(url, ca_pem("b")), B))
    watched.until(has("one"))
    assert "`caBundle`" in str(watched.until(failed, B).problem)


@pytest.mark.parametrize("allow", [False, True])
def test_this_machine_is_asked_by_permission_only(stack: ExitStack, site: Site, allow: bool, tmp_path: Path) -> None:
    watched = Watched(allow=allow)
    stack.callback(watched.ring.stop)
    secure = stack.enter_context(serving(tls=server_tls(tmp_path)))
    site.answers["/keys"] = secure.answers["/keys"] = ONE
    watched.keep(issuer(JwksUrl(f"{site.url}/keys")), issuer(JwksUrl(f"{secure.url}/keys", ca_pem()), B))
    if allow:
        watched.until(has("one"))
        watched.until(has("one"), B)
    else:
        assert "over https only" in str(watched.until(failed).problem)
        assert "this machine" in str(watched.until(failed, B).problem)
        assert site.asked == secure.asked == []


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ((302, {"Location": "https://elsewhere.example"}, b""), "redirects are not followed"),
        ((503, {}, b""), "HTTP status 503"),
        (b"x" * (1 << 20) + b"x", "more than 1048576 octets"),
        (b"<html>sign in</html>", "HTML"),
        (b"nothing", "no JSON key set"),
        (b"{}", "`{}`"),
        (key_set(*range(10_000)), "10000 keys"),
        (key_set(rsa_jwk("a", bits=1024)), "1024 bits"),
        ((200, {"Content-Encoding": "gzip"}, b"\x1f\x8b"), "compressed"),
    ],
    ids=["redirect", "503", "oversize", "html", "no json", "empty", "10000 keys", "no usable key", "gzip"],
)
def test_a_bad_answer_is_a_problem_and_leaves_the_last_good_keys(
    watched: Watched, site: Site, answer: Any, problem: str
) -> None:
    site.answers["/keys"] = ONE
    watched.keep(issuer(JwksUrl(f"{site.url}/keys")))
    good = watched.until(has("one"))
    site.answers["/keys"] = answer
    watched.later(301)
    bad = watched.until(failed)
    assert problem in str(bad.problem)
    assert f"`{site.url}/keys`" in str(bad.problem)
    assert (bad.keys, bad.good_until, bad.fetched_at) == (good.keys, good.good_until, good.fetched_at)
    assert watched.kids() == ["one"]


def test_a_dripping_issuer_is_left_alone_after_its_time(stack: ExitStack, site: Site) -> None:
    watched = Watched(deadline=0.2)
    stack.callback(watched.ring.stop)
    over = threading.Event()
    stack.callback(over.set)
    site.answers["/drip"] = dripping(over, in_headers=False)
    watched.keep(issuer(JwksUrl(f"{site.url}/drip")))
    assert "took longer than 200ms" in str(watched.until(failed).problem)


def test_an_issuer_that_is_down_at_the_start_is_tried_again(watched: Watched, site: Site) -> None:
    watched.keep(issuer(JwksUrl(f"{site.url}/keys")))
    state = watched.until(failed)
    assert state.usable(watched.clock.now()) is None
    assert state.fetched_at is None
    assert watched.ring.first_fetch_done()
    site.answers["/keys"] = ONE
    watched.later(2)
    assert watched.until(has("one")).problem is None


def test_an_issuer_that_goes_down_serves_its_last_good_keys_until_they_are_stale(watched: Watched, site: Site) -> None:
    site.answers["/keys"] = ONE
    watched.keep(issuer(JwksUrl(f"{site.url}/keys"), max_stale=Seconds(3600)))
    state = watched.until(has("one"))
    del site.answers["/keys"]
    watched.later(3599)
    watched.until(failed)
    assert watched.kids() == ["one"]
    watched.clock.advance(1)
    assert watched.clock.now() == state.good_until
    assert watched.kids() == []
    site.answers["/keys"] = TWO
    watched.later(60)
    watched.until(has("two"))
    assert watched.kids() == ["two"]


def test_a_retired_key_is_gone_after_the_refresh(watched: Watched, site: Site) -> None:
    site.answers["/keys"] = ONE
    watched.keep(issuer(JwksUrl(f"{site.url}/keys")))
    watched.until(has("one"))
    site.answers["/keys"] = TWO
    watched.later(301)
    watched.until(has("two"))
    site.answers["/keys"] = b""
    watched.later(301)
    watched.until(failed)
    assert watched.kids() == ["two"]


def test_an_unchanged_set_stays_the_same_object_and_lives_on(watched: Watched, site: Site) -> None:
    site.answers["/keys"] = ONE
    watched.keep(issuer(JwksUrl(f"{site.url}/keys")))
    first = watched.until(has("one"))
    watched.later(301)
    second = watched.until(fetched_since(watched.clock.now()))
    assert second.keys is first.keys
    assert second.good_until == first.good_until + 301


def test_nothing_is_fetched_before_its_time(watched: Watched, site: Site) -> None:
    site.answers["/keys"] = (200, {"Cache-Control": "max-age=5184000"}, ONE)
    site.answers["/brief"] = (200, {"Cache-Control": "max-age=60"}, ONE)
    watched.keep(issuer(JwksUrl(f"{site.url}/keys")), issuer(JwksUrl(f"{site.url}/brief"), B))
    watched.until(has("one"))
    watched.until(has("one"), B)
    start = watched.clock.now()
    watched.later(61)
    watched.until(fetched_since(start + 61), B)
    assert (site.count("/keys"), site.count("/brief")) == (1, 2)
    watched.later(240)
    watched.until(fetched_since(start + 301))
    assert site.count("/keys") == 2


def test_a_flood_of_unknown_kids_brings_about_one_fetch(watched: Watched, site: Site) -> None:
    site.answers["/keys"] = ONE
    watched.keep(issuer(JwksUrl(f"{site.url}/keys")))
    watched.until(has("one"))
    site.answers["/keys"] = TWO

    def want_often() -> None:
        for _ in range(1000):
            watched.ring.want(A)

    flood = [threading.Thread(target=want_often) for _ in range(4)]
    for thread in flood:
        thread.start()
    for thread in flood:
        thread.join()
    watched.until(has("two"))
    want_often()
    watched.later(29)
    watched.ring.want(A)
    # Another issuer's first fetch shows that the threads had time for one of this issuer.
    watched.keep(*watched.issuers, issuer(JwksUrl(f"{site.url}/other"), B))
    watched.until(failed, B)
    assert site.count("/keys") == 2


def test_an_unknown_kid_brings_about_another_fetch_after_half_a_minute(watched: Watched, site: Site) -> None:
    site.answers["/keys"] = ONE
    watched.keep(issuer(JwksUrl(f"{site.url}/keys")))
    watched.until(has("one"))
    watched.ring.want(A)
    watched.clock.advance(30)
    site.answers["/keys"] = TWO
    watched.ring.want(A)
    watched.until(has("two"))


def test_a_wish_for_an_issuer_that_is_not_kept_is_nothing(watched: Watched) -> None:
    watched.keep(issuer(InlineKeys(ONE)))
    watched.ring.want(A)
    watched.ring.want(B)
    assert list(watched.ring.states()) == [A]


def test_one_fetch_at_a_time_for_one_issuer(watched: Watched, site: Site) -> None:
    gate = Gate(ONE)
    site.answers["/keys"] = gate
    watched.keep(issuer(JwksUrl(f"{site.url}/keys")))
    assert gate.entered.acquire(timeout=PATIENCE)
    for _ in range(5):
        watched.later(400)
        watched.ring.want(A)
    site.answers["/other"] = ONE
    watched.keep(*watched.issuers, issuer(JwksUrl(f"{site.url}/other"), B))
    watched.until(has("one"), B)
    assert site.count("/keys") == 1
    gate.opened.set()
    watched.until(has("one"))
    assert site.count("/keys") == 1


def test_readers_and_wishes_never_wait_for_a_fetch(watched: Watched, site: Site) -> None:
    gate = Gate(TWO)
    site.answers["/keys"] = gate
    watched.keep(issuer(JwksUrl(f"{site.url}/keys")), issuer(InlineKeys(ONE), B))
    assert gate.entered.acquire(timeout=PATIENCE)
    assert watched.kids(A) == []
    assert watched.kids(B) == ["one"]
    watched.ring.want(A)
    watched.ring.reconcile(watched.issuers)
    assert not watched.ring.first_fetch_done()
    gate.opened.set()
    watched.until(has("two"))
    assert watched.ring.first_fetch_done()


def test_bad_issuers_harm_no_other(watched: Watched, site: Site) -> None:
    site.answers["/keys"] = ONE
    site.answers["/crash"] = lambda handler: handler.wfile.close()
    bad = [issuer(JwksUrl(f"{site.url}/crash"), IssuerRef("TokenIssuer", "shop", f"bad{i}")) for i in range(20)]
    watched.keep(*bad, issuer(JwksUrl(f"{site.url}/keys")))
    watched.until(has("one"))
    for each in bad:
        watched.until(failed, each.ref)


def test_hung_servers_of_a_namespace_keep_no_other_waiting_and_nobody_unready_for_long(
    watched: Watched, site: Site
) -> None:
    gate = Gate(TWO)
    site.answers |= {"/keys": ONE, "/hung": gate}
    refs = [IssuerRef("TokenIssuer", "a", f"hung-{number}") for number in range(2 * OF_ONE)]
    watched.keep(*(issuer(JwksUrl(f"{site.url}/hung"), ref) for ref in refs), issuer(JwksUrl(f"{site.url}/keys"), B))
    for _ in range(OF_ONE):
        assert gate.entered.acquire(timeout=PATIENCE)
    watched.until(has("one"), B)
    assert site.count("/hung") == OF_ONE
    assert not watched.ring.first_fetch_done()
    watched.clock.advance(FIRST)
    assert watched.ring.first_fetch_done()
    gate.opened.set()
    for ref in refs:
        watched.until(has("two"), ref)


def test_many_issuers_are_served_by_few_threads(watched: Watched, site: Site) -> None:
    site.answers["/keys"] = ONE
    before = threading.active_count()
    refs = [IssuerRef("TokenIssuer", "shop", f"i{number}") for number in range(200)]
    watched.keep(*(issuer(JwksUrl(f"{site.url}/keys"), ref) for ref in refs))
    names = {thread.name for thread in threading.enumerate() if thread.name.startswith("keys-")}
    for ref in refs:
        watched.until(has("one"), ref)
    assert len(names) <= OF_ONE + 1
    assert threading.active_count() < before + 40


def test_an_unchanged_issuer_keeps_its_state_and_a_removed_one_is_forgotten(watched: Watched, site: Site) -> None:
    site.answers["/keys"] = ONE
    first = issuer(JwksUrl(f"{site.url}/keys"))
    watched.keep(first)
    state = watched.until(has("one"))
    watched.keep(issuer(JwksUrl(f"{site.url}/keys")), issuer(InlineKeys(TWO), B))
    assert watched.state() is state
    watched.keep(issuer(InlineKeys(TWO), B))
    assert list(watched.ring.states()) == [B]
    watched.later(301)
    watched.keep(first, issuer(InlineKeys(TWO), B))
    assert watched.state().keys is None
    watched.until(has("one"))
    assert site.count("/keys") == 2


def test_removed_issuers_are_not_fetched_when_their_time_would_have_come(watched: Watched, site: Site) -> None:
    site.answers["/keys"] = ONE
    refs = [IssuerRef("TokenIssuer", "shop", f"i{number}") for number in range(8)]
    watched.keep(*(issuer(JwksUrl(f"{site.url}/keys"), ref) for ref in refs))
    for ref in refs:
        watched.until(has("one"), ref)
    watched.keep()
    watched.later(400)
    watched.keep(issuer(JwksUrl(f"{site.url}/keys")))
    watched.until(has("one"))
    assert site.count("/keys") == 9


def test_an_issuer_that_comes_back_may_wish_again(watched: Watched, site: Site) -> None:
    site.answers["/keys"] = ONE
    watched.keep(issuer(JwksUrl(f"{site.url}/keys")))
    watched.until(has("one"))
    watched.ring.want(A)
    watched.keep()
    watched.keep(issuer(JwksUrl(f"{site.url}/keys")))
    watched.until(has("one"))
    site.answers["/keys"] = TWO
    watched.ring.want(A)
    watched.until(has("two"))


def test_keys_of_the_old_source_do_not_serve_for_a_new_one(watched: Watched, site: Site) -> None:
    site.answers["/keys"] = ONE
    watched.keep(issuer(JwksUrl(f"{site.url}/keys")))
    watched.until(has("one"))
    gate = Gate(TWO)
    site.answers["/new"] = gate
    watched.keep(issuer(JwksUrl(f"{site.url}/new")))
    assert watched.kids() == []
    gate.opened.set()
    watched.until(has("two"))


def test_new_rules_judge_the_same_document_anew_without_a_gap(watched: Watched, site: Site) -> None:
    site.answers["/keys"] = key_set(ec_jwk("ec"), rsa_jwk("rsa"))
    url = JwksUrl(f"{site.url}/keys")
    watched.keep(issuer(url))
    first = watched.until(has("ec", "rsa"))
    watched.clock.advance(10)
    gate = Gate(site.answers["/keys"])
    site.answers["/keys"] = gate
    watched.keep(issuer(url, rules=KeyRules(algorithms=frozenset({"RS256"})), max_stale=Seconds(100)))
    assert watched.kids() == ["rsa"]
    assert watched.state().fetched_at == first.fetched_at
    assert watched.state().good_until == watched.clock.now() + 90
    watched.keep(issuer(url, rules=KeyRules(algorithms=frozenset({"PS512"}))))
    assert watched.kids() == []
    assert "`alg` is `ES256`" in str(watched.state().problem)
    gate.opened.set()
    watched.keep(issuer(url))
    watched.until(has("ec", "rsa"))


def test_what_comes_back_for_a_removed_issuer_is_dropped(watched: Watched, site: Site) -> None:
    gate, others = Gate(ONE), Gate(TWO)
    site.answers |= {"/keys": gate, "/others": others, "/last": ONE}
    busy = [issuer(JwksUrl(f"{site.url}/others"), IssuerRef("TokenIssuer", "shop", f"busy{i}")) for i in range(3)]
    watched.keep(issuer(JwksUrl(f"{site.url}/keys")), *busy)
    assert gate.entered.acquire(timeout=PATIENCE)
    assert all(others.entered.acquire(timeout=PATIENCE) for _ in busy)
    watched.keep(issuer(JwksUrl(f"{site.url}/last"), B), *busy)
    gate.opened.set()
    # The only thread that is free for this one has dropped the other's result before.
    watched.until(has("one"), B)
    assert A not in watched.ring.states()
    others.opened.set()


def test_states_are_one_immutable_mapping(watched: Watched) -> None:
    watched.ring.reconcile((issuer(InlineKeys(ONE)),))
    states = watched.ring.states()
    with pytest.raises(TypeError):
        states[B] = KeyState()  # type: ignore[index]
    watched.ring.reconcile((issuer(InlineKeys(ONE)),))
    assert watched.ring.states()[A] is states[A]
    watched.ring.reconcile(())
    assert list(states) == [A]
    assert watched.changes == 2


def test_a_file_is_read_again_when_it_changes(watched: Watched, tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_bytes(ONE)
    watched.keep(issuer(KeyFile(file)))
    assert watched.until(has("one")).good_until == float("inf")
    # As a Secret is replaced in a mounted volume: at one stroke.
    (tmp_path / "next.json").write_bytes(TWO)
    (tmp_path / "next.json").replace(file)
    watched.later(2)
    assert watched.until(has("two")).fetched_at == watched.clock.now()


def test_the_log_says_once_that_keys_fail_and_once_that_they_are_back(
    watched: Watched, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "keys.json"
    file.write_bytes(ONE)
    watched.keep(issuer(KeyFile(file)))
    watched.until(has("one"))
    assert caplog.messages == []
    file.unlink()
    watched.later(2)
    watched.until(failed)
    watched.later(2)
    # At one stroke: a file that is being written is another failure, with words of its own.
    (tmp_path / "next.json").write_bytes(ONE)
    (tmp_path / "next.json").replace(file)
    watched.until_turned(lambda found: found.problem is None)
    watched.until(lambda _: len(caplog.messages) == 2)
    failure, end = caplog.messages
    assert failure.startswith(f"the keys of TokenIssuer shop/a cannot be fetched: the key file `{file}` cannot be read")
    assert end == "the keys of TokenIssuer shop/a are fetched again"


def test_the_log_says_which_keys_are_new_gone_or_others_under_the_same_name(
    watched: Watched, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    file = tmp_path / "keys.json"
    file.write_bytes(key_set(ec_jwk("kept"), ec_jwk("old"), rsa_jwk("same")))
    watched.keep(issuer(KeyFile(file)))
    watched.until(has("kept", "old", "same"))

    def later(*keys: Any) -> tuple[str, str]:
        (tmp_path / "next.json").write_bytes(key_set(*keys))
        (tmp_path / "next.json").replace(file)
        seen = len(caplog.records)
        watched.later(2)
        watched.until(lambda _: len(caplog.records) > seen)
        return caplog.records[-1].levelname, caplog.records[-1].message.removeprefix("the keys of TokenIssuer shop/a ")

    assert later(ec_jwk("kept"), ec_jwk("a"), ec_jwk("b"), rsa_jwk("same")) == (
        "INFO",
        "changed; new: `a`, `b`; gone: `old`",
    )
    assert later(ec_jwk("kept"), rsa_jwk("same", "other")) == (
        "WARNING",
        "changed; gone: `a`, `b`; another key under the same `kid`: `same`",
    )
    assert later(ec_jwk("kept"), ec_jwk(None)) == ("INFO", "changed; new: 1 without `kid`; gone: `same`")
    assert later(ec_jwk("kept"), *(ec_jwk(f"k{at}") for at in range(7))) == (
        "INFO",
        "changed; new: `k0`, `k1`, `k2`, `k3`, `k4`, 2 more; gone: 1 without `kid`",
    )


def test_what_is_wrong_with_keys_is_told_with_what_serves_meanwhile() -> None:
    keys, now = state("rsa").keys, Instant(NOW)
    late, until = Instant(NOW - 1), Instant(NOW + 61.9)
    assert KeyState().trouble(now) == "they are not fetched yet"
    assert KeyState(problem="gone").trouble(now) == "gone"
    assert KeyState(keys, until).trouble(now) is None
    assert KeyState(keys, until, problem="gone").trouble(now) == "gone; the last good ones serve for 1m1s yet"
    old = "the last good ones are too old (`refresh.maxStale`)"
    assert KeyState(keys, late).trouble(now) == old
    assert KeyState(keys, late, problem="gone").trouble(now) == f"{old}, and new ones cannot be had: gone"


def test_an_unreadable_file_serves_its_last_good_keys_until_they_are_stale(watched: Watched, tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_bytes(ONE)
    watched.keep(issuer(KeyFile(file), max_stale=Seconds(100)))
    watched.until(has("one"))
    # In one turn: a thread that begins late looks as soon as the clock says so.
    file.unlink()
    watched.later(1002)
    state = watched.until(failed)
    gone = watched.clock.now()
    assert state.problem == f"the key file `{file}` cannot be read: no such file or directory"
    assert state.good_until == gone + 100
    watched.later(50)
    assert watched.kids() == ["one"]
    watched.later(50)
    assert watched.kids() == []
    beside = tmp_path / "next.json"
    beside.write_bytes(ONE)
    beside.replace(file)
    assert watched.until_turned(lambda found: found.problem is None).good_until == float("inf")


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo], ids=["folder", "pipe"])
def test_what_is_no_regular_file_is_not_opened(watched: Watched, tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "keys.json")
    watched.keep(issuer(KeyFile(tmp_path / "keys.json")))
    assert "is no regular file" in str(watched.until(failed).problem)


def test_readiness_waits_for_the_first_issuers_and_for_no_later_ones(watched: Watched, site: Site) -> None:
    assert not watched.ring.first_fetch_done()
    site.answers["/keys"] = ONE
    watched.keep(issuer(JwksUrl(f"{site.url}/keys")))
    watched.until(has("one"))
    assert watched.ring.first_fetch_done()
    gate = Gate(TWO)
    site.answers["/slow"] = gate
    watched.keep(*watched.issuers, issuer(JwksUrl(f"{site.url}/slow"), B))
    assert watched.ring.first_fetch_done()
    gate.opened.set()


def test_a_listener_that_fails_ends_nothing(site: Site, stack: ExitStack) -> None:
    told = threading.Semaphore(0)

    def listen() -> None:
        told.release()
        raise RuntimeError("listener")

    ring = KeyRing(FakeClock(), allow_http_loopback=True, on_change=listen)
    stack.callback(ring.stop)
    site.answers["/keys"] = ONE
    ring.reconcile((issuer(JwksUrl(f"{site.url}/keys")),))
    ring.start()
    assert all(told.acquire(timeout=PATIENCE) for _ in range(2))
    ring.want(A)
    ring.reconcile((issuer(JwksUrl(f"{site.url}/keys")), issuer(JwksUrl(f"{site.url}/keys"), B)))
    assert all(told.acquire(timeout=PATIENCE) for _ in range(2))


def test_a_stopped_ring_has_no_threads_and_starts_no_more(site: Site) -> None:
    watched = Watched()
    watched.keep(issuer(JwksUrl(f"{site.url}/keys")))
    watched.until(failed)
    watched.ring.stop()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("keys-")]
    watched.ring.start()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("keys-")]


def test_usable_keys_end_at_the_instant_they_are_stale() -> None:
    watched = Watched()
    watched.ring.reconcile((issuer(InlineKeys(ONE)),))
    state = KeyState(watched.state().keys, Instant(100.0))
    assert state.usable(Instant(99.9)) is not None
    assert state.usable(Instant(100.0)) is None
    assert KeyState().usable(Instant(0.0)) is None
