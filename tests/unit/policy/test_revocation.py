"""TokenRevocation: read, checked, and so far without effect on any request."""

from __future__ import annotations

from extauthz.policy.compile import compile_snapshot
from extauthz.policy.parse import Broken, Parsed, parse
from extauthz.policy.revocation import TokenRevocationSpec
from tests.building import anonymous, obj, policy

SPEC = {"issuer": {"name": "corp"}, "jti": "b3c1f8e2", "expires": "2031-01-31T12:00:00Z"}


def test_what_it_says_is_read() -> None:
    found = parse(obj("TokenRevocation", "one", SPEC))
    assert isinstance(found, Parsed)
    assert isinstance(found.spec, TokenRevocationSpec)
    assert (found.spec.issuer.kind, found.spec.jti, found.spec.issued_before) == ("TokenIssuer", "b3c1f8e2", None)


def test_a_token_that_it_names_is_in_no_message() -> None:
    for field, value in (("jti", "b3c1f8e2\n"), ("tokenHash", "c0ffee" * 9)):
        broken = parse(obj("TokenRevocation", "one", {**SPEC, field: value}))
        assert isinstance(broken, Broken)
        assert value.strip() not in "\n".join(map(str, broken.problems))


def test_neither_a_good_one_nor_a_broken_one_changes_what_is_served() -> None:
    rule = policy("p", anonymous("r"))
    alone = compile_snapshot([parse(rule)])
    good = compile_snapshot([parse(rule), parse(obj("TokenRevocation", "one", SPEC))])
    bad = compile_snapshot([parse(rule), parse(obj("TokenRevocation", "one", {}))])
    assert good.policies == alone.policies == bad.policies
    assert good.problems == ()
    assert bad.problems
