"""Whether one key of a set may be used, and for which algorithms: RFC 7517 section 4, by the issuer's settings.

A key first says what it is for, then shows its numbers. What it says stands even when the numbers make no key: two
keys that lay claim to one (`kid`, `alg`) leave a doubt about what the issuer meant, however broken one of them is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from extauthz.keys.algorithm import ALGORITHMS, fitting, names_of
from extauthz.keys.material import Material, Unusable, read_material
from extauthz.model.encoding import Json
from extauthz.model.token import KeyAlgAbsent

MAX_KID: Final = 256
"""Characters of a `kid`. Anything printable occurs in real ones, base64 with `+/=` and negative numbers included."""

_PRIVATE: Final = ("d", "p", "q", "dp", "dq", "qi", "oth", "k")
_PUBLISHED_PRIVATE: Final = frozenset({"DHFbpoIUqrY8t2zpA2qXfCmr5VO5ZEr4RzHU_-envvQ"})
"""Ids of keys that samples publish with their private halves: Istio's `testing@secure.istio.io`."""
_TYPES: Final = ("RSA", "EC", "OKP", "oct")


@dataclass(frozen=True, slots=True)
class KeyRules:
    """Which keys of a set an issuer's settings admit."""

    algorithms: frozenset[str]
    alg_absent: KeyAlgAbsent = KeyAlgAbsent.REFUSE
    use: frozenset[str] = frozenset({"sig"})
    """Accepted values of `use`; the empty text stands for a key without it."""
    issuer_member: bool = False
    """Whether only keys count that say in `issuer` whose tokens they sign (a member that Entra ID adds)."""
    symmetric: bool = False
    """Whether `oct` keys count: only from a secret of our own, never from a set that others can read."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What a key says it is for, and its numbers, or why these make no key to use."""

    kid: str | None
    algorithms: frozenset[str]
    material: Material | Unusable
    issuer: str | None = None
    """The only `iss` that the key signs for, None where the rules do not ask; `{…}` in it stands for a tenant."""

    @property
    def identity(self) -> str:
        """Equal for claims of one key, and for no others."""
        return self.material.thumbprint if isinstance(self.material, Material) else f"broken {id(self)}"


def read_claim(entry: Json, rules: KeyRules, *, mixed: bool) -> Claim:
    """Judge one entry of a key set; `mixed` says that symmetric and public keys stand side by side in the set.

    Raises Unusable when the entry is for something else than verifying this issuer's tokens.
    """
    if not isinstance(entry, dict):
        raise Unusable("it is not a JSON object")
    kid = entry.get("kid")
    if "kid" in entry and not is_kid(kid):
        raise Unusable(f"its `kid` is not a text of 1 to {MAX_KID} printable ASCII characters")
    _check_type(entry, rules, mixed=mixed)
    _check_purpose(entry, rules)
    _check_published(entry)
    algorithms = _algorithms(entry, rules)
    material: Material | Unusable
    try:
        material = _material(entry)
        algorithms = _long_enough(algorithms, material)
    except Unusable as error:
        material = error
    return Claim(kid if isinstance(kid, str) else None, algorithms, material, _issuer(entry, rules))


def is_kid(kid: Json) -> bool:
    """Whether a `kid` can name a key: an empty one is refused, not read as absent."""
    return isinstance(kid, str) and 1 <= len(kid) <= MAX_KID and kid.isascii() and kid.isprintable()


def _check_type(entry: Mapping[str, Json], rules: KeyRules, *, mixed: bool) -> None:
    kty = entry.get("kty")
    if kty not in _TYPES:
        raise Unusable(f"its `kty` is {_shown(kty)}; known are {_listed(_TYPES)}")
    if kty == "oct" and not rules.symmetric:
        raise Unusable("it is symmetric: whoever read the set can sign; use an asymmetric key")
    if kty == "oct" and mixed:
        raise Unusable("it is symmetric among public keys; give symmetric keys an issuer of their own")


