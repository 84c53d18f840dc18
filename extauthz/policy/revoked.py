"""What a TokenRevocation revokes: read strictly from a good one, and as far as it can be read from a broken one.

INVARIANT: a broken object refuses at least the tokens that it would if it were mended. What cannot be read is taken for
whatever could have stood there, so a typo never makes a revoked token good again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from extauthz.model.encoding import base64url_decode
from extauthz.model.time import Instant
from extauthz.model.token import IssuerRef
from extauthz.policy.issuers import named_issuer
from extauthz.policy.parse import CLUSTER_KINDS, ISSUER_KINDS, Broken
from extauthz.policy.problem import ObjectRef, first_of
from extauthz.policy.revocation import LONGEST, Moment, TokenHash, TokenRevocationSpec, instant_of
from extauthz.policy.revocations import EVERYWHERE, FOREVER, Entry, Mark, key_of
from extauthz.policy.words import ObjectName, Text

_HEX_DIGITS: Final = 64
_TEXTS: Final = ("jti", "subject", "session", "client")
_TEXT: Final = TypeAdapter[str](Text)
_HASH: Final = TypeAdapter[str](TokenHash)
_MOMENT: Final = TypeAdapter[str](Moment)
_NAME: Final = TypeAdapter[str](ObjectName)


def entry_of(spec: TokenRevocationSpec, ref: ObjectRef, install_namespace: str) -> Entry:
    """What a good object adds to the index."""
    issuer = _issuer(spec.issuer.kind, spec.issuer.name, ref.namespace)
    mark = Mark(_instant(spec.issued_before), _instant(spec.expires), ref)
    values = {name: getattr(spec, name) for name in _TEXTS}
    return _entry(issuer, values, spec.token_hash, mark, install_namespace)


def salvage(item: Broken, install_namespace: str, known: Iterable[IssuerRef]) -> Iterator[Entry]:
    """What a broken object adds: an entry for each issuer that it may mean, of those `known` where it does not tell."""
    raw = item.raw_spec
    values = {name: _read(_TEXT, raw.get(name)) for name in _TEXTS}
    issued_before, expires = _times(raw)
    mark = Mark(issued_before, expires, item.ref, first_of(item.problems))
    for issuer in _issuers(raw.get("issuer"), item.ref, known):
        # A digest and something else cannot both have been meant, and nobody can tell which of them was.
        if raw.get("tokenHash") is not None:
            yield _entry(issuer, {}, _read(_HASH, raw["tokenHash"]), mark, install_namespace)
        if raw.get("tokenHash") is None or any(values.values()):
            yield _entry(issuer, values, None, mark, install_namespace)


def _entry(
    issuer: IssuerRef, values: Mapping[str, str | None], token_hash: str | None, mark: Mark, install_namespace: str
) -> Entry:
    fields, key = key_of({**values, "token_hash": None if token_hash is None else _octets(token_hash)})
    own = mark.ref.namespace
    everywhere = issuer.kind in CLUSTER_KINDS and own == install_namespace
    return Entry(issuer, EVERYWHERE if everywhere else own, fields, key, mark)


def _issuers(raw: object, ref: ObjectRef, known: Iterable[IssuerRef]) -> Iterable[IssuerRef]:
    said = raw if isinstance(raw, dict) else {}
    name, kind = _read(_NAME, said.get("name")), said.get("kind", "TokenIssuer")
    # A name that is not known here may be that of the kind, written another way.
    sure = isinstance(kind, str) and kind in ISSUER_KINDS and bool(said) and said.keys() <= {"kind", "name"}
    kinds = [kind] if sure else sorted(ISSUER_KINDS)
    if name is not None:
        return [_issuer(each, name, ref.namespace) for each in kinds]
    return [each for each in known if each.kind in kinds and each.namespace in {"", ref.namespace}]


_issuer: Final = lru_cache(maxsize=1024)(named_issuer)


def _times(raw: Mapping[str, Any]) -> tuple[Instant, Instant]:
    """`issuedBefore` and `expires`; where they contradict each other, nobody can tell which one is wrong."""
    before, expires = _read(_MOMENT, raw.get("issuedBefore")), _read(_MOMENT, raw.get("expires"))
    if before is not None and expires is not None:
        span = instant_of(expires) - instant_of(before)
        if not 0 < span <= LONGEST.total_seconds():
            return FOREVER, FOREVER
    return _instant(before), _instant(expires)


def _read(kind: TypeAdapter[str], value: object) -> str | None:
    try:
        return kind.validate_python(value, strict=True)
    except ValidationError:
        return None


def _instant(moment: str | None) -> Instant:
    return FOREVER if moment is None else instant_of(moment)


def _octets(token_hash: str) -> bytes:
    return bytes.fromhex(token_hash) if len(token_hash) == _HEX_DIGITS else base64url_decode(token_hash)
