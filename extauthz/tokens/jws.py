"""JSON Web Signatures in compact form (RFC 7515, sections 3.1, 4 and 5.2), read strictly (RFC 8725).

One form, one reading: three canonical base64url segments, a header without duplicate names, and no member that brings
a key along, changes what is signed, or says that something must be understood that is not. A few of them some issuers
always write: such a one may be let be, where an issuer's settings name it, and is not read then either.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

from extauthz.model.encoding import Ambiguous, Json, base64url_decode, parse_json_object
from extauthz.model.reason import Reason
from extauthz.model.verdict import Refusal
from extauthz.tokens.quoting import quote

MAX_HEADER: Final = 2048
"""Octets of a decoded header. Real ones stay below 300."""
MAX_CHAIN: Final = 8192
"""The same where certificates are let be in it."""
MAX_KID: Final = 256
MAX_TYP: Final = 128
_MAX_ALG: Final = 32
_MAX_REMEMBERED: Final = 512
"""Characters of a header's segment, beyond which it is read anew for each token."""

_REFUSED: Final = {
    "crit": "demands an extension, and none is supported",
    "b64": "changes what is signed, which RFC 7797, section 7, forbids in a JWT",
    "zip": "says that the payload is compressed",
    "cty": "says that the payload is another token",
    "jwk": "brings a key along; keys come from the issuer only",
    "jku": "brings the address of keys along; keys come from the issuer only",
    "x5u": "brings the address of a certificate along; keys come from the issuer only",
    "x5c": "brings certificates along; keys come from the issuer only",
} | dict.fromkeys(("enc", "epk", "apu", "apv", "iv", "tag", "p2s", "p2c"), "belongs to an encrypted token")

IGNORABLE: Final = frozenset({"jku", "x5c", "zip"})
"""Members that mean nothing to a verifier with keys of its own, and that some issuers write into every token."""
_UNZIPPED: Final = "NONE"
"""What `zip` holds where nothing is compressed. No standard has it."""


class _Unfit(ValueError):
    """Not a JWS that is taken here. The message says why."""


class Jws(NamedTuple):
    """A JWS that is well formed. Nothing in it is verified yet. Its repr shows nothing of what is signed."""

    alg: str
    """Never `none`; whether the issuer accepts it is asked later."""
    kid: str | None
    typ: str
    """Lower case, without `application/`; the empty text when the header has none."""
    typ_as_sent: str
    members: frozenset[str]
    """The names of the header's members."""
    signing_input: bytes
    payload: bytes
    signature: bytes

    def __repr__(self) -> str:
        return f"Jws(alg={self.alg!r}, kid={self.kid!r}, typ={self.typ!r}, members={self.members!r})"


def parse_jws(token: str, ignored: frozenset[str] = frozenset()) -> Jws | Refusal:
    """Read a compact JWS. Refuses with `token_malformed`; never raises. Those of IGNORABLE that are `ignored` are let
    be; whether the token's own issuer has it so is to be asked then."""
    try:
        return _parse(token, ignored)
    except _Unfit as problem:
        return Refusal(Reason.TOKEN_MALFORMED, str(problem))


def read_payload(jws: Jws) -> dict[str, Json] | Refusal:
    """The claims that the token makes (RFC 7519, section 7.2), not verified yet."""
    try:
        return parse_json_object(jws.payload)
    except Ambiguous as problem:
        return Refusal(Reason.TOKEN_MALFORMED, f"the token's payload is not unambiguous JSON: {problem}")


def _parse(token: str, ignored: frozenset[str]) -> Jws:
    segments = token.split(".", 5)
    if len(segments) != 3:
        raise _Unfit(_count_problem(len(segments)))
    header_text, payload_text, signature_text = segments
    read = _recall_header if len(header_text) <= _MAX_REMEMBERED else _Header.of
    header = read(header_text, ignored)
    payload = _decode(payload_text, "payload")
    signature = _decode(signature_text, "signature")
    signed = token[: len(header_text) + 1 + len(payload_text)].encode("ascii")
    return Jws(header.alg, header.kid, header.typ, header.typ_as_sent, header.members, signed, payload, signature)


