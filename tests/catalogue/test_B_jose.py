"""Rows B: the structure of a JWS (RFC 7515, RFC 7519, RFC 8725). Where it can be, the signature itself is good."""

from __future__ import annotations

import datetime as dt
import json
import zlib
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from extauthz.model.encoding import base64url_decode, base64url_encode
from extauthz.model.time import Instant
from extauthz.telemetry.metrics import Metrics
from extauthz.telemetry.readings import Readings
from extauthz.tokens.jws import parse_jws
from tests import issuing
from tests.catalogue.fetched import Fetched, fetched_keys
from tests.catalogue.guarded import Guarded, api, at, issuer, signed
from tests.catalogue.outcomes import DOWN, INVREQ, INVTOK, USED, admitted, refused
from tests.issuing import P256_ORDER, claims, header, hmac_token, jwk, rsa_key, sign, token, with_signature
from tests.unit.keys.made import ec_jwk, ec_key, number, oct_jwk
from tests.unit.keys.made import sign as sign_by
from tests.unit.keys.servers import serving

EVIL = "rsa-evil"
GOOD = token()
HEAD, PAYLOAD, SIGNATURE = GOOD.split(".")


@pytest.fixture
def guarded() -> Guarded:
    return Guarded()


def unsigned(alg: str, signature: str = "") -> str:
    head = base64url_encode(json.dumps(header(alg)).encode())
    return f"{head}.{PAYLOAD}.{signature}"


def with_header(head: dict[str, Any] | bytes, key: str = "rsa") -> str:
    """A token whose signature is good under the issuer's key."""
    return issuing.compact(
        head if isinstance(head, bytes) else json.dumps(head).encode(), json.dumps(claims()).encode(), key
    )


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE"])
def test_B01_unsigned(guarded: Guarded, alg: str) -> None:
    for text in (unsigned(alg), unsigned(alg, SIGNATURE), unsigned(alg, "AA"), with_header(header(alg))):
        refused(guarded.present(text), INVTOK, "token_malformed")


@pytest.mark.parametrize("alg", ["RS256", "ES256", "EdDSA", "HS256", ""])
def test_B01_an_empty_signature(guarded: Guarded, alg: str) -> None:
    refused(guarded.present(unsigned(alg)), INVTOK)


def _public_forms() -> dict[str, bytes]:
    """What a public key is written as: PEM, DER, JWK, key set, and PEM with other white space."""
    forms: dict[str, bytes] = {}
    for name, public in (("rsa", rsa_key("rsa").public_key()), ("ec", issuing.ec_key("ec").public_key())):
        pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        forms |= {
            f"{name} pem": pem,
            f"{name} pem stripped": pem.strip(),
            f"{name} pem crlf": pem.replace(b"\n", b"\r\n"),
            f"{name} pem on one line": pem.replace(b"\n", b""),
            f"{name} pem with spaces": pem.replace(b"\n", b" "),
            f"{name} pem indented": b" \t" + pem.replace(b"\n", b"\n  "),
            f"{name} pem doubled": pem.replace(b"\n", b"\n\n"),
            f"{name} der": public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
            f"{name} jwk": json.dumps(jwk(name)).encode(),
            f"{name} jwk tight": json.dumps(jwk(name), separators=(",", ":"), sort_keys=True).encode(),
            f"{name} jwks": json.dumps(issuing.jwks(name)).encode(),
        }
    forms["rsa pkcs1"] = rsa_key("rsa").public_key().public_bytes(Encoding.PEM, PublicFormat.PKCS1)
    return forms


PUBLIC = _public_forms()


@pytest.mark.parametrize("form", PUBLIC)
@pytest.mark.parametrize("kid", ["rsa", "ec", ...])
def test_B02_a_public_key_is_no_secret(guarded: Guarded, form: str, kid: Any) -> None:
    refused(guarded.present(hmac_token(PUBLIC[form], header("HS256", kid))), INVTOK, "signature_invalid")


