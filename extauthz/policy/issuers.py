"""From TokenIssuer objects to trust: what the tokens must look like, and where the keys come from."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from extauthz.introspection.endpoint import (
    BearerToken,
    Client,
    ClientSecretBasic,
    ClientSecretPost,
    Endpoint,
    GivenSecret,
    Secret,
    SecretFile,
)
from extauthz.keys.jwk import KeyRules
from extauthz.keys.regular import read_regular
from extauthz.keys.source import Discovery, InlineKeys, IssuerKeys, JwksUrl, KeyFile, Source
from extauthz.model.token import BackChannel, ClaimMapping, ClaimPath, Introspected, IssuerRef, Tenants, Trust
from extauthz.policy.held import Held, NotHeld
from extauthz.policy.introspection import BearerSpec, ClientSecretSpec, IntrospectionSpec
from extauthz.policy.issuer import (
    ABSENT,
    ASYMMETRIC,
    BackChannelLogoutSpec,
    CaBundleSpec,
    ClusterTokenIssuerSpec,
    KeysSpec,
    TokenIssuerSpec,
)
from extauthz.policy.parse import CLUSTER_KINDS, Broken, Parsed
from extauthz.policy.problem import Cause, ObjectRef, Problem, Unmet, dotted
from extauthz.policy.reference import DataRefSpec
from extauthz.policy.selector import Labels
from extauthz.policy.words import claim_paths

MAX_AUTHORITIES: Final = 1 << 20
"""Octets of a file of authorities; the bundles of whole systems have a quarter of it."""


@dataclass(frozen=True, slots=True)
class Issuers:
    """The issuers of a snapshot."""

    good: Mapping[IssuerRef, Trust]
    keys: tuple[IssuerKeys, ...]
    """Where the keys of each good one come from that has keys."""
    endpoints: tuple[Endpoint, ...]
    """Where the tokens of each good one are asked about that has none."""
    allowed: Mapping[IssuerRef, frozenset[str]]
    """For ClusterTokenIssuers that are not for everyone, the namespaces that may name them."""
    broken: Mapping[IssuerRef, str]
    """Those with mistakes, each with the first."""
    problems: tuple[Problem, ...]

    def resolve(self, ref: IssuerRef, namespace: str) -> Trust | Unmet:
        """The issuer that a policy in `namespace` names, or why it cannot have it."""
        if ref in self.broken:
            # What is wrong with a cluster-wide one is told where it may be read.
            first = f", the first: {self.broken[ref]}" if ref.namespace == namespace else "; mend them there"
            return Unmet(Cause.ISSUER_INVALID, f"{ref} has mistakes of its own{first}")
        trust = self.good.get(ref)
        if trust is None:
            return Unmet(Cause.ISSUER_NOT_FOUND, f"there is no {ref}")
        if namespace not in self.allowed.get(ref, frozenset({namespace})):
            words = f"{ref} is not for namespace `{namespace}`; see its `allowedNamespaces` or selector"
            return Unmet(Cause.ISSUER_NOT_ALLOWED, words)
        return trust


def _first(problems: Sequence[Problem]) -> str:
    return f"{dotted(problems[0].field)}: {problems[0].message}" if problems else "it cannot be read"


def compile_issuers(
    objects: Iterable[Parsed | Broken], held: Held, install_namespace: str, labels: Labels | None = None
) -> Issuers:
    """Compile every issuer; one with mistakes harms no other.

    A reference is looked up in the issuer's own namespace, for a ClusterTokenIssuer in `install_namespace`. `labels`
    are those of Namespaces; None where they are not known, and then no selector matches any.
    """
    good: dict[IssuerRef, Trust] = {}
    endpoints: list[Endpoint] = []
    keys: list[IssuerKeys] = []
    allowed: dict[IssuerRef, frozenset[str]] = {}
    broken: dict[IssuerRef, str] = {}
    problems: list[Problem] = []
    for item in objects:
        ref = issuer_ref(item.ref)
        match item:
            case Parsed(spec=TokenIssuerSpec() as spec):
                trust = _trust(ref, spec)
                try:
                    found = _vouching(trust, spec, _Home(held, item.ref.namespace or install_namespace))
                except (OSError, ValueError) as error:
                    cause = Cause.REF_NOT_FOUND if isinstance(error, NotHeld) else Cause.INVALID
                    where = "introspection" if spec.keys is None else "keys"
                    problems.append(Problem(item.ref, ("spec", where), str(error), cause))
                    broken[ref] = _first(problems[-1:])
                    continue
                good[ref] = trust
                if isinstance(found, Endpoint):
                    endpoints.append(found)
                else:
                    keys.append(found)
                namespaces = _allowed(spec, labels or {})
                if namespaces is not None:
                    allowed[ref] = namespaces
            case _:
                broken[ref] = _first(item.problems if isinstance(item, Broken) else ())
    return Issuers(good, tuple(keys), tuple(endpoints), allowed, broken, tuple(problems))


def _allowed(spec: TokenIssuerSpec, labels: Labels) -> frozenset[str] | None:
    """The namespaces that may name the issuer; None for all.

    INVARIANT: a namespace whose labels are not known is not selected, whatever a selector says of labels that are not
    there.
    """
    if not isinstance(spec, ClusterTokenIssuerSpec):
        return None
    selector = spec.allowed_namespace_selector
    if selector is not None:
        return frozenset(name for name, own in labels.items() if selector.matches(own))
    return None if spec.allowed_namespaces is None else frozenset(spec.allowed_namespaces)


@dataclass(frozen=True, slots=True)
class _Home:
    """The namespace that an object's references stay in."""

    held: Held
    namespace: str

    def entry(self, kind: str, ref: DataRefSpec) -> bytes:
        """What the reference leads to. Raises ValueError."""
        return self.held.entry(kind, self.namespace, ref.name, ref.key)


