"""JSON Web Keys and key sets (RFC 7517), read strictly: each key is judged alone, and a bad one harms no other.

A token chooses its key by (`kid`, `alg`). Whatever leaves a doubt about that choice, or about the key, makes the key
unusable, with a reason that an operator can act on (RFC 8725, sections 3.1 to 3.5).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from extauthz.keys.admission import Claim, KeyRules, is_kid, read_claim
from extauthz.keys.algorithm import ALGORITHMS, holds
from extauthz.keys.material import Material, Unusable
from extauthz.model.encoding import Ambiguous, Json, parse_json_object

MAX_DOCUMENT: Final = 1 << 20
"""Octets of a key set. Real ones stay below 20,000."""
MAX_KEYS: Final = 100
"""Keys in a set, usable or not. No known issuer has more than 10."""
MAX_TRIED: Final = 4
"""Keys that are tried for a token without `kid`."""

__all__ = ["Key", "KeyRules", "KeySet", "KeySetRefused", "Skipped", "parse_key_set", "signature_holds"]

_NAMED: Final = 10
_SHARED: Final = (
    '; write a shared secret as `{"keys": [{"kty": "oct", "use": "sig", "alg": "HS256", "k": "…"}]}`, its octets in'
    " base64url"
)
_PLACEHOLDER: Final = re.compile(r"\{[A-Za-z_]+\}", re.ASCII)


class KeySetRefused(ValueError):
    """The document is no key set, or none of its keys is usable. Says why, key by key, without key material."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key that signatures may be checked with."""

    kid: str | None
    algorithms: frozenset[str]
    """What the key may be used with: one algorithm under all its names, or several when `alg` was absent."""
    material: Any = field(repr=False, compare=False)
    """A public key of cryptography's, or the octets of a symmetric key."""
    thumbprint: str
    """RFC 7638; of a symmetric key a blinded one, which differs from process to process."""
    issuer: str | None = None
    """The only `iss` that it signs for, as its set says; None for any. `{…}` in it stands for the tenant."""

    def signs_for(self, iss: str, tenant: str) -> bool:
        """Whether the key's set lets it sign for this `iss`, in which the tenant is named."""
        return self.issuer is None or iss == _PLACEHOLDER.sub(lambda _: tenant, self.issuer)


@dataclass(frozen=True, slots=True)
class Skipped:
    """A key that is not used, and why."""

    kid: str
    """Its `kid`, or its place in the set when it has none that can be shown."""
    why: str


