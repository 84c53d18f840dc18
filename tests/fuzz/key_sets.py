"""Fuzzes key sets: a signature counts only by a key of the issuer's own, as its document names it (RFC 7517).

Every seed holds public keys of `corp`, or its shared secret. Whatever becomes of them, `mallory` never signs.
"""

from __future__ import annotations

import hmac
import json
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from extauthz.keys.jwk import KeyRules, KeySet, KeySetRefused, parse_key_set, signature_holds
from extauthz.model.encoding import Ambiguous, base64url_encode, parse_json_object
from extauthz.model.token import KeyAlgAbsent
from tests.fuzz.answers import plain
from tests.fuzz.issuer import ALGS, confused, jwk, sign
from tests.fuzz.octets import mutate_octets
from tests.fuzz.target import Target, insist
from tests.fuzz.trees import mutate_tree, write_json

SECRET: Final = b"a shared secret of forty octets, for corp."
_TEXT: Final = base64url_encode(SECRET)
_MESSAGE: Final = b"header.payload"
_STRICT: Final = KeyRules(frozenset(ALGS.values()))
_LENIENT: Final = KeyRules(
    frozenset({*ALGS.values(), "PS256", "RS512", "Ed25519", "ES384"}),
    KeyAlgAbsent.FROM_ALGORITHMS,
    frozenset({"sig", ""}),
)
_SHARED: Final = KeyRules(frozenset({"HS256", *ALGS.values()}), KeyAlgAbsent.FROM_ALGORITHMS, symmetric=True)
_WORDS: Final = (
    *ALGS, *ALGS.values(), "HS256", "none", "RS512", "PS256", "ES384", "Ed25519", "RSA", "EC", "OKP", "oct", "P-256",
    "P-384", "sig", "enc", ["verify"], ["sign"], "AQAB", "AQ", "AAAA", "kid", "kty", "alg", "use", "key_ops", "n", "e",
    "x", "y", "crv", "d", "k", "keys", "https://corp.example", _TEXT, *(jwk(name) for name in ALGS),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Probe:
    """A signature that was really made, by a key that bears this name at home."""

    kid: str | None
    alg: str
    signature: bytes
    numbers: str
    """The member of its key that no other key shares; empty for what nobody may accept."""


def _probes() -> Iterator[_Probe]:
    for name, alg in ALGS.items():
        own = jwk(name)
        for kid in (name, None, "other"):
            yield _Probe(kid, alg, sign(_MESSAGE, name), str(own.get("n", own.get("x"))))
            yield _Probe(kid, alg, sign(_MESSAGE, name, "mallory"), "")
        yield _Probe(name, "HS256", confused(_MESSAGE, name), "")
    yield _Probe("secret", "HS256", hmac.digest(SECRET, _MESSAGE, "sha256"), _TEXT)
    yield _Probe(None, "HS256", hmac.digest(b"", _MESSAGE, "sha256"), "")


_PROBES: Final = tuple(_probes())


def judge(data: bytes) -> str:
    """Read the document under three issuers' settings, and try every signature on what is usable."""
    return " | ".join(_read(data, rules) for rules in (_STRICT, _LENIENT, _SHARED))


def _read(data: bytes, rules: KeyRules) -> str:
    try:
        keys = parse_key_set(data, rules)
    except KeySetRefused as problem:
        insist(_TEXT not in str(problem) or not _is_only_secret(data), "an error shows a secret")
        return str(sorted({plain(words) for words in str(problem).split("; ")}))
    entries = _entries(data)
    for probe in _PROBES:
        if _accepts(keys, probe):
            insist(probe.numbers, f"a stranger's {probe.alg} signature is accepted")
            insist(
                any(_is_key(entry, probe) for entry in entries), f"{probe.alg} is accepted by a key that is not there"
            )
    insist(len({entry.get("kty") == "oct" for entry in entries if isinstance(entry, dict)}) == 1 or not _secrets(keys),
           "a secret is used among public keys")  # fmt: skip
    return f"{len(keys.keys)} keys, {sorted({plain(skipped.why) for skipped in keys.skipped})}"


def _accepts(keys: KeySet, probe: _Probe) -> bool:
    found = keys.find(probe.kid, probe.alg)
    return any(signature_holds(key, probe.alg, _MESSAGE, probe.signature) for key in found)


def _entries(data: bytes) -> list[Any]:
    """The entries by the most common reader of JSON, which lets the last of two names count."""
    return list(json.loads(data.decode("utf-8-sig"))["keys"])


def _is_key(entry: Any, probe: _Probe) -> bool:
    """Whether an entry holds the numbers of the probe's key, and says nothing against name, algorithm and use."""
    return (
        isinstance(entry, dict)
        and probe.numbers.lstrip("A") in {str(entry.get(name, "")).lstrip("A") for name in ("n", "x", "k")}
        and (probe.kid is None or entry.get("kid") == probe.kid)
        and entry.get("alg", probe.alg) in (probe.alg, "Ed25519" if probe.alg == "EdDSA" else probe.alg)
        and entry.get("use", "sig") == "sig"
        and "d" not in entry
    )


def _is_only_secret(data: bytes) -> bool:
    """Whether the shared secret stands nowhere but where a secret belongs."""
    return data.count(_TEXT.encode()) == len(re.findall(rb'"k"\s*:\s*"' + _TEXT.encode(), data))


def _secrets(keys: KeySet) -> bool:
    return any(isinstance(key.material, bytes) for key in keys.keys)


def mutate(data: bytes, other: bytes, chance: random.Random) -> bytes:
    """Changes to the octets, or to one node of the document."""
    try:
        tree = parse_json_object(data)
    except Ambiguous:
        return mutate_octets(data, other, chance)
    if chance.random() < 0.2:
        return mutate_octets(data, other, chance)
    return write_json(mutate_tree(tree, _WORDS, chance), chance)


TARGET: Final = Target(name="key_sets", mutate=mutate, judge=judge, share=5)
