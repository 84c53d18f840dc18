"""Independent readings: what another server might make of the same octets, and which tokens are truly good.

Nothing here imports what it judges. Where servers differ there are several readings, and an admission counts only when
all of them agree. They are simple and lenient on purpose, as the program is strict on purpose.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import product
from typing import Any, Final
from urllib.parse import parse_qsl, unquote_to_bytes, urlsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from tests.fuzz.issuer import ALGS, AUDIENCE, ISSUER, NOW, private_key

_SKEW: Final = 30
_LONGEST: Final = 3600
_REFUSED: Final = {"crit", "b64", "zip", "cty", "jwk", "jku", "x5u", "x5c", "enc", "epk"}
_UNRESERVED: Final = re.compile(rb"%([46][1-9A-Fa-f]|[57][0-9Aa]|3[0-9]|2[dDeE]|5[fF]|7[eE])")


def good_claims(token: str) -> Mapping[str, Any] | None:
    """The claims of a token that the issuer truly signed and that is good now for the audience; None for any other."""
    parts = token.split(".")
    decoded = [_decode(part) for part in parts]
    if len(parts) != 3 or None in decoded:
        return None
    head, claims = _object(decoded[0] or b""), _object(decoded[1] or b"")
    if head is None or claims is None or _REFUSED & head.keys():
        return None
    if not _signed(head, ".".join(parts[:2]).encode(), decoded[2] or b"") or not _typed(head.get("typ")):
        return None
    return claims if _said(claims) and _in_time(claims) else None


def _decode(text: str) -> bytes | None:
    """Base64url in its one form."""
    try:
        data = base64.b64decode(text.encode() + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if base64.urlsafe_b64encode(data).decode().rstrip("=") == text else None


def _object(data: bytes) -> dict[str, Any] | None:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({name for name, _ in pairs}) != len(pairs):
            raise ValueError("a name twice")
        return dict(pairs)

    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=unique)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _signed(head: Mapping[str, Any], signing_input: bytes, signature: bytes) -> bool:
    """Whether the key that `kid` names made the signature; any key of the algorithm where there is no `kid`."""
    # RFC 9864, section 2.2: another name of the same algorithm.
    alg = "EdDSA" if head.get("alg") == "Ed25519" else head.get("alg")
    names = [name for name, own in ALGS.items() if own == alg and head.get("kid", name) == name]
    return any(_holds(name, signing_input, signature) for name in names)


def _holds(name: str, signing_input: bytes, signature: bytes) -> bool:
    try:
        match private_key(name).public_key():
            case rsa.RSAPublicKey() as key:
                key.verify(signature, signing_input, padding.PKCS1v15(), hashes.SHA256())
            case ec.EllipticCurvePublicKey() as key:
                r, s = int.from_bytes(signature[:32]), int.from_bytes(signature[32:])
                key.verify(encode_dss_signature(r, s), signing_input, ec.ECDSA(hashes.SHA256()))
            case key:
                key.verify(signature, signing_input)
    except InvalidSignature:
        return False
    return True


def _typed(typ: object) -> bool:
    return isinstance(typ, str) and typ.lower() in {"at+jwt", "application/at+jwt"}


def _said(claims: Mapping[str, Any]) -> bool:
    aud = claims.get("aud")
    audiences = aud if isinstance(aud, list) else [aud]
    subject = claims.get("sub")
    return (
        claims.get("iss") == ISSUER
        and AUDIENCE in audiences
        and isinstance(subject, str)
        and subject != ""
        and "cnf" not in claims
    )


def _in_time(claims: Mapping[str, Any]) -> bool:
    times = [claims[name] for name in ("exp", "iat", "nbf") if name in claims]
    if "exp" not in claims or not all(isinstance(t, int | float) and not isinstance(t, bool) for t in times):
        return False
    begins = [claims[name] for name in ("iat", "nbf") if name in claims]
    expires = math.floor(claims["exp"])
    return (
        expires + _SKEW > NOW
        and all(begin - _SKEW <= NOW for begin in begins)
        and expires - claims.get("iat", NOW) <= _LONGEST
    )


def paths_read(target: str) -> Iterator[bytes]:
    """The path of a request target as servers read it (RFC 3986, section 5.2.4, and what is commonly done besides).

    As it stands, decoded once and twice; each of them with `\\` for `/`, without what follows a `;` in a segment, with
    slashes merged, with dot segments resolved, and in every combination.
    """
    raw = target.partition("?")[0].encode("utf-8", "surrogatepass")
    plain = _UNRESERVED.sub(lambda found: unquote_to_bytes(found[0]), raw)
    once = unquote_to_bytes(raw)
    seen: set[bytes] = set()
    for text in dict.fromkeys((plain, once, unquote_to_bytes(once))):
        for backslash, cut, merge, dots in product((False, True), repeat=4):
            path = text.replace(b"\\", b"/") if backslash else text
            path = b"/".join(part.partition(b";")[0] for part in path.split(b"/")) if cut else path
            path = re.sub(rb"/{2,}", b"/", path) if merge else path
            path = _resolved(path) if dots else path
            if path not in seen:
                seen.add(path)
                yield path


def _resolved(path: bytes) -> bytes:
    kept: list[bytes] = []
    parts = path.split(b"/")[1:]
    for part in parts:
        if part == b"..":
            del kept[-1:]
        elif part != b".":
            kept.append(part)
    if parts and parts[-1] in {b".", b".."}:
        kept.append(b"")
    return b"/" + b"/".join(kept)


def hosts_read(authority: str) -> set[str]:
    """The host of an authority as servers read it: by RFC 3986, by cutting at a colon, decoded, trimmed."""
    found = {re.sub(r":[0-9]*\Z", "", authority), authority.partition(":")[0] or authority}
    if authority.startswith("["):
        found = {authority.partition("]")[0] + "]"}
    for text in (authority, unquote_to_bytes(authority).decode("latin-1")):
        try:
            name = urlsplit(f"//{text}").hostname or ""
        except ValueError:
            continue
        found.add(f"[{name}]" if ":" in name else name)
    found |= {name.rpartition("@")[2] for name in found}
    return {name.strip().lower().removesuffix(".") for name in found}


def bearers_read(values: Iterable[str]) -> list[str]:
    """Every credential that a server could find in `Authorization`, whatever its scheme."""
    pieces = [piece.strip() for value in values for piece in value.split(",")]
    return [piece.partition(" ")[2].strip() if " " in piece else piece for piece in pieces if piece]


def cookies_read(values: Iterable[str], name: str) -> set[str]:
    """Every value that a server could find for a cookie: names trimmed and decoded, and commas taken for semicolons."""
    found = set()
    for value in values:
        for separators in (";", ";,"):
            for pair in re.split(f"[{separators}]", value):
                key, _, text = pair.partition("=")
                if unquote_to_bytes(key.strip()).strip() == name.encode():
                    found.add(text.strip().strip('"'))
    return found - {""}


def parameters_read(query: str, name: str) -> set[str]:
    """Every value that a server could find for a query parameter (the URL standard, and `;` as HTML 4 had it)."""
    found = set()
    for text in (query, query.replace(";", "&")):
        for key, value in parse_qsl(text, keep_blank_values=True):
            if key.strip() == name:
                found.add(value)
    return found - {""}
