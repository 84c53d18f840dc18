"""What is kept of the API server's objects when there are more TokenRevocations than there is room for."""

from __future__ import annotations

import math
import threading
from typing import Any

import pytest

from extauthz.control import controller, kept
from extauthz.control.events import Applied, Deleted, Listed, Resource
from extauthz.control.kept import LOOK, RETRY, SPARE
from extauthz.control.objects import Objects
from extauthz.control.resources import watched
from extauthz.model.time import Instant
from extauthz.policy.compile import Compiler
from tests import issuing
from tests.building import NOW, moment, obj, policy, revocation, with_token
from tests.clock import FakeClock
from tests.worlds import Asked

RESOURCES = {resource.plural: resource for resource in watched(None, "ops")}
REVOCATIONS: Resource = RESOURCES["tokenrevocations"]
MOST = 10


def revoked(namespace: str, *numbers: int, **said: Any) -> list[dict[str, Any]]:
    return [revocation(f"r{number:03}", namespace, **({"jti": f"id-{number}"} | said)) for number in numbers]


class Held:
    """Objects, and what a replica that compiles them answers."""

    def __init__(self, *, prunes: bool = False) -> None:
        self.objects = Objects(threading.Event(), FakeClock(NOW), MOST)
        self.objects.follow_status = prunes
        spec = {"issuer": issuing.ISSUER, "audiences": ["orders-api"], "keys": {"inline": issuing.jwks("rsa")}}
        everyone = {"issuers": [{"kind": "ClusterTokenIssuer", "name": "all"}]}
        self.take(
            obj("ClusterTokenIssuer", "all", spec, ""),
            *(obj("TokenIssuer", "corp", spec, namespace) for namespace in ("shop", "bank")),
            *(
                policy("p", with_token("own", match={"path": {"exact": "/own"}}),
                       {"name": "all", "token": everyone, "match": [{"path": {"exact": "/all"}}]},
                       hosts=(f"{namespace}.example",), namespace=namespace)
                for namespace in ("shop", "bank")
            ),
        )  # fmt: skip

    def take(self, *found: dict[str, Any]) -> None:
        for each in found:
            plural = {"ClusterTokenIssuer": "clustertokenissuers", "TokenIssuer": "tokenissuers"}.get(
                each["kind"], "accesspolicies" if each["kind"] == "AccessPolicy" else "tokenrevocations"
            )
            self.objects.take(Applied(RESOURCES[plural], each))

    def list(self, *found: dict[str, Any]) -> None:
        self.objects.take(Listed(REVOCATIONS, iter(found)))

    def gone(self, *found: dict[str, Any]) -> None:
        for each in found:
            self.objects.take(Deleted(REVOCATIONS, each))

    def kept(self, namespace: str) -> int:
        refs = [each.ref for each in self.objects.picture().objects]
        return sum(ref.kind == "TokenRevocation" and ref.namespace == namespace and ref.name != "*" for ref in refs)

    def answers(self, jti: str = "id-999") -> dict[str, str]:
        """The reason of the answer to a token, by namespace and issuer."""
        snapshot = Compiler("ops").compile(self.objects.picture().objects)
        asked = Asked()
        asked.keys.reconcile(snapshot.issuer_keys)
        asked.snapshot = snapshot
        token = issuing.token(issuing.claims(jti=jti))
        return {
            f"{namespace}{path}": asked.reason(path, token, host=f"{namespace}.example")
            for namespace in ("shop", "bank")
            for path in ("/own", "/all")
        }


ALL_GOOD = {"shop/own": "allow", "shop/all": "allow", "bank/own": "allow", "bank/all": "allow"}
BANK_DENIED = ALL_GOOD | {"bank/own": "policy_invalid", "bank/all": "policy_invalid"}


def test_up_to_the_bound_all_are_kept() -> None:
    held = Held()
    held.list(*revoked("bank", *range(MOST)))
    assert (held.kept("bank"), held.objects.crowded()) == (MOST, frozenset())
    assert held.answers() == ALL_GOOD
    assert held.answers("id-3")["bank/own"] == "token_revoked"


