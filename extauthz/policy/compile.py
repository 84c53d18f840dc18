"""From checked objects to a snapshot. It depends on the set of objects alone, never on the order they came in."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from functools import partial
from typing import TypeAlias

from extauthz.config import INSTALL_NAMESPACE
from extauthz.keys.source import Discovery, JwksUrl
from extauthz.model.time import Instant
from extauthz.policy.attach import Draft, Targeting
from extauthz.policy.compile_rule import compile_rule
from extauthz.policy.gateway.surface import Surfaces
from extauthz.policy.gateway.surface import digest_of as digest_of_surfaces
from extauthz.policy.grants import Grants
from extauthz.policy.held import Held, HeldData
from extauthz.policy.issuer import TokenIssuerSpec
from extauthz.policy.issuers import Issuers, compile_issuers, issuer_ref
from extauthz.policy.match import Route
from extauthz.policy.parse import ISSUER_KINDS, Broken, Parsed
from extauthz.policy.path import PathKind
from extauthz.policy.problem import FieldPath, Problem, first_of
from extauthz.policy.remembered import Remembered, digest_of
from extauthz.policy.revoking import Revoking
from extauthz.policy.rule import Rule
from extauthz.policy.scope import headers_of, keys_of, path_match, salvage, salvage_name, salvage_rules
from extauthz.policy.selector import Labels, NamespaceLabels
from extauthz.policy.settled import Attaching, Policy, Settling, policy_ref
from extauthz.policy.snapshot import Snapshot
from extauthz.policy.spec import (
    AccessPolicySpec,
    MatchSpec,
)
from extauthz.policy.targets import salvage_targets, target_of
from extauthz.policy.unreached import unreached
from extauthz.policy.within import Inner

_Object: TypeAlias = Parsed | Broken


def compile_snapshot(
    objects: Iterable[_Object],
    *,
    install_namespace: str = INSTALL_NAMESPACE,
    grants: Grants | None = None,
    surfaces: Surfaces | None = None,
) -> Snapshot:
    """Compile one complete set of objects. Broken ones deny their own scope and touch no other.

    `install_namespace` is where extauthz itself lives: the references of cluster-wide objects lead there.
    `grants` says which hosts each namespace may claim; None where nobody shares. `surfaces` says what each target of a
    policy takes; None where nobody knows of targets.
    """
    return Compiler(install_namespace).compile(objects, grants=grants, surfaces=surfaces)


class Compiler:
    """Compiles complete sets of objects one after the other, and only what changed in between.

    An object that did not change is recognised when it is the same value in memory. What comes out depends on the set
    alone, never on what was compiled before.
    """

    def __init__(self, install_namespace: str = INSTALL_NAMESPACE) -> None:
        self._install_namespace = install_namespace
        self._digests: Remembered[_Object, bytes] = Remembered(digest_of)
        self._revoking = Revoking(install_namespace)
        self._around: object = None
        self._policies: Remembered[_Object, Policy] | None = None
        self._attaching = Attaching()
        self._settling = Settling()

    def compile(
        self,
        objects: Iterable[_Object],
        now: Instant | None = None,
        grants: Grants | None = None,
        surfaces: Surfaces | None = None,
        labels: Labels | None = None,
    ) -> Snapshot:
        """Compile a set. TokenRevocations that count no longer at `now` are left out; requests come later than that."""
        ordered, revocations = _parted(objects)
        digests = self._digests.all(ordered)
        issuers = compile_issuers(
            (item for item in ordered if item.ref.kind in ISSUER_KINDS),
            _held(ordered),
            self._install_namespace,
            _labels(ordered) if labels is None else labels,
        )
        others = tuple(digest for item, digest in zip(ordered, digests, strict=True) if item.ref.kind != "AccessPolicy")
        policies = self._policies_beside(others, issuers)
        drafted = policies.all(item for item in ordered if item.ref.kind == "AccessPolicy")
        served = self._settling.settle(tuple(self._attaching.all(drafted, surfaces, grants)), grants)
        revoked = self._revoking.compile(revocations, issuers, now)
        beside = (
            digest_of_surfaces(surfaces or {}),
            _digest_of_allowed(issuers),
            _digest_of_authorities(ordered, issuers),
        )
        return Snapshot(
            version=_version(grants, [*digests, *beside], revoked.digest),
            routing=served.routing,
            issuers=issuers.good,
            issuer_keys=issuers.keys,
            endpoints=issuers.endpoints,
            revocations=revoked.index,
            problems=(
                *(problem for item in ordered if isinstance(item, Broken) for problem in item.problems),
                *issuers.problems,
                *served.problems,
                *revoked.problems,
            ),
            contents={item.ref: digest for item, digest in zip(ordered, digests, strict=True)},
        )

    def _policies_beside(self, others: tuple[bytes, ...], issuers: Issuers) -> Remembered[_Object, Policy]:
        """Remembers policies as long as what they are compiled against is the same.

        INVARIANT: whatever `_compile_policy` looks at besides the policy is compared here, or an old one would stay.
        """
        around = (others, issuers.good, issuers.allowed, issuers.broken)
        if self._policies is None or around != self._around:
            self._around = around
            self._policies = Remembered(partial(_compile_policy, issuers=issuers))
        return self._policies


def _parted(objects: Iterable[_Object]) -> tuple[list[_Object], list[_Object]]:
    """The objects in order, and apart from them the TokenRevocations, which can be very many and need no order."""
    others: list[_Object] = []
    revocations: list[_Object] = []
    for item in objects:
        (revocations if item.ref.kind == "TokenRevocation" else others).append(item)
    others.sort(key=lambda item: (item.created, item.ref.kind, item.ref.namespace, item.ref.name))
    return others, revocations


def _held(objects: Iterable[_Object]) -> Held:
    return Held(
        {item.ref: item.spec for item in objects if isinstance(item, Parsed) and isinstance(item.spec, HeldData)}
    )


def _labels(objects: Iterable[_Object]) -> Labels:
    """The labels of Namespaces that stand beside the policies, as in a folder."""
    return {
        item.ref.name: item.spec.labels
        for item in objects
        if isinstance(item, Parsed) and isinstance(item.spec, NamespaceLabels)
    }


def _compile_policy(item: Parsed | Broken, issuers: Issuers) -> Policy:
    match item:
        case Parsed(spec=AccessPolicySpec() as spec):
            return _compile_spec(item, spec, issuers)
        case Broken():
            return Policy(item.ref, tuple(_salvaged_routes(item)), (), _salvaged_targeting(item), _age(item))
        case _:
            raise AssertionError("an AccessPolicy has the spec of one")


def _salvaged_routes(item: Broken) -> Iterator[Route]:
    for place, found in enumerate(salvage(item.raw_spec)):
        rule = Rule(
            policy=policy_ref(item.ref), name=salvage_name(item.raw_spec, found.rule), broken=first_of(item.problems)
        )
        yield Route(found.key, rule, _age(item), (found.rule, place), found.greedy)


def _salvaged_targeting(item: Broken) -> Targeting | None:
    refs = tuple(dict.fromkeys(salvage_targets(item.raw_spec, item.ref.namespace)))
    return Targeting(refs, tuple(_salvaged_drafts(item))) if refs else None


def _salvaged_drafts(item: Broken) -> Iterator[Draft]:
    """INVARIANT: within its targets, what cannot be read of a broken policy is taken for everything."""
    for place, (index, part) in enumerate(salvage_rules(item.raw_spec)):
        rule = Rule(
            policy=policy_ref(item.ref), name=salvage_name(item.raw_spec, index), broken=first_of(item.problems)
        )
        lost = part.greedy or part.path.kind in {PathKind.UNKNOWN, PathKind.UNKNOWN_PATTERN}
        for method in part.methods or (None,):
            inner = Inner() if lost else Inner(part.path, method, part.headers)
            yield Draft(rule, inner, (index, place), greedy=lost)


def _compile_spec(item: Parsed, spec: AccessPolicySpec, issuers: Issuers) -> Policy:
    """A rule that names an issuer it cannot have refuses alone; the policy's other rules serve."""
    routes: list[Route] = []
    drafts: list[Draft] = []
    problems: list[Problem] = []
    lost = tuple(unreached(spec.rules))
    for index, rule_spec in enumerate(spec.rules):
        where: FieldPath = ("spec", "rules", index)
        rule, unmet = compile_rule(policy_ref(item.ref), spec, rule_spec, issuers)
        rule = rule.hiding(tuple(each for one in lost for by, each in one.hidden if by == index))
        problems.extend(Problem(item.ref, (*where, *field), why.words, why.cause) for field, why in unmet)
        for place, match in enumerate(rule_spec.match or (MatchSpec(),)):
            path = path_match(match.path)
            keys = (key for host in spec.hosts or () for key in keys_of(host, match, path))
            routes.extend(Route(key, rule, _age(item), (index, place)) for key in keys)
            inners = (Inner(path, method, headers_of(match)) for method in match.methods or (None,))
            drafts.extend(Draft(rule, inner, (index, place)) for inner in inners)
    problems.extend(Problem(item.ref, ("spec", "rules", *each.field), each.words) for each in lost)
    refs = tuple(target_of(each, item.ref.namespace) for each in spec.target_refs or ())
    targeting = Targeting(refs, tuple(drafts)) if refs else None
    return Policy(item.ref, tuple(routes), tuple(problems), targeting, _age(item))