def issuer_ref(ref: ObjectRef) -> IssuerRef:
    """The model's name for an issuer object."""
    return IssuerRef(ref.kind, ref.namespace, ref.name)


def named_issuer(kind: str, name: str, namespace: str) -> IssuerRef:
    """The issuer object that an object of this namespace names."""
    return IssuerRef(kind, "" if kind in CLUSTER_KINDS else namespace, name)


def _trust(ref: IssuerRef, spec: TokenIssuerSpec) -> Trust:
    mapping = spec.mapping
    return Trust(
        ref=ref,
        issuer=spec.named or "",
        aliases=frozenset(spec.issuer_aliases),
        tenants=_tenants(spec),
        trust_domain=spec.trust_domain or "",
        algorithms=frozenset(spec.algorithms) or ASYMMETRIC,
        audiences=frozenset(spec.audiences),
        max_lifetime=spec.max_lifetime,
        clock_skew=spec.clock_skew,
        token_types=_types(spec.token_types),
        required_claims=frozenset(spec.required_claims),
        subject_pattern=spec.subject_pattern or "",
        claim_equals={ClaimPath(claim): value for claim, value in (spec.claim_equals | spec.claim_flags).items()},
        claim_present=frozenset(claim_paths(spec.claim_present)),
        mapping=ClaimMapping(
            scope=claim_paths(mapping.scope),
            client=claim_paths(mapping.client),
            audience=claim_paths(mapping.audience),
            subject=claim_paths(mapping.subject),
            token_id=claim_paths(mapping.token_id),
            roles=claim_paths(mapping.roles),
        ),
        roles_shape=spec.roles_shape,
        ignored_header_parameters=frozenset(spec.ignored_header_parameters),
        key_issuer_must_match=spec.keys is not None and spec.keys.key_issuer_member is not None,
        key_alg_absent=spec.key_alg_absent,
        key_use=frozenset(_absent(word) for word in spec.key_use),
        reuse_key_fallback=spec.reuse_key_fallback is not None,
        introspected=_introspected(spec.introspection),
        back_channel=_back_channel(spec.back_channel_logout),
    )


def _back_channel(spec: BackChannelLogoutSpec | None) -> BackChannel | None:
    if spec is None:
        return None
    return BackChannel(clients=frozenset(spec.clients), types=_types(spec.token_types), sessions=spec.ends == "Session")


def _introspected(spec: IntrospectionSpec | None) -> Introspected | None:
    return None if spec is None else Introspected(endpoint=spec.url, forms=spec.tokens, prefixes=spec.prefixes)


def _vouching(trust: Trust, spec: TokenIssuerSpec, home: _Home) -> IssuerKeys | Endpoint:
    """What says whether a token of the issuer is good. Raises OSError or ValueError where a reference leads nowhere."""
    if spec.introspection is not None:
        return _endpoint(trust.ref, spec.introspection, _ca_pem(spec.ca_bundle, home), home)
    if spec.keys is None:
        raise AssertionError("an issuer has `keys` or `introspection`")
    return _issuer_keys(trust, spec, _source(spec, spec.keys, home))


def _endpoint(ref: IssuerRef, spec: IntrospectionSpec, ca_pem: str | None, home: _Home) -> Endpoint:
    return Endpoint(
        ref=ref,
        url=spec.url,
        client=_client(spec, home),
        ca_pem=ca_pem,
        cache_for=spec.cache_for,
        timeout=spec.timeout,
        most_at_once=spec.max_concurrent,
        most_per_second=spec.max_per_second,
    )