@pytest.mark.parametrize("listed", [False, True])
def test_beyond_it_the_namespace_with_the_most_is_denied_and_the_others_keep_theirs(listed: bool) -> None:
    held = Held()
    few, many = revoked("shop", 0, 1, 2), revoked("bank", *range(3, MOST + 1))
    if listed:
        # In the order of an API server: by namespace.
        held.list(*many, *few)
    else:
        held.take(*many, *few)
    assert (held.kept("bank"), held.kept("shop")) == (0, 3)
    assert held.objects.crowded() == {"bank"}
    assert held.answers() == BANK_DENIED
    assert held.answers("id-1")["shop/own"] == "token_revoked"
    # What comes later is not kept either, however much.
    held.take(*revoked("bank", *range(100, 200)))
    assert (held.kept("bank"), held.answers()) == (0, BANK_DENIED)


def test_when_the_install_namespace_has_too_many_the_clusters_tokens_are_denied_everywhere_and_no_others() -> None:
    held = Held()
    held.list(*revoked("ops", *range(MOST + 1), issuer={"kind": "ClusterTokenIssuer", "name": "all"}))
    assert held.answers() == ALL_GOOD | {"shop/all": "policy_invalid", "bank/all": "policy_invalid"}


def test_a_change_of_one_that_is_kept_needs_no_room() -> None:
    held = Held()
    held.list(*revoked("bank", *range(MOST)))
    held.take(*revoked("bank", *range(MOST), reason="again"))
    assert (held.kept("bank"), held.objects.crowded()) == (MOST, frozenset())


def test_one_that_went_makes_room_for_one() -> None:
    held = Held()
    held.list(*revoked("bank", *range(MOST)))
    held.gone(*revoked("bank", 0, 0))
    held.take(*revoked("bank", 50))
    assert held.objects.crowded() == frozenset()
    held.take(*revoked("bank", 51))
    assert held.objects.crowded() == {"bank"}


def test_a_list_with_fewer_mends_it_and_is_asked_for_once_something_was_deleted() -> None:
    held = Held()
    assert held.objects.relist_after(REVOCATIONS) == math.inf
    held.list(*revoked("bank", *range(MOST + 1)))
    assert held.objects.relist_after(REVOCATIONS) == LOOK
    held.gone(*revoked("bank", 7))
    assert held.objects.relist_after(REVOCATIONS) == RETRY
    assert held.answers() == BANK_DENIED
    held.list(*revoked("bank", 1, 2))
    assert (held.objects.crowded(), held.objects.relist_after(REVOCATIONS)) == (frozenset(), math.inf)
    assert held.answers() == ALL_GOOD
    assert held.answers("id-2")["bank/own"] == "token_revoked"


def test_who_prunes_still_sees_what_has_expired_in_a_crowded_namespace() -> None:
    held = Held(prunes=True)
    over = revoked("bank", *range(3), expires=moment(NOW - 1))
    held.list(*over, *revoked("bank", *range(3, MOST + 1)))
    assert held.kept("bank") == 3
    held.list(*revoked("bank", *range(SPARE + 50), expires=moment(NOW - 1)))
    assert held.kept("bank") == SPARE


def born_expired(namespace: str, *numbers: int, **said: Any) -> list[dict[str, Any]]:
    """Revocations that were over before they were created."""
    found = revoked(namespace, *numbers, **({"expires": moment(NOW - 7200)} | said))
    for each in found:
        each["metadata"]["creationTimestamp"] = moment(NOW - 60)
    return found


@pytest.mark.parametrize("prunes", [False, True])
def test_those_that_were_over_before_they_were_created_take_no_room(prunes: bool) -> None:
    held = Held(prunes=prunes)
    typos = born_expired("bank", *range(100, 120))
    held.list(*typos, *revoked("bank", *range(MOST)))
    assert (held.kept("bank"), held.objects.crowded()) == (MOST + 20, frozenset())
    assert held.answers("id-100") == ALL_GOOD
    # One that goes makes no room, as it took none.
    held.gone(typos[0])
    held.take(*revoked("bank", 50))
    assert (held.kept("bank"), held.objects.crowded()) == (19, frozenset({"bank"}))


