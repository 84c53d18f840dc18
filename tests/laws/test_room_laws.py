"""Laws of quotas: never more keys than an account may have, none refused that has room, and nobody pays for others."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extauthz.model.reason import Reason
from extauthz.model.reuse import Limit, LimitBy, Reuse
from extauthz.model.time import Instant, Seconds
from extauthz.model.token import IssuerRef
from extauthz.model.verdict import PolicyRef
from extauthz.replay.memory import MemoryStore
from extauthz.replay.plan import Owner, plan_spends
from extauthz.replay.room import Account, Quotas, grouped, paid_until
from extauthz.replay.spend import Bind, Count, Mark, Pepper, Rate, Room, Spend, Unmarked, Use
from extauthz.replay.store import Committed, Left, Refused, Store, foreseen
from tests.building import NOW, TRUST, verified, view
from tests.clock import FakeClock

PEPPER = Pepper(b"p" * 32)
OWNER = Owner(PolicyRef("shop", "orders"), "place", shadow=False)
MOST = 4

Made = tuple[str, int, float]
"""What a commit counts: kind, which key, and for how long."""
_MADE = st.tuples(st.sampled_from("ubrm"), st.integers(0, 7), st.sampled_from([1.0, 5.0, 40.0, 300.0]))
HISTORIES = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.0, 0.5, 3.0, 60.0]),
        st.sampled_from([b"a", b"b"]),
        st.lists(_MADE, min_size=1, max_size=3, unique_by=lambda made: made[:2]),
    ),
    max_size=50,
)


def count(made: Made, account: bytes, now: float) -> Count:
    """One count that is never refused for itself."""
    kind, number, life = made
    key = account + bytes([number])
    match kind:
        case "u":
            return Use(key=key, max_uses=1000, until=Instant(now + life))
        case "m":
            return Mark(key=key, until=Instant(now + life))
        case "b":
            return Bind(key=key, value=b"v", until=Instant(now + life))
        case _:
            return Rate(key=key, amount=1000, window=Seconds(life), label="l")


def room(account: bytes, most: int = MOST) -> Room:
    """Room for the keys of an account."""
    return Room(key=account, most=most, label=f"quota of {account.decode()}")


@dataclass
class Payers:
    """Which keys live until when, at the least and at the most, by account."""

    least: dict[tuple[bytes, str, bytes], float] = field(default_factory=dict)
    most: dict[tuple[bytes, str, bytes], float] = field(default_factory=dict)
    widest: dict[tuple[bytes, str, bytes], float] = field(default_factory=dict)
    """The longest life that was asked for, of those that may live."""

    def judge(self, store: Store, account: bytes, made: list[Made], now: float) -> None:
        """Commit, and compare."""
        counts = tuple(count(each, account, now) for each in made)
        # What only asks for a mark makes no key, and none is made here.
        asking = Unmarked(key=account + b"?", until=Instant(now + 300))
        spends: tuple[Spend, ...] = (asking, *counts, room(account))
        foretold = foreseen(store.look(spends))
        outcome = store.commit(spends, None)
        assert type(foretold) is type(outcome)
        names = {(account, each[0], one.key) for each, one in zip(made, counts, strict=True)}
        surely, perhaps = (
            {name for name, end in ends.items() if name[0] == account and end > now} for ends in (self.least, self.most)
        )
        if isinstance(outcome, Committed):
            assert len(surely | names) <= MOST, "more keys than the account may have"
            for each, one in zip(made, counts, strict=True):
                self._keep((account, each[0], one.key), now, each[2])
        else:
            assert isinstance(outcome, Refused)
            assert isinstance(outcome.spend, Room)
            assert not names <= surely, "refused though no key is new"
            assert len(perhaps | names) > MOST, "refused though there was room"
            assert outcome.retry_after is None or outcome.retry_after > 0
            for each, one in zip(made, counts, strict=True):
                # A log that a longer window asked for is remembered for that one, though the request was refused.
                if each[0] == "r" and (account, "r", one.key) in perhaps:
                    self._perhaps((account, "r", one.key), now, each[2])

    def _keep(self, name: tuple[bytes, str, bytes], now: float, life: float) -> None:
        self.least[name] = max(self.least.get(name, 0.0), now + life)
        self._perhaps(name, now, life)

    def _perhaps(self, name: tuple[bytes, str, bytes], now: float, life: float) -> None:
        if name[1] == "r" and self.most.get(name, 0.0) > now:
            # A log that a longer window once asked for remembers later requests for that one, too.
            life = max(life, self.widest[name])
        self.widest[name] = life
        # What the class promises, and what a server may add: five seconds of margin, rounded as well.
        longest = life + 6.0
        self.most[name] = max(self.most.get(name, 0.0), now + longest + max(1.0, longest / 8) + 1.0)


@given(HISTORIES)
@settings(max_examples=300)
def test_an_account_never_has_more_keys_than_it_may_and_refuses_none_that_has_room(
    history: list[tuple[float, bytes, list[Made]]],
) -> None:
    clock, payers = FakeClock(NOW), Payers()
    store = MemoryStore(clock)
    for gap, account, made in history:
        clock.advance(gap)
        payers.judge(store, account, made, clock.now())


_SHARED = st.lists(
    st.tuples(
        st.sampled_from([0.0, 3.0]),
        st.sampled_from([b"a", b"b"]),
        st.tuples(st.sampled_from("ubr"), st.integers(0, 7), st.sampled_from([1.0, 300.0])),
    ),
    min_size=20,
    max_size=100,
)


@given(_SHARED)
@settings(max_examples=200)
def test_accounts_that_count_by_the_same_keys_have_together_no_more_than_they_may(
    history: list[tuple[float, bytes, Made]],
) -> None:
    clock, ends = FakeClock(NOW), dict[tuple[str, int], float]()
    store = MemoryStore(clock)
    for gap, account, made in history:
        clock.advance(gap)
        now = clock.now()
        spends = (count(made, b"shared", now), room(account))
        foretold = foreseen(store.look(spends))
        outcome = store.commit(spends, None)
        assert type(foretold) is type(outcome)
        if isinstance(outcome, Committed):
            ends[made[:2]] = max(ends.get(made[:2], 0.0), now + made[2])
        assert sum(end > now for end in ends.values()) <= 2 * MOST


@given(st.floats(0, 1e7), st.floats(0, 1e6))
def test_a_key_that_is_paid_for_ends_at_most_an_eighth_of_its_life_or_a_second_later(life: float, since: float) -> None:
    now = Instant(NOW + since)
    until = Instant(now + life)
    paid = paid_until(until, now)
    assert until <= paid <= until + max(1.0, (until - now) / 8)
    # So that the ends of an account are few.
    assert paid_until(until, now) % 1 == 0


def test_an_account_of_a_hundred_thousand_keys_remembers_few_ends() -> None:
    account = Account()
    for number in range(100_000):
        now = Instant(NOW + number / 100)
        account.move(None, paid_until(Instant(now + 600), now))
        account.held(now)
    assert len(account._ends) <= 33
    assert account.held(Instant(NOW + 1000)) <= 60_000 * 9 / 8


def test_rooms_pay_for_the_counts_right_before_them() -> None:
    use, tie = Use(key=b"u", max_uses=1, until=Instant(NOW)), Bind(key=b"b", value=b"", until=Instant(NOW))
    first, second = room(b"1"), room(b"2")
    groups = [(group.counts, group.rooms) for group in grouped((use, first, second, tie, first))]
    assert groups == [((use,), (first, second)), ((tie,), (first,))]


# Who pays


def _look(store: Store, spends: tuple[Spend, ...]) -> tuple[Left, ...]:
    looked = store.look(spends)
    assert isinstance(looked, tuple)
    return looked


def rooms(ref: IssuerRef | None, *, iss: str = "https://i", policies: str = "shop", **quotas: int) -> dict[str, bytes]:
    """The rooms of a plan for a token of this issuer, key by label."""
    token = None
    if ref is not None:
        token = verified()._replace(trust=replace(TRUST, ref=ref), claims=dict(verified().claims) | {"iss": iss})
    owner = Owner(PolicyRef(policies, "p"), "r", shadow=False)
    reuse = Reuse(max_uses=1) if token is not None else None
    by = LimitBy.SOURCE_ADDRESS if token is None else LimitBy.SUBJECT
    limits = (Limit(name="l", by=(by,), requests=1, window=Seconds(1.0)),)
    spends = plan_spends(reuse, limits, token, view("/"), owner, PEPPER, Instant(NOW), Quotas(**quotas))
    assert isinstance(spends, tuple)
    assert not isinstance(spends[0], Room)
    return {spend.label: spend.key for spend in spends if isinstance(spend, Room)}


def test_each_issuer_pays_for_itself_and_all_token_issuers_of_a_namespace_together() -> None:
    one, two = IssuerRef("TokenIssuer", "shop", "one"), IssuerRef("TokenIssuer", "shop", "two")
    first, second = rooms(one, issuer=10, namespace=20), rooms(two, issuer=10, namespace=20)
    assert first["store quota of TokenIssuer shop/one"] != second["store quota of TokenIssuer shop/two"]
    assert first["store quota of namespace shop"] == second["store quota of namespace shop"]
    # Whose policy counts makes no difference: else many policies would be many quotas.
    assert rooms(one, policies="billing", issuer=10, namespace=20) == first


def test_a_cluster_wide_issuer_pays_by_tenant_and_no_namespace_pays_for_it() -> None:
    corp = IssuerRef("ClusterTokenIssuer", "", "corp")
    paid = rooms(corp, issuer=10, namespace=20)
    assert [*paid] == ["store quota of ClusterTokenIssuer corp"]
    assert paid != rooms(corp, iss="https://other-tenant", issuer=10, namespace=20)


def test_requests_without_a_token_pay_for_the_namespace_of_the_policy_alone() -> None:
    paid = rooms(None, issuer=10, namespace=20)
    assert [*paid] == ["store quota of addresses, and requests without a token, in shop"]
    assert paid != rooms(None, policies="billing", issuer=10)
    assert not set(paid.values()) & set(
        rooms(IssuerRef("TokenIssuer", "shop", "one"), issuer=10, namespace=20).values()
    )


def test_a_count_by_address_has_one_payer_and_takes_one_place_whoever_sends_the_requests() -> None:
    clock, quotas = FakeClock(NOW), Quotas(issuer=9)
    store = MemoryStore(clock)
    limit = Limit(name="l", by=(LimitBy.SOURCE_ADDRESS,), requests=10_000, window=Seconds(3600))
    refs = [IssuerRef("TokenIssuer", "shop", name) for name in ("one", "two")]
    tokens = (None, *(verified()._replace(trust=replace(TRUST, ref=ref)) for ref in refs))
    for token in 100 * tokens:
        clock.advance(10)
        spends = plan_spends(None, (limit,), token, view("/"), OWNER, PEPPER, clock.now(), quotas)
        assert isinstance(spends, tuple)
        assert isinstance(store.commit(spends, None), Committed)
        (left,) = [left for left in _look(store, spends) if isinstance(left.spend, Room)]
        assert left.before == 8


def test_counts_by_address_beside_others_of_a_token_are_paid_for_apart() -> None:
    by = [(LimitBy.SUBJECT,), (LimitBy.SOURCE_ADDRESS,), (LimitBy.SOURCE_ADDRESS, LimitBy.ISSUER)]
    limits = tuple(Limit(name=f"l{n}", by=each, requests=1, window=Seconds(1.0)) for n, each in enumerate(by))
    spends = plan_spends(
        Reuse(max_uses=1), limits, verified(), view("/"), OWNER, PEPPER, Instant(NOW), Quotas(issuer=9, namespace=9)
    )
    assert isinstance(spends, tuple)
    groups = [
        ([each.label for each in group.counts], [each.label for each in group.rooms]) for group in grouped(spends)
    ]
    assert groups == [
        (["reuse", "l0", "l2"], ["store quota of TokenIssuer shop/corp", "store quota of namespace shop"]),
        (["l1"], ["store quota of addresses, and requests without a token, in shop"]),
    ]


def test_without_quotas_nothing_is_paid() -> None:
    assert rooms(IssuerRef("TokenIssuer", "shop", "one")) == {}


def test_a_flooding_issuer_is_refused_and_leaves_the_others_untouched() -> None:
    clock = FakeClock(NOW)
    store, answers = MemoryStore(clock, capacity=1000), Counter[str]()
    quotas = Quotas(issuer=100)

    def use(name: str, number: int) -> Any:
        token = verified()._replace(
            trust=replace(TRUST, ref=IssuerRef("TokenIssuer", "shop", name)),
            identity=f"{name}{number}".encode(),
        )
        spends = plan_spends(Reuse(max_uses=1), (), token, view("/"), OWNER, PEPPER, clock.now(), quotas)
        assert isinstance(spends, tuple)
        return store.commit(spends, None)

    good = 0
    for number in range(2000):
        outcome = use("flood", number)
        answers[outcome.spend.reason.label if isinstance(outcome, Refused) else type(outcome).__name__] += 1
        if number % 40 == 0:
            assert isinstance(use("calm", number), Committed)
            good += 1
    assert answers == {"Committed": 100, Reason.STORE_QUOTA.label: 1900}
    assert good == 50
    # A token that was counted is known to be used, however full the account is.
    refused = use("flood", 0)
    assert isinstance(refused, Refused)
    assert refused.spend.reason is Reason.TOKEN_REUSED


def test_a_room_that_was_parted_from_its_counts_is_no_commit() -> None:
    with pytest.raises(AssertionError, match="must stand behind"):
        MemoryStore(FakeClock(NOW)).commit((room(b"a"),), None)