@pytest.mark.parametrize("key", ["rsa", "ec", "ed"])
def test_B02_the_numbers_of_a_public_key_are_no_secret(guarded: Guarded, key: str) -> None:
    for member in jwk(key).values():
        for secret in (str(member).encode(), base64url_decode(str(member)) if len(str(member)) > 16 else b"\0"):
            refused(guarded.present(hmac_token(secret, header("HS256", key))), INVTOK, "signature_invalid")


@pytest.mark.parametrize("form", PUBLIC)
def test_B02_a_public_key_in_a_secrets_place_is_no_secret_either(tmp_path: Path, form: str) -> None:
    """An operator who writes down a public key as the shared secret would let everybody sign."""
    keys = [oct_jwk("public", k=base64url_encode(PUBLIC[form])), oct_jwk("good")]
    with fetched_keys(tmp_path, keys, algorithms=["HS256"]) as fetched:
        refused(fetched.present(hmac_token(PUBLIC[form], header("HS256", "public"))), INVTOK, "key_unknown")
        refused(fetched.present(hmac_token(PUBLIC[form], header("HS256", "good"))), INVTOK, "signature_invalid")
        admitted(fetched.present(hmac_token(bytes(range(32)), header("HS256", "good"))))
        assert "public key" in fetched.skipped("public")


def test_B03_an_empty_secret_is_no_key(tmp_path: Path) -> None:
    empty = oct_jwk("empty", 0)
    with fetched_keys(tmp_path, [empty, oct_jwk("good")], algorithms=["HS256"]) as fetched:
        for kid in ("empty", "good", ...):
            refused(fetched.present(hmac_token(b"", header("HS256", kid))), INVTOK)
        assert "0 octets" in fetched.skipped("empty")


def test_B03_an_issuer_with_nothing_but_an_empty_secret_has_no_keys(tmp_path: Path) -> None:
    with fetched_keys(tmp_path, [oct_jwk("empty", 0)], algorithms=["HS256"]) as fetched:
        refused(fetched.present(hmac_token(b"", header("HS256", "empty"))), DOWN, "keys_unavailable")


@pytest.mark.parametrize("alg", [..., 256, ["RS256"], "rs256", "RS256 ", None, {"a": 1}, True, "", "Rs256"])
@pytest.mark.parametrize("key", ["rsa", "ec"])
def test_B04_alg_must_be_one_known_text(guarded: Guarded, alg: Any, key: str) -> None:
    wrong = alg.replace("rs256", "es256") if isinstance(alg, str) and key == "ec" else alg
    refused(guarded.present(with_header(header(wrong, key), key)), INVTOK)


@pytest.mark.parametrize(
    "members",
    [
        '"alg":"none","alg":"RS256"', '"alg":"RS256","alg":"none"', '"alg":"RS256","alg":"RS256"',
        '"alg":"HS256","alg":"RS256"',
    ],
)  # fmt: skip
def test_B05_a_member_twice(guarded: Guarded, members: str) -> None:
    refused(guarded.present(with_header(f'{{{members},"typ":"at+jwt","kid":"rsa"}}'.encode())), INVTOK)


@pytest.mark.parametrize("twin", ['"\\u0061lg"', '"al\\u0067"', '"\\u0061\\u006C\\u0067"', '"a\\u006cg"'])
def test_B06_a_member_twice_in_another_spelling(guarded: Guarded, twin: str) -> None:
    for members in (f'"alg":"none",{twin}:"RS256"', f'{twin}:"none","alg":"RS256"'):
        refused(guarded.present(with_header(f'{{{members},"typ":"at+jwt","kid":"rsa"}}'.encode())), INVTOK)


@pytest.mark.parametrize("key", ["rsa", EVIL])
def test_B07_a_key_in_the_header(guarded: Guarded, key: str) -> None:
    for kid in ("rsa", "evil", ...):
        refused(guarded.present(with_header(header(kid=kid, jwk=jwk(EVIL)), key)), INVTOK)