def test_those_beyond_the_number_that_is_left_take_room_and_are_pruned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "LEFT", 5)
    held = Held(prunes=True)
    held.list(*born_expired("bank", *range(7)), *born_expired("shop", 1), *revoked("bank", *range(50, 50 + MOST - 3)))
    assert (held.kept("bank"), held.objects.crowded()) == (MOST + 4, frozenset())
    expired = controller._expired(held.objects.picture(), Instant(NOW))
    assert [item.ref.name for item, _ in expired] == ["r005", "r006"]
    held.take(*revoked("bank", 90, 91))
    assert held.objects.crowded() == {"bank"}
    # Those that are left keep their status, those to be pruned are spared.
    assert held.kept("bank") == 7


def test_one_that_goes_leaves_its_place_to_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "LEFT", 1)
    held = Held()
    held.list(*revoked("bank", *range(MOST)), *born_expired("bank", 20))
    held.gone(*born_expired("bank", 20))
    held.take(*born_expired("bank", 21))
    assert held.objects.crowded() == frozenset()


def test_one_that_is_not_over_by_our_clock_counts_and_takes_room() -> None:
    held = Held()
    ahead = born_expired("bank", 3, expires=moment(NOW + 60))
    ahead[0]["metadata"]["creationTimestamp"] = moment(NOW + 7200)
    held.list(*ahead, *revoked("bank", *range(50, 50 + MOST - 1)))
    assert held.answers("id-3")["bank/own"] == "token_revoked"
    held.take(*revoked("bank", 90))
    assert held.objects.crowded() == {"bank"}


def test_one_that_is_mended_takes_room_and_one_that_is_mistyped_gives_it_back() -> None:
    held = Held(prunes=True)
    held.list(*born_expired("bank", 20), *revoked("bank", *range(MOST)))
    held.take(*born_expired("bank", 3))
    assert (held.kept("bank"), held.objects.crowded()) == (MOST + 1, frozenset())
    assert held.answers("id-3") == ALL_GOOD
    held.take(*born_expired("bank", 20, expires=moment(NOW + 60)))
    assert (held.kept("bank"), held.objects.crowded()) == (MOST + 1, frozenset())
    assert held.answers("id-20")["bank/own"] == "token_revoked"
    held.take(*born_expired("bank", 3, expires=moment(NOW + 60)))
    assert held.objects.crowded() == {"bank"}


def test_in_a_crowded_namespace_they_are_no_reason_to_look_again() -> None:
    held = Held(prunes=True)
    held.list(*revoked("bank", *range(MOST + 1)), *born_expired("bank", 50, 51))
    held.gone(*born_expired("bank", 50))
    assert (held.kept("bank"), held.objects.relist_after(REVOCATIONS)) == (1, LOOK)


def test_what_expired_after_it_was_created_is_pruned_and_what_expired_before_is_left() -> None:
    held = Held(prunes=True)
    over = born_expired("bank", 1, expires=moment(NOW - 301))
    over[0]["metadata"]["creationTimestamp"] = moment(NOW - 302)
    held.list(*over, *revoked("bank", 2, expires=moment(NOW - 301)), *born_expired("bank", 3))
    found = controller._expired(held.objects.picture(), Instant(NOW))
    assert [(item.ref.name, expires) for item, expires in found] == [("r001", NOW - 301), ("r002", NOW - 301)]


def test_a_list_that_breaks_off_changes_nothing() -> None:
    held = Held()
    held.list(*revoked("bank", 1))

    def broken() -> Any:
        yield revoked("bank", 2)[0]
        raise OSError("connection lost")

    with pytest.raises(OSError, match="connection lost"):
        held.objects.take(Listed(REVOCATIONS, broken()))
    assert held.answers("id-1")["bank/own"] == "token_revoked"
    assert held.answers("id-2")["bank/own"] == "allow"