def _client(spec: IntrospectionSpec, home: _Home) -> Client:
    match spec:
        case IntrospectionSpec(client_secret_basic=ClientSecretSpec() as said):
            return ClientSecretBasic(said.client_id, _secret(said, home))
        case IntrospectionSpec(client_secret_post=ClientSecretSpec() as said):
            return ClientSecretPost(said.client_id, _secret(said, home))
        case IntrospectionSpec(bearer=BearerSpec() as said):
            return BearerToken(_secret(said, home))
        case _:
            raise AssertionError("`introspection` has exactly one way to show who we are")


def _secret(spec: ClientSecretSpec | BearerSpec, home: _Home) -> Secret:
    match spec:
        case ClientSecretSpec(file=str(path)) | BearerSpec(file=str(path)):
            return SecretFile(Path(path))
        case ClientSecretSpec(secret_ref=DataRefSpec() as ref) | BearerSpec(secret_ref=DataRefSpec() as ref):
            secret = GivenSecret(home.entry("Secret", ref), f"entry `{ref.key}` of Secret `{ref.name}`")
            # One that cannot be used is told with the object, not at the first token.
            secret.read()
            return secret
        case _:
            raise AssertionError("a secret has exactly one place")


def _tenants(spec: TokenIssuerSpec) -> Tenants | None:
    if spec.issuer_template is None:
        return None
    before, _, rest = spec.issuer_template.partition("{")
    after = rest.partition("}")[2]
    return Tenants(
        claim=ClaimPath(spec.tenant_claim or "tid"),
        by_issuer={f"{before}{tenant}{after}": tenant for tenant in spec.tenants},
    )


def _issuer_keys(trust: Trust, spec: TokenIssuerSpec, source: Source) -> IssuerKeys:
    rules = KeyRules(
        algorithms=trust.algorithms,
        alg_absent=trust.key_alg_absent,
        use=trust.key_use,
        issuer_member=trust.key_issuer_must_match,
        symmetric=not trust.algorithms <= ASYMMETRIC,
    )
    return IssuerKeys(trust.ref, source, rules, spec.refresh.interval, spec.refresh.max_stale)


def _source(spec: TokenIssuerSpec, keys: KeysSpec, home: _Home) -> Source:
    authenticate = keys.authentication is not None
    match keys:
        case KeysSpec(inline=dict(document)):
            return InlineKeys(json.dumps(document).encode())
        case KeysSpec(file=str(path)):
            return KeyFile(Path(path))
        case KeysSpec(secret_ref=DataRefSpec() as ref):
            return InlineKeys(home.entry("Secret", ref), f"the key set in entry `{ref.key}` of Secret `{ref.name}`")
        case KeysSpec(config_map_ref=DataRefSpec() as ref):
            place = f"the key set in entry `{ref.key}` of ConfigMap `{ref.name}`"
            return InlineKeys(home.entry("ConfigMap", ref), place)
        case KeysSpec(jwks_uri=str(url)):
            return JwksUrl(url, _ca_pem(spec.ca_bundle, home), authenticate)
        case KeysSpec(discovery=discovery) if discovery is not None and spec.named is not None:
            return Discovery(spec.named, discovery.url, _ca_pem(spec.ca_bundle, home), authenticate)
        case _:
            raise AssertionError("`keys` has exactly one member")


def _ca_pem(bundle: CaBundleSpec | None, home: _Home) -> str | None:
    match bundle:
        case None:
            return None
        case CaBundleSpec(file=str(path)):
            return _pem_in(Path(path))
        case CaBundleSpec(config_map_ref=DataRefSpec() as ref):
            return home.entry("ConfigMap", ref).decode("utf-8", "replace")
        case CaBundleSpec(inline=pem):
            return pem


def _pem_in(path: Path) -> str:
    try:
        pem = read_regular(path, MAX_AUTHORITIES + 1)
    except OSError as error:
        raise ValueError(f"the file `{path}` of `caBundle` cannot be read: {error.strerror}") from error
    if len(pem) > MAX_AUTHORITIES or not pem.isascii():
        raise ValueError(
            f"the file `{path}` of `caBundle` holds no certificates in PEM, up to {MAX_AUTHORITIES} octets"
        )
    return pem.decode("ascii")


def _types(words: Iterable[str]) -> frozenset[str]:
    """Values of `typ` as they are compared."""
    return frozenset(_absent(word).lower().removeprefix("application/") for word in words)


def _absent(word: str) -> str:
    """`Absent` stands for the member not being there, which the model writes as the empty text."""
    return "" if word == ABSENT else word