def _age(item: Parsed | Broken) -> tuple[float, str, str]:
    return (item.created, item.ref.namespace, item.ref.name)


def _digest_of_allowed(issuers: Issuers) -> bytes:
    """Which namespaces may name which issuers: labels of Namespaces decide it, and are no objects of ours."""
    said = sorted((str(ref), sorted(namespaces)) for ref, namespaces in issuers.allowed.items())
    return hashlib.sha256(json.dumps(said).encode()).digest()


def _digest_of_authorities(ordered: Iterable[_Object], issuers: Issuers) -> bytes:
    """Whom the servers of issuers are checked against that name a file for it: that is no object of ours."""
    filed = {issuer_ref(item.ref) for item in ordered if isinstance(item, Parsed) and _names_a_file(item.spec)}
    keys = [(each.ref, each.source.ca_pem) for each in issuers.keys if isinstance(each.source, JwksUrl | Discovery)]
    asked = [(each.ref, each.ca_pem) for each in issuers.endpoints]
    said = sorted((str(ref), pem or "") for ref, pem in (*keys, *asked) if ref in filed)
    return hashlib.sha256(json.dumps(said).encode()).digest()


def _names_a_file(spec: object) -> bool:
    return isinstance(spec, TokenIssuerSpec) and spec.ca_bundle is not None and spec.ca_bundle.file is not None


def _version(grants: Grants | None, ordered: Iterable[bytes], others: bytes) -> str:
    """A digest over the content of all objects: equal content, equal version."""
    start = b"" if grants is None else json.dumps(grants, sort_keys=True).encode()
    return hashlib.sha256(b"".join((start, *ordered, others))).hexdigest()[:12]