@pytest.mark.parametrize("name", ["jku", "x5u"])
def test_B08_an_address_in_the_header_is_not_visited(name: str) -> None:
    with serving() as evil, serving() as site:
        site.answers["/keys"] = json.dumps(issuing.jwks("rsa")).encode()
        evil.answers["/keys"] = json.dumps({"keys": [jwk(EVIL)]}).encode()
        with Fetched(f"{site.url}/keys") as fetched:
            for key, kid in ((EVIL, EVIL), (EVIL, "rsa"), ("rsa", "rsa"), (EVIL, ...)):
                text = with_header(header(kid=kid, **{name: f"{evil.url}/keys"}), key)
                refused(fetched.present(text), INVTOK, "token_malformed")
        assert evil.asked == []
        assert site.asked == ["/keys"]


def _letting_be(*names: str) -> Guarded:
    """The API for tokens of `corp`, and for those of an issuer whose headers have these parameters."""
    lax = issuer("lax", tokenTypes=["at+jwt", "JWT"], ignoredHeaderParameters=list(names))
    both = at("both")
    both["token"]["issuers"] = [{"name": "corp"}, {"name": "lax"}]
    return Guarded(lax, api(at("plain"), at("lax", issuer="lax"), both))


@pytest.mark.parametrize(("name", "value"), [("jku", "https://evil.example/keys"), ("x5c", ["AAAA"]), ("zip", "NONE")])
def test_B08_an_issuers_own_setting_lets_a_parameter_be(name: str, value: Any) -> None:
    guarded = _letting_be(name)
    good, typed = with_header(header(**{name: value})), with_header(header(**{name: value, "typ": "JWT"}))
    admitted(guarded.present(good, "/lax"))
    admitted(guarded.present(good, "/both"))
    admitted(guarded.present(typed, "/lax"))
    refused(guarded.present(good, "/plain"), INVTOK, "token_malformed")
    refused(guarded.present(with_header(header(**{name: value}), EVIL), "/lax"), INVTOK, "signature_invalid")
    for other in {"jku", "x5c", "x5u", "jwk", "crit", "cty", "b64", "zip"} - {name}:
        refused(guarded.present(with_header(header(**{name: value, other: "x"})), "/lax"), INVTOK, "token_malformed")


@pytest.mark.parametrize("value", ["DEF", "none", "", None, ["NONE"], True])
def test_B13_no_setting_lets_a_compressed_payload_be(value: Any) -> None:
    refused(_letting_be("zip").present(with_header(header(zip=value)), "/lax"), INVTOK, "token_malformed")


def test_B08_an_issuers_setting_is_not_its_neighbours() -> None:
    bobs = issuer("lax", claimEquals={"sub": "bob"}, ignoredHeaderParameters=["jku"])
    both = at("both")
    both["token"]["issuers"] = [{"name": "corp"}, {"name": "lax"}]
    guarded = Guarded(bobs, api(both))
    admitted(guarded.present(GOOD, "/both"))
    refused(guarded.present(with_header(header(jku="https://evil.example/")), "/both"), INVTOK, "token_malformed")


def _self_signed(key: rsa.RSAPrivateKey) -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "corp.example")])
    start = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, start, start + dt.timedelta(days=36_500))
    return b64encode(builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)).decode()


def test_B09_certificates_in_the_header(guarded: Guarded) -> None:
    # Small enough to pass the bound on headers, so that it is the member itself that is refused.
    for chain in ([_self_signed(rsa_key(EVIL))], [_self_signed(rsa_key("rsa"))], []):
        for key in (EVIL, "rsa"):
            refused(guarded.present(with_header(header(x5c=chain), key)), INVTOK, "token_malformed")


