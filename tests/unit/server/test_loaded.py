"""What `/snapshot` shows of what is loaded."""

from extauthz.model.time import Instant
from extauthz.model.verdict import PolicyRef
from extauthz.policy.compile import compile_snapshot
from extauthz.policy.parse import parse
from extauthz.server.loaded import loaded
from tests.building import NOW, anonymous, policy
from tests.issuing import CORP, state


def test_an_issuer_is_shown_with_its_keys_and_the_time_at_which_they_were_fetched() -> None:
    (shown,) = loaded(None, (), {CORP.ref: state("rsa", "ec")}, Instant(NOW))["issuers"]
    assert (shown["issuer"], shown["usable"], shown["keys"]) == ("TokenIssuer shop/corp", True, ["ec", "rsa"])
    assert shown["fetchedAt"] == "2026-09-21T14:13:20.000Z"


def test_a_policy_that_says_what_an_older_one_says_is_shown_and_counted_as_mistaken() -> None:
    older, newer = policy("a", anonymous("r")), policy("b", anonymous("r"))
    snapshot = compile_snapshot([parse(each) for each in (newer, older)])
    shown = {each["policy"]: each["broken"] for each in loaded(snapshot, (), {}, Instant(NOW))["policies"]}
    assert shown["shop/a"] is None
    assert "conflicted: shop/a is older" in shown["shop/b"]
    assert snapshot.mistaken.keys() == {PolicyRef("shop", "b")}