class _Header(NamedTuple):
    """What a header says, in the words of Jws."""

    alg: str
    kid: str | None
    typ: str
    typ_as_sent: str
    members: frozenset[str]

    @classmethod
    def of(cls, text: str, ignored: frozenset[str]) -> _Header:
        """Read a header's segment. Raises _Unfit."""
        header = _header(_decode(text, "header"), MAX_CHAIN if "x5c" in ignored else MAX_HEADER)
        if not _REFUSED.keys().isdisjoint(header):
            _refuse_members(header, ignored)
        typ = _typ(header)
        return cls(_alg(header), _kid(header), typ.lower().removeprefix("application/"), typ, frozenset(header))


def _refuse_members(header: dict[str, Json], ignored: frozenset[str]) -> None:
    ignorable = IGNORABLE if header.get("zip", _UNZIPPED) == _UNZIPPED else IGNORABLE - {"zip"}
    name = next((name for name in _REFUSED if name in header and name not in ignored & ignorable), None)
    if name is not None:
        mend = how_to_ignore(name) if name in ignorable else ""
        raise _Unfit(f"the token's header has `{name}`, which {_REFUSED[name]}{mend}")


def how_to_ignore(name: str) -> str:
    """What an operator can do about one of IGNORABLE."""
    return f"; where the issuer always writes it, `{name}` in its `ignoredHeaderParameters` lets it be, unread"


# All tokens that an issuer signs with one key have the same header, octet by octet.
_recall_header: Final = lru_cache(maxsize=256)(_Header.of)


def _count_problem(count: int) -> str:
    if count == 5:
        return (
            "the token has five segments, so it is encrypted (JWE); let the issuer sign access tokens and not encrypt"
            " them (some do so when the client asks for no audience)"
        )
    if count == 1:
        return (
            "the token is no JWT: it has no segments; an opaque token cannot be verified by signature, its issuer's"
            " `introspection` says whom to ask"
        )
    # Some servers write opaque tokens in two parts.
    opaque = "; if it is opaque, its issuer's `introspection` says whom to ask" if count == 2 else ""
    return f"the token has {'more than five' if count > 5 else count} segments, a signed JWT has three{opaque}"


def _decode(text: str, name: str) -> bytes:
    if not text:
        raise _Unfit(f"the token's {name} is empty")
    try:
        return base64url_decode(text)
    except Ambiguous as problem:
        raise _Unfit(f"the token's {name} is {problem}") from problem


def _header(data: bytes, longest: int) -> dict[str, Json]:
    if len(data) > longest:
        raise _Unfit(f"the token's header has {len(data)} octets, allowed are {longest}")
    try:
        return parse_json_object(data)
    except Ambiguous as problem:
        raise _Unfit(f"the token's header is not unambiguous JSON: {problem}") from problem


def _alg(header: dict[str, Json]) -> str:
    alg = header.get("alg")
    if not isinstance(alg, str) or not 1 <= len(alg) <= _MAX_ALG:
        raise _Unfit("the token's header has no `alg`, or one that is not a short text")
    if alg.lower() == "none":
        raise _Unfit(f"`alg` is {quote(alg)}: the token is not signed")
    return alg


def _kid(header: dict[str, Json]) -> str | None:
    if "kid" not in header:
        return None
    kid = header["kid"]
    if not isinstance(kid, str) or not _is_plain(kid, MAX_KID):
        raise _Unfit(f"`kid` is not a text of 1 to {MAX_KID} printable ASCII characters")
    return kid


def _typ(header: dict[str, Json]) -> str:
    if "typ" not in header:
        return ""
    typ = header["typ"]
    # INVARIANT: the empty text stands for an absent `typ`, so nothing that is there may come out as empty.
    if not isinstance(typ, str) or not _is_plain(typ, MAX_TYP) or typ.lower() == "application/":
        raise _Unfit(f"`typ` is {quote(typ)}, not a media type")
    return typ


def _is_plain(text: str, longest: int) -> bool:
    return 1 <= len(text) <= longest and text.isascii() and text.isprintable()
