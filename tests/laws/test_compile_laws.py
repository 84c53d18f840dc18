"""A compiler that has seen other sets before comes to what a fresh one comes to: nothing of the past shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from hypothesis import given, settings
from hypothesis import strategies as st

from extauthz.model.time import Instant
from extauthz.policy.compile import Compiler
from extauthz.policy.grants import Grants
from extauthz.policy.parse import Broken, Parsed, parse
from extauthz.policy.snapshot import Snapshot
from tests import issuing
from tests.building import NOW, anonymous, moment, obj, policy, revocation, verified, view, with_token

_HOSTS: Final = ("a.example", "b.example", "*.example", "*")
_GRANTS: Final[tuple[Grants | None, ...]] = (
    None,
    {"shop": ("*",), "bank": ("*",)},
    {"shop": ("a.example",), "bank": ("*.example",)},
    {"shop": (), "bank": ("b.example",)},
)
Pool = Mapping[tuple[str, str, str], tuple[Parsed | Broken, ...]]


def _policies() -> st.SearchStrategy[dict[str, Any]]:
    rules = st.sampled_from(
        [
            anonymous("open", path={"prefix": "/open"}),
            anonymous("other", path={"exact": "/open/other"}),
            with_token("named", upstream={"claimHeaders": {"x-name": "sub"}}),
            with_token("titled", upstream={"claimHeaders": {"x-title": "title"}}, match={"path": {"prefix": "/t"}}),
            {"name": "broken", "anonymous": True, "requires": {}},
        ]
    )
    return st.builds(
        lambda name, namespace, hosts, rule, created: policy(
            name, rule, hosts=tuple(hosts), namespace=namespace, created=created
        ),
        st.sampled_from("pqr"),
        st.sampled_from(["shop", "bank"]),
        st.lists(st.sampled_from(_HOSTS), min_size=1, max_size=3, unique=True),
        rules,
        st.sampled_from(["2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"]),
    )


def _revocations() -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(
        lambda name, namespace, subject, hours: revocation(
            name, namespace, subject=subject, expires=moment(NOW + 3600 * hours)
        ),
        st.sampled_from("st"),
        st.sampled_from(["shop", "bank"]),
        st.sampled_from(["alice", "bob"]),
        st.integers(1, 4),
    )


def _issuers() -> st.SearchStrategy[dict[str, Any]]:
    spec = {"issuer": issuing.ISSUER, "keys": {"inline": issuing.jwks("rsa")}}
    more = st.sampled_from([{"audiences": ["orders-api"]}, {"audiences": ["other"]}, {"audience": ["misspelt"]}])
    return st.builds(
        lambda namespace, said: obj("TokenIssuer", "corp", spec | said, namespace),
        st.sampled_from(["shop", "bank"]),
        more,
    )


_OBJECTS: Final = st.one_of(_policies(), _policies(), _revocations(), _issuers())
# One value for each object that stays the same, as a source keeps it; which are there changes from step to step.
_POOL: Final = st.lists(_OBJECTS.map(parse), min_size=1, max_size=8, unique_by=lambda item: item.ref)


def _told(snapshot: Snapshot, now: float) -> list[object]:
    """All that can be asked of it."""
    count = 0 if snapshot.revocations is None else snapshot.revocations.count
    answers: list[object] = [snapshot.version, sorted(map(str, snapshot.problems)), snapshot.issuers, count]
    for host in ("a.example", "b.example", "c.example", "example"):
        for path in ("/", "/open", "/open/other", "/t/x"):
            chosen = snapshot.choose(view(path, host=host))
            answers.append(
                (str(getattr(chosen, "policy", "")), getattr(chosen, "name", ""), getattr(chosen, "broken", ""))
            )
    answers.append(sorted(snapshot.ours(["x-name", "x-title", "x-other"])))
    index = snapshot.revocations
    for subject in ("alice", "bob"):
        for namespace in ("shop", "bank"):
            token = verified({"sub": subject})
            answers.append(index is not None and index.refuse(token, namespace, Instant(now)) is not None)
    return answers


@given(_POOL, st.data())
@settings(max_examples=400)
def test_what_was_compiled_before_never_shows(pool: list[Parsed | Broken], data: st.DataObject) -> None:
    compiler, now = Compiler(), float(NOW)
    for _ in range(data.draw(st.integers(1, 5))):
        chosen = data.draw(st.lists(st.sampled_from(pool), unique_by=id))
        grants = data.draw(st.sampled_from(_GRANTS))
        now += data.draw(st.sampled_from([0, 1800, 5400]))
        known = compiler.compile(chosen, Instant(now), grants)
        fresh = Compiler().compile(chosen, Instant(now), grants)
        assert _told(known, now) == _told(fresh, now)