KIDS = [
    "../../dev/null", "/dev/null", "' OR 1=1--", "rsa\x00", "\x00", "k" * 10_240, 7, ["rsa"], None, "", {"a": 1},
    "http://evil.example/", "rsa\nrsa", "rsa ", "RSA", "${jndi:ldap://evil.example}", '"},evil="1',
]  # fmt: skip


@pytest.mark.parametrize("kid", KIDS)
def test_B10_a_kid_is_only_a_name(guarded: Guarded, kid: Any) -> None:
    counted = Metrics(lambda: Readings(now=Instant(0.0)), version="1")
    refused(guarded.present(with_header(header(kid=kid))), INVTOK)
    refused(guarded.present(hmac_token(b"", header("HS256", kid))), INVTOK)
    for each in guarded.seen:
        counted.observe(each)
    page = counted.render()[0].decode()
    assert 'extauthz_checks_total{decision="deny",policy="shop/api",reason="' in page
    if isinstance(kid, str) and len(kid) > 3:
        assert kid not in page


@pytest.mark.parametrize(
    "crit", [["exp2"], [], "x", ["b64", "b64"], ["b64"], None, ["alg"], [""], [1], {}, ["exp"], ["typ", "typ"]]
)
def test_B11_a_demand_to_understand(guarded: Guarded, crit: Any) -> None:
    for more in ({}, {"exp2": 1}, {"b64": True}):
        refused(guarded.present(with_header(header(crit=crit, **more))), INVTOK, "token_malformed")


@pytest.mark.parametrize(
    "more", [{"b64": False}, {"b64": False, "crit": ["b64"]}, {"b64": True, "crit": ["b64"]}, {"b64": True}]
)
def test_B12_an_unencoded_payload(guarded: Guarded, more: dict[str, Any]) -> None:
    refused(guarded.present(with_header(header(**more))), INVTOK, "token_malformed")
    raw = json.dumps(claims(), separators=(",", ":"))
    head = base64url_encode(json.dumps(header(**more)).encode())
    mark = base64url_encode(sign(f"{head}.{raw}".encode()))
    # The unencoded form itself is no token68.
    refused(guarded.send(("authorization", f"Bearer {head}.{raw}.{mark}")), INVREQ)


def _jwe(head: dict[str, Any], *parts: bytes) -> str:
    return ".".join(map(base64url_encode, (json.dumps(head).encode(), *parts)))


BOMB = zlib.compressobj(9, wbits=-15)
BOMB_BYTES = BOMB.compress(b" " * 4_000_000) + BOMB.flush()


@pytest.mark.parametrize(
    "text",
    [
        _jwe({"alg": "RSA-OAEP", "enc": "A256GCM"}, b"k" * 256, b"i" * 12, b"c" * 64, b"t" * 16),
        _jwe({"alg": "dir", "enc": "A128GCM"}, b"", b"i" * 12, b"c" * 64, b"t" * 16),
        _jwe({"alg": "RSA-OAEP", "enc": "A256GCM", "cty": "JWT"}, b"k" * 256, b"i" * 12, GOOD.encode(), b"t" * 16),
        _jwe({"alg": "dir", "enc": "A128GCM", "zip": "DEF"}, b"", b"i" * 12, BOMB_BYTES, b"t" * 16),
        _jwe({"alg": "PBES2-HS256+A128KW", "enc": "A128GCM", "p2c": 2**31 - 1, "p2s": "c2FsdA"}, *[b"k"] * 4),
        "a.b.c.d.e", "....", "a....",
    ],
    ids=["RSA-OAEP", "dir", "nested", "bomb", "p2c", "letters", "dots", "head"],
)  # fmt: skip
def test_B13_an_encrypted_token(guarded: Guarded, text: str) -> None:
    refused(guarded.present(text), INVTOK, "token_malformed")