def _check_purpose(entry: Mapping[str, Json], rules: KeyRules) -> None:
    """`use` and `key_ops` (RFC 7517, sections 4.2 and 4.3) must both allow verifying."""
    use = entry.get("use", "")
    if not isinstance(use, str) or (use == "" and "use" in entry):
        raise Unusable("its `use` is not a text")
    if use not in rules.use:
        found = f"its `use` is {_shown(use)}" if use else "it has no `use`"
        accepted = _listed(word or "Absent" for word in rules.use)
        # A key for encrypting is none for signing, whatever an author writes; a missing `use` is often meant well.
        switch = "" if use else "; add `Absent` to it if that is meant"
        raise Unusable(f"{found}; this issuer's `keyUse` accepts {accepted}{switch}")
    operations = entry.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        raise Unusable("its `key_ops` does not hold `verify`")


def _check_published(entry: Mapping[str, Json]) -> None:
    # INVARIANT: a key whose private half anyone can download verifies nothing, whatever an author writes.
    if entry.get("kid") in _PUBLISHED_PRIVATE:
        raise Unusable("its private half is published as a sample: anyone can sign with it")


def _issuer(entry: Mapping[str, Json], rules: KeyRules) -> str | None:
    if not rules.issuer_member:
        return None
    issuer = entry.get("issuer")
    if not isinstance(issuer, str) or not issuer:
        raise Unusable("it does not say in `issuer` whose tokens it signs, which `keyIssuerMember: Match` demands")
    return issuer


def _algorithms(entry: Mapping[str, Json], rules: KeyRules) -> frozenset[str]:
    """What the key may be used with: its own `alg`, or by its type where the issuer's settings allow that."""
    crv = entry.get("crv")
    fits = fitting(str(entry["kty"]), crv if isinstance(crv, str) else None)
    if not fits:
        raise Unusable(f"its `crv` is {_shown(crv)}; known are `P-256`, `P-384`, `P-521` and `Ed25519`")
    named = _named(entry["alg"], rules) if "alg" in entry else rules.algorithms
    if "alg" not in entry and rules.alg_absent is KeyAlgAbsent.REFUSE:
        raise Unusable("it has no `alg`; set the issuer's `keyAlgAbsent` to `FromAlgorithms` if that is meant")
    if not named & fits:
        raise Unusable(f"its type and curve do not fit {_listed(named)}")
    return named & fits


def _named(alg: Json, rules: KeyRules) -> frozenset[str]:
    named = names_of(alg) & rules.algorithms if isinstance(alg, str) else frozenset()
    if alg is None:
        raise Unusable("its `alg` is null; let the issuer leave it out, or say which one the key is for")
    if not named:
        raise Unusable(f"its `alg` is {_shown(alg)}; this issuer's `algorithms` are {_listed(rules.algorithms)}")
    return named


def _material(entry: Mapping[str, Json]) -> Material:
    private = [name for name in _PRIVATE if name in entry] if entry["kty"] != "oct" else []
    if private and all(entry[name] is None for name in private):
        raise Unusable(f"its `{private[0]}` is null, which belongs to private keys; let the issuer leave it out")
    if private:
        raise Unusable("it holds private members: whoever read the set can sign; replace the key at the issuer")
    return read_material(entry)


def _long_enough(algorithms: frozenset[str], material: Material) -> frozenset[str]:
    enough = frozenset(alg for alg in algorithms if ALGORITHMS[alg].key_octets <= material.octets)
    if not enough:
        needed = min(ALGORITHMS[alg].key_octets for alg in algorithms)
        raise Unusable(f"it has {material.octets} octets, {_listed(algorithms)} needs at least {needed}")
    return enough


def _listed(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in sorted(words))


def _shown(value: Json) -> str:
    """A value out of the document, fit for an error text."""
    if value is None:
        return "missing"
    return f"`{value[:64]}`" if isinstance(value, str) and value.isascii() and value.isprintable() else "no plain text"