@dataclass(frozen=True, slots=True)
class KeySet:
    """The usable keys of an issuer, in an order of their own: the document's order never matters."""

    keys: tuple[Key, ...]
    skipped: tuple[Skipped, ...]
    generation: str
    """A digest over the usable keys: equal keys, equal generation."""
    ambiguous_pairs: frozenset[tuple[str, str]] = frozenset()
    """Each (`kid`, `alg`) that different keys of the set lay claim to."""
    _by_pair: Mapping[tuple[str, str], tuple[Key, ...]] = field(init=False, repr=False, compare=False)
    _by_alg: Mapping[str, tuple[Key, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_pair: dict[tuple[str, str], tuple[Key, ...]] = {}
        for key in self.keys:
            for alg in key.algorithms if key.kid is not None else ():
                by_pair[key.kid or "", alg] = (*by_pair.get((key.kid or "", alg), ()), key)
        by_alg = {alg: tuple(key for key in self.keys if alg in key.algorithms)[:MAX_TRIED] for alg in ALGORITHMS}
        object.__setattr__(self, "_by_pair", by_pair)
        object.__setattr__(self, "_by_alg", by_alg)

    def find(self, kid: str | None, alg: str) -> tuple[Key, ...]:
        """The keys to try for a token: with `kid` the one key of that pair, without it at most MAX_TRIED that fit.

        One key stands there more than once only when its set names several issuers that it signs for.
        """
        return self._by_alg.get(alg, ()) if kid is None else self._by_pair.get((kid, alg), ())

    def ambiguous(self, kid: str | None, alg: str) -> bool:
        """Whether different keys lay claim to this pair, so that none of them is used for it."""
        return kid is not None and (kid, alg) in self.ambiguous_pairs


def signature_holds(key: Key, alg: str, signing_input: bytes, signature: bytes) -> bool:
    """Whether `signature` over `signing_input` was made with this key and algorithm (RFC 7515, section 5.2).

    INVARIANT: False for an algorithm that is not the key's own, so that a token never chooses how its key is read.
    Never raises.
    """
    return alg in key.algorithms and holds(alg, key.material, signing_input, signature)


def parse_key_set(document: bytes, rules: KeyRules) -> KeySet:
    """Read a key set (RFC 7517, section 5) and judge its keys one by one.

    Raises KeySetRefused when the document is no key set of at most MAX_KEYS keys, or no key of it is usable.
    """
    claims, skipped = _judge(_entries(document, rules), rules)
    ambiguous = _ambiguous_pairs(claims)
    skipped += (_skipped_for_ambiguity(kid, alg) for kid, alg in sorted(ambiguous))
    keys = _merge(claims, ambiguous)
    if not keys:
        raise KeySetRefused(f"it has no usable key: {_name_some(skipped)}")
    return KeySet(keys, tuple(skipped), _generation(keys), ambiguous)


def _judge(entries: list[Json], rules: KeyRules) -> tuple[list[Claim], list[Skipped]]:
    # A token's `alg` must not be able to choose between a public key and a secret: a mixed set has no secrets.
    mixed = len({isinstance(entry, dict) and entry.get("kty") == "oct" for entry in entries}) > 1
    claims: list[Claim] = []
    skipped: list[Skipped] = []
    for number, entry in enumerate(entries, 1):
        try:
            claim = read_claim(entry, rules, mixed=mixed)
        except Unusable as error:
            skipped.append(Skipped(_label(number, entry), str(error)))
        else:
            claims.append(claim)
            if isinstance(claim.material, Unusable):
                skipped.append(Skipped(_label(number, entry), str(claim.material)))
    return claims, skipped


def _label(number: int, entry: Json) -> str:
    kid = entry.get("kid") if isinstance(entry, dict) else None
    return kid if isinstance(kid, str) and is_kid(kid) else f"entry {number}"


def _entries(document: bytes, rules: KeyRules) -> list[Json]:
    if len(document) > MAX_DOCUMENT:
        raise KeySetRefused(f"it is larger than {MAX_DOCUMENT} octets")
    text = document.lstrip()
    if text.startswith(b"<"):
        raise KeySetRefused("it is an HTML or XML page, not a JSON key set; look whether the address is right")
    if text.startswith(b"-----BEGIN"):
        raise KeySetRefused("it is a key or certificate in PEM, not a JSON key set; use the issuer's JWKS address")
    try:
        value = parse_json_object(document)
    except Ambiguous as error:
        raise KeySetRefused(f"it is no JSON key set: {error}{_SHARED if rules.symmetric else ''}") from error
    entries = value.get("keys")
    if not isinstance(entries, list):
        raise KeySetRefused(_no_keys(value))
    if len(entries) > MAX_KEYS:
        raise KeySetRefused(f"it has {len(entries)} keys, allowed are {MAX_KEYS}")
    if not entries:
        raise KeySetRefused("its `keys` is empty; give the issuer a signing key")
    return entries


def _no_keys(value: Mapping[str, Json]) -> str:
    if not value:
        return "it is `{}`; give the issuer an asymmetric signing key"
    if "kty" in value:
        return 'it is a single key; write it as `{"keys": [...]}`'
    if all(isinstance(item, str) and "-----BEGIN" in item for item in value.values()):
        return "it is a map of certificates, not a key set; use the issuer's JWKS address"
    return "its `keys` is missing" if "keys" not in value else "its `keys` is not an array"


def _ambiguous_pairs(claims: Iterable[Claim]) -> frozenset[tuple[str, str]]:
    claimants: dict[tuple[str, str], set[str]] = {}
    for claim in claims:
        if claim.kid is not None:
            for alg in claim.algorithms:
                claimants.setdefault((claim.kid, alg), set()).add(claim.identity)
    return frozenset(pair for pair, identities in claimants.items() if len(identities) > 1)


def _skipped_for_ambiguity(kid: str, alg: str) -> Skipped:
    return Skipped(kid, f"different keys share this `kid` and `{alg}`, so none is used; give each a `kid` of its own")


def _merge(claims: Iterable[Claim], ambiguous: frozenset[tuple[str, str]]) -> tuple[Key, ...]:
    """The keys, equal ones only once, in an order that does not depend on the document's."""
    merged: dict[tuple[str | None, str, str | None], Key] = {}
    for claim in claims:
        algorithms = frozenset(alg for alg in claim.algorithms if (claim.kid, alg) not in ambiguous)
        if algorithms and isinstance(claim.material, Material):
            material = claim.material
            name = (claim.kid, material.thumbprint, claim.issuer)
            before = merged[name].algorithms if name in merged else frozenset()
            merged[name] = Key(claim.kid, before | algorithms, material.key, material.thumbprint, claim.issuer)
    return tuple(sorted(merged.values(), key=_order))


def _order(key: Key) -> tuple[bool, str, str, str]:
    return key.kid is not None, key.kid or "", key.thumbprint, key.issuer or ""


def _generation(keys: Iterable[Key]) -> str:
    content = [[key.kid, sorted(key.algorithms), key.thumbprint, key.issuer] for key in keys]
    return hashlib.sha256(json.dumps(content).encode("ascii")).hexdigest()[:32]


def _name_some(skipped: list[Skipped]) -> str:
    named = "; ".join(f"`{key.kid}`: {key.why}" for key in skipped[:_NAMED])
    return f"{named}; and {len(skipped) - _NAMED} more" if len(skipped) > _NAMED else named