@pytest.mark.parametrize(
    "more", [{"zip": "DEF"}, {"zip": "GZ"}, {"p2c": 10**9}, {"enc": "A256GCM"}, {"cty": "JWT"}, {"p2s": "c2FsdA"}]
)
def test_B13_members_of_encryption_in_a_signed_token(guarded: Guarded, more: dict[str, Any]) -> None:
    refused(guarded.present(with_header(header(**more))), INVTOK, "token_malformed")
    if "zip" in more:
        squeezed = issuing.compact(json.dumps(header(**more)).encode(), BOMB_BYTES)
        refused(guarded.present(squeezed), INVTOK, "token_malformed")


@pytest.mark.parametrize(
    "form",
    [
        {"protected": HEAD, "payload": PAYLOAD, "signature": SIGNATURE},
        {"protected": HEAD, "header": {"alg": "none"}, "payload": PAYLOAD, "signature": SIGNATURE},
        {"payload": PAYLOAD, "signatures": [{"protected": HEAD, "signature": SIGNATURE}]},
        {"payload": PAYLOAD, "signatures": [], "protected": HEAD, "signature": SIGNATURE},
    ],
    ids=["flattened", "flattened with header", "general", "both"],
)
def test_B14_json_serialization(guarded: Guarded, form: dict[str, Any]) -> None:
    for text in (json.dumps(form), json.dumps(form, separators=(",", ":"))):
        refused(guarded.send(("authorization", f"Bearer {text}")), INVTOK, "token_malformed")
        refused(guarded.send(("x-api-key", text), path="/key"), INVTOK, "token_malformed")
        refused(guarded.present(base64url_encode(text.encode())), INVTOK, "token_malformed")


@pytest.mark.parametrize(
    "text",
    [
        HEAD, f"{HEAD}.{PAYLOAD}", f"{GOOD}.", f"{GOOD}.AA", f".{PAYLOAD}.{SIGNATURE}", f"{HEAD}..{SIGNATURE}",
        f"{HEAD}.{PAYLOAD}.", "..", ".", "...", f".{GOOD}", f"{GOOD}.{SIGNATURE}.AA.AA.AA",
    ],
)  # fmt: skip
def test_B15_another_number_of_segments(guarded: Guarded, text: str) -> None:
    refused(guarded.present(text), INVTOK, "token_malformed")


def test_B15_empty_json(guarded: Guarded) -> None:
    for text in (issuing.compact(b"{}", b"{}"), issuing.compact(json.dumps(header()).encode(), b"{}")):
        refused(guarded.present(text), INVTOK, "token_malformed")


@pytest.mark.parametrize("tail", ["=", "==", "==="])
@pytest.mark.parametrize("key", ["rsa", "ec", "ed"])
def test_B16_padding(guarded: Guarded, tail: str, key: str) -> None:
    admitted(guarded.present(token(key=key)))
    refused(guarded.present(token(key=key) + tail), INVTOK, "token_malformed")


ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


@pytest.mark.parametrize(("key", "free"), [("rsa", 4), ("ec", 4), ("ed", 4)])
def test_B17_unused_bits(guarded: Guarded, key: str, free: int) -> None:
    good = token(key=key)
    last = ALPHABET.index(good[-1])
    assert last % (1 << free) == 0
    for bits in range(1, 1 << free):
        refused(guarded.present(good[:-1] + ALPHABET[last ^ bits]), INVTOK, "token_malformed")


@pytest.mark.parametrize("segment", [0, 1, 2])
@pytest.mark.parametrize("sign_", ["+", "/"])
def test_B17_the_other_alphabet(guarded: Guarded, segment: int, sign_: str) -> None:
    parts = GOOD.split(".")
    parts[segment] = parts[segment][:8] + sign_ + parts[segment][9:]
    refused(guarded.present(".".join(parts)), INVTOK, "token_malformed")


@pytest.mark.parametrize("segment", [0, 1, 2])
@pytest.mark.parametrize("inner", [" ", "\n", "\r\n", "!", "\t", "?"])
def test_B17_foreign_characters_inside(guarded: Guarded, segment: int, inner: str) -> None:
    """In a header they make it no token68 to begin with (rows A8 and A9); the reader of tokens refuses them as well."""
    parts = GOOD.split(".")
    parts[segment] = parts[segment][:8] + inner + parts[segment][8:]
    refused(guarded.send(("authorization", f"Bearer {'.'.join(parts)}")), INVREQ)
    assert "not base64url" in getattr(parse_jws(".".join(parts)), "detail", "")


