"""From TokenIssuer objects to trust: what the tokens must look like, and where the keys come from."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from extauthz.keys.jwk import KeyRules
from extauthz.keys.source import Discovery, InlineKeys, IssuerKeys, JwksUrl, KeyFile, Source
from extauthz.model.token import ClaimMapping, ClaimPath, IssuerRef, Trust
from extauthz.policy.issuer import ASYMMETRIC, CaBundleSpec, KeysSpec, TokenIssuerSpec
from extauthz.policy.parse import Broken, Parsed
from extauthz.policy.problem import ObjectRef, Problem
from extauthz.policy.words import claim_paths


@dataclass(frozen=True, slots=True)
class Issuers:
    """The issuers of a snapshot."""

    good: Mapping[IssuerRef, Trust]
    keys: tuple[IssuerKeys, ...]
    """Where the keys of each good one come from."""
    allowed: Mapping[IssuerRef, frozenset[str]]
    """For ClusterTokenIssuers that are not for everyone, the namespaces that may name them."""
    broken: frozenset[IssuerRef]
    problems: tuple[Problem, ...]

    def resolve(self, ref: IssuerRef, namespace: str) -> Trust | str:
        """The issuer that a policy in `namespace` names, or why it cannot have it."""
        if ref in self.broken:
            return f"{ref} has mistakes of its own"
        trust = self.good.get(ref)
        if trust is None:
            return f"there is no {ref}"
        if namespace not in self.allowed.get(ref, frozenset({namespace})):
            return f"{ref} is not for namespace `{namespace}`; see its `allowedNamespaces`"
        return trust


def compile_issuers(objects: Iterable[Parsed | Broken]) -> Issuers:
    """Compile every issuer; one with mistakes harms no other."""
    good: dict[IssuerRef, Trust] = {}
    keys: list[IssuerKeys] = []
    allowed: dict[IssuerRef, frozenset[str]] = {}
    broken: set[IssuerRef] = set()
    problems: list[Problem] = []
    for item in objects:
        ref = issuer_ref(item.ref)
        match item:
            case Parsed(spec=TokenIssuerSpec() as spec):
                try:
                    source = _source(spec)
                except (OSError, ValueError) as error:
                    broken.add(ref)
                    problems.append(Problem(item.ref, ("spec", "keys"), str(error)))
                    continue
                good[ref] = _trust(ref, spec)
                keys.append(_issuer_keys(good[ref], spec, source))
                if spec.allowed_namespaces is not None:
                    allowed[ref] = frozenset(spec.allowed_namespaces)
            case _:
                broken.add(ref)
    return Issuers(good, tuple(keys), allowed, frozenset(broken), tuple(problems))


def issuer_ref(ref: ObjectRef) -> IssuerRef:
    """The model's name for an issuer object."""
    return IssuerRef(ref.kind, ref.namespace, ref.name)


def _trust(ref: IssuerRef, spec: TokenIssuerSpec) -> Trust:
    mapping = spec.mapping
    return Trust(
        ref=ref,
        issuer=spec.issuer,
        aliases=frozenset(spec.issuer_aliases),
        algorithms=frozenset(spec.algorithms) or ASYMMETRIC,
        audiences=frozenset(spec.audiences),
        max_lifetime=spec.max_lifetime,
        clock_skew=spec.clock_skew,
        token_types=frozenset(_absent(word).lower().removeprefix("application/") for word in spec.token_types),
        required_claims=frozenset(spec.required_claims),
        claim_equals={ClaimPath(claim): value for claim, value in spec.claim_equals.items()},
        claim_present=frozenset(claim_paths(spec.claim_present)),
        mapping=ClaimMapping(
            scope=claim_paths(mapping.scope),
            client=claim_paths(mapping.client),
            audience=claim_paths(mapping.audience),
            subject=claim_paths(mapping.subject),
            token_id=claim_paths(mapping.token_id),
            roles=claim_paths(mapping.roles or ()),
        ),
        key_alg_absent=spec.key_alg_absent,
        key_use=frozenset(_absent(word) for word in spec.key_use),
        reuse_key_fallback=spec.reuse_key_fallback is not None,
    )


def _issuer_keys(trust: Trust, spec: TokenIssuerSpec, source: Source) -> IssuerKeys:
    rules = KeyRules(
        algorithms=trust.algorithms,
        alg_absent=trust.key_alg_absent,
        use=trust.key_use,
        symmetric=not trust.algorithms <= ASYMMETRIC,
    )
    return IssuerKeys(trust.ref, source, rules, spec.refresh.interval, spec.refresh.max_stale)


def _source(spec: TokenIssuerSpec) -> Source:
    match spec.keys:
        case KeysSpec(inline=dict(document)):
            return InlineKeys(json.dumps(document).encode())
        case KeysSpec(file=str(path)):
            return KeyFile(Path(path))
        case KeysSpec(jwks_uri=str(url)):
            return JwksUrl(url, _ca_pem(spec.ca_bundle))
        case KeysSpec(discovery=discovery) if discovery is not None:
            return Discovery(spec.issuer, discovery.url, _ca_pem(spec.ca_bundle))
        case _:
            raise AssertionError("`keys` has exactly one member")


def _ca_pem(bundle: CaBundleSpec | None) -> str | None:
    match bundle:
        case None:
            return None
        case CaBundleSpec(file=str(path)):
            return Path(path).read_text("ascii")
        case CaBundleSpec(inline=pem):
            return pem


def _absent(word: str) -> str:
    """`Absent` stands for the member not being there, which the model writes as the empty text."""
    return "" if word == "Absent" else word