def _twin(text: str) -> str:
    signature = base64url_decode(text.rpartition(".")[2])
    return with_signature(text, signature[:32] + (P256_ORDER - int.from_bytes(signature[32:])).to_bytes(32))


def test_B18_the_twin_of_an_ecdsa_signature(guarded: Guarded) -> None:
    good = token(key="ec")
    assert _twin(good) != good
    admitted(guarded.present(_twin(good), "/once"))
    refused(guarded.present(good, "/once"), USED)
    refused(guarded.present(_twin(good), "/once"), USED)


def _der(text: str) -> bytes:
    return issuing.ec_key("ec").sign(text.rpartition(".")[0].encode(), ec.ECDSA(hashes.SHA256()))


@pytest.mark.parametrize("r", [0, 1, P256_ORDER - 1, P256_ORDER, P256_ORDER + 1, 2**256 - 1])
@pytest.mark.parametrize("s", [0, 1, P256_ORDER - 1, P256_ORDER, P256_ORDER + 1, 2**256 - 1])
def test_B19_numbers_out_of_range(guarded: Guarded, r: int, s: int) -> None:
    forged = with_signature(token(key="ec"), r.to_bytes(32) + s.to_bytes(32))
    refused(guarded.present(forged), INVTOK, "signature_invalid")


@pytest.mark.parametrize("length", [1, 32, 63, 65, 96, 128])
def test_B19_a_signature_of_another_length(guarded: Guarded, length: int) -> None:
    for key in ("rsa", "ec", "ed"):
        good = token(key=key)
        signature = base64url_decode(good.rpartition(".")[2])
        for changed in ((signature * 2)[:length], signature[:-1], signature + b"\0", b"\0" + signature):
            refused(guarded.present(with_signature(good, changed)), INVTOK, "signature_invalid")


def test_B19_a_der_signature(guarded: Guarded) -> None:
    good = token(key="ec")
    refused(guarded.present(with_signature(good, _der(good))), INVTOK, "signature_invalid")


def test_B20_another_algorithm_than_the_keys() -> None:
    keys = {"keys": [ec_jwk("p384", crv="P-384", alg="ES384"), jwk("rsa"), jwk("ec")]}
    guarded = Guarded(api(at("plain", issuer="mixed")), issuer("mixed", keys={"inline": keys}))
    signers = {
        "ES256 by P-384": (header("ES256", "p384"), lambda data: sign_by("ES384", ec_key(crv="P-384"), data)),
        "ES256 by P-384, cut": (header("ES256", "p384"), lambda data: sign_by("ES384", ec_key(crv="P-384"), data)[:64]),
        "ES256K": (header("ES256K", "ec"), _es256k),
        "ES256K named ES256": (header("ES256", "ec"), _es256k),
        "PS256 under an RS256 key": (header("PS256", "rsa"), lambda data: sign(data, "rsa", "PS256")),
        "PS256 named RS256": (header("RS256", "rsa"), lambda data: sign(data, "rsa", "PS256")),
        "RS512 under an RS256 key": (header("RS512", "rsa"), _rs512),
        "EdDSA under an EC key": (header("EdDSA", "ec"), lambda data: sign(data, "ed")),
    }
    for head, signer in signers.values():
        refused(guarded.present(signed(head, signer)), INVTOK)
    admitted(guarded.present(signed(header("ES384", "p384"), signers["ES256 by P-384"][1])))


def _es256k(data: bytes) -> bytes:
    return sign_by("ES256", ec_key("k", "secp256k1"), data)


def _rs512(data: bytes) -> bytes:
    return rsa_key("rsa").sign(data, padding.PKCS1v15(), hashes.SHA512())


PLAIN = json.dumps(header())


@pytest.mark.parametrize(
    "head",
    [
        PLAIN.encode("utf-16"), PLAIN.encode("utf-16-le"), PLAIN.encode("utf-16-be"), PLAIN.encode("utf-32"),
        PLAIN.encode("utf-32-le"), PLAIN.encode("utf-32-be"), b"\xef\xbb\xbf" + PLAIN.encode(),
        PLAIN.encode().replace(b"alg", b"\xc1\xa1lg"), PLAIN.encode().replace(b"/", b"\xc0\xaf") + b"\xc0\xaf",
        PLAIN.encode()[:-1] + b',"x":"\xff"}', PLAIN.encode()[:-1] + b',"x":"\xed\xa0\x80"}', b"\x00" + PLAIN.encode(),
        PLAIN.encode()[:-1] + b',"x":"\\ud800"}', PLAIN.encode("latin-1")[:-1] + b',"x":"\xe9"}',
    ],
)  # fmt: skip
def test_B21_another_encoding(guarded: Guarded, head: bytes) -> None:
    refused(guarded.present(with_header(head)), INVTOK, "token_malformed")


def _deep(levels: int, opening: bytes = b"[", closing: bytes = b"]") -> bytes:
    return PLAIN.encode()[:-1] + b',"x":' + opening * levels + b"0" + closing * levels + b"}"


@pytest.mark.parametrize(
    "head",
    [
        _deep(33), _deep(900), _deep(2_900), _deep(20_000), _deep(300, b'{"a":', b"}"), _deep(20_000, b'{"a":', b"}"),
        PLAIN.encode()[:-1] + b',"x":' + b"[" * 20_000, PLAIN.encode()[:-1] + b',"x":"' + b"a" * (1 << 20) + b'"}',
        PLAIN.encode()[:-1] + b',"x":"' + b"a" * 4_000 + b'"}', b"[" * 20_000 + b"]" * 20_000,
        b" " * 5_000 + PLAIN.encode(),
    ],
    ids=[
        "33 deep", "900 deep", "2,900 deep", "20,000 deep", "300 objects", "20,000 objects", "20,000 open", "1 MiB",
        "4,000 octets", "20,000 brackets", "blanks",
    ],
)  # fmt: skip
def test_B22_a_deep_or_long_header(guarded: Guarded, head: bytes) -> None:
    text = with_header(head)
    refused(guarded.present(text), INVTOK, "token_malformed")
    # The bound on the whole token stands before; the header's own bounds must hold without it.
    assert getattr(parse_jws(text), "detail", "").startswith("the token's header ")


@pytest.mark.parametrize(
    "typ",
    [
        "JWT", "jwt", "logout+jwt", "dpop+jwt", "secevent+jwt", "statuslist+jwt", "application/jwt", "id_token+jwt", 7,
        None, "", "application/", ["at+jwt"], ..., "at+jwt ", "at+jwt;v=1", "text/at+jwt",
        "application/application/at+jwt",
    ],
)  # fmt: skip
def test_B23_another_type(guarded: Guarded, typ: Any) -> None:
    refused(guarded.present(with_header(header(typ=typ))), INVTOK, "token_malformed")


@pytest.mark.parametrize("typ", ["at+jwt", "application/at+jwt", "AT+JWT", "Application/At+Jwt", "APPLICATION/AT+JWT"])
def test_B24_the_type_in_full_and_in_any_case(guarded: Guarded, typ: str) -> None:
    admitted(guarded.present(with_header(header(typ=typ))))


@pytest.mark.parametrize("text", ["mF_9B5f4JqM", "SlAV32hkKG", "a" * 512, "abc~def+ghi/jkl==", "0", number(2**4096)])
def test_B25_an_opaque_token(guarded: Guarded, text: str) -> None:
    refused(guarded.present(text), INVTOK, "token_malformed")
