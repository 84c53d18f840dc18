"""Rows C: keys and key sets (RFC 7517), from a server on loopback to the answer of a Check."""

from __future__ import annotations

import gzip
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from extauthz.app import App
from extauthz.config import LogSink, Settings, parse_address
from extauthz.keys.jwk import MAX_DOCUMENT
from tests import issuing
from tests.building import NOW
from tests.catalogue.fetched import Fetched, fetched_keys
from tests.catalogue.guarded import Guarded, api, at, issuer, signed
from tests.catalogue.outcomes import DOWN, INVTOK, admitted, refused
from tests.issuing import claims, header, hmac_token, jwk, sign, token
from tests.unit.keys.made import ec_jwk, ec_key, oct_jwk, rsa_jwk, rsa_key
from tests.unit.keys.made import number as written
from tests.unit.keys.made import sign as sign_by
from tests.unit.keys.servers import Site, ca_pem, dripping, server_tls, serving
from tests.unit.keys.test_jwk import ROCA_N

SECRET = bytes(range(32))


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


@pytest.fixture
def site(stack: ExitStack) -> Site:
    found = stack.enter_context(serving())
    found.answers["/keys"] = key_set("rsa", "ec")
    return found


@pytest.fixture
def fetched(stack: ExitStack, site: Site) -> Fetched:
    return stack.enter_context(Fetched(f"{site.url}/keys"))


def key_set(*entries: str | dict[str, Any]) -> bytes:
    return json.dumps({"keys": [jwk(entry) if isinstance(entry, str) else entry for entry in entries]}).encode()


def holding(*entries: str | dict[str, Any], **spec: Any) -> Guarded:
    """The API with an issuer that has these keys."""
    keys = {"inline": json.loads(key_set(*entries))}
    return Guarded(api(at("plain", issuer="holder")), issuer("holder", keys=keys, **spec))


def skipped(guarded: Guarded, kid: str) -> str:
    """Why the operator is told that a key is not used."""
    sets = [state.keys for ref, state in guarded.keys.states().items() if ref.name == "holder"]
    return "; ".join(each.why for found in sets if found is not None for each in found.skipped if each.kid == kid)


def test_C01_an_unknown_kid_brings_about_one_refresh(fetched: Fetched, site: Site) -> None:
    rotated = token(key="rsa-new")
    refused(fetched.present(rotated), INVTOK, "key_unknown")
    fetched.until(lambda state: site.count("/keys") == 2)
    refused(fetched.present(rotated), INVTOK, "key_unknown")
    fetched.later(29)
    refused(fetched.present(rotated), INVTOK, "key_unknown")
    assert site.count("/keys") == 2
    site.answers["/keys"] = key_set("rsa", "rsa-new")
    fetched.later(1)
    refused(fetched.present(rotated), INVTOK, "key_unknown")
    fetched.until_has("rsa", "rsa-new")
    admitted(fetched.present(rotated))
    assert site.count("/keys") == 3


def test_C02_a_flood_of_unknown_kids(fetched: Fetched, site: Site) -> None:
    for interval in range(3):
        flood = [threading.Thread(target=_flood, args=(fetched, interval * 4 + n)) for n in range(4)]
        for thread in flood:
            thread.start()
        for thread in flood:
            thread.join()
        fetched.until(lambda state, wanted=interval + 2: site.count("/keys") == wanted)  # type: ignore[misc]
        fetched.later(30)
    assert site.count("/keys") == 4


def _flood(fetched: Fetched, start: int) -> None:
    for number in range(50):
        refused(fetched.present(token(head=header(kid=f"flood-{start}-{number}"))), INVTOK, "key_unknown")


def test_C03_without_kid_the_one_key_that_fits_serves() -> None:
    guarded = holding("rsa", "ec")
    for key, alg in (("rsa", "RS256"), ("ec", "ES256")):
        admitted(guarded.present(token(head=header(alg, kid=...), key=key)))
    refused(guarded.present(token(head=header("EdDSA", kid=...), key="ed")), INVTOK, "key_unknown")


def test_C03_without_kid_at_most_four_keys_of_the_algorithm_are_tried() -> None:
    names = [f"ec-{number}" for number in range(6)]
    guarded = holding("rsa", *names)
    for number, name in enumerate(names):
        text = token(head=header("ES256", kid=...), key=name)
        if number < 4:
            admitted(guarded.present(text))
        else:
            refused(guarded.present(text), INVTOK, "signature_invalid")
        admitted(guarded.present(token(key=name)))


def test_C04_one_kid_for_two_algorithms_is_chosen_by_both() -> None:
    guarded = holding(jwk("rsa") | {"kid": "same"}, jwk("ec") | {"kid": "same"})
    admitted(guarded.present(token(head=header("RS256", "same"), key="rsa")))
    admitted(guarded.present(token(head=header("ES256", "same"), key="ec")))


@pytest.mark.parametrize("first", ["rsa", "rsa-2"])
def test_C04_one_kid_and_algorithm_for_two_keys_is_used_for_none(first: str) -> None:
    second = "rsa-2" if first == "rsa" else "rsa"
    guarded = holding(jwk(first) | {"kid": "same"}, jwk(second) | {"kid": "same"}, jwk("ec") | {"kid": "same"})
    for key in (first, second):
        refused(guarded.present(token(head=header("RS256", "same"), key=key)), INVTOK, "signature_invalid")
        refused(guarded.present(token(head=header("RS256", kid=...), key=key)), INVTOK)
    admitted(guarded.present(token(head=header("ES256", "same"), key="ec")))
    assert "different keys share this `kid` and `RS256`" in skipped(guarded, "same")


@pytest.mark.parametrize(
    "members", [{"use": "enc"}, {"key_ops": ["encrypt"]}, {"key_ops": []}, {"key_ops": ["sign"]}, {"use": "SIG"}]
)
def test_C05_a_key_for_another_purpose(members: dict[str, Any]) -> None:
    guarded = holding(jwk("rsa") | members, "ec")
    refused(guarded.present(token()), INVTOK, "key_unknown")
    refused(guarded.present(token(head=header(kid=...))), INVTOK, "key_unknown")
    admitted(guarded.present(token(key="ec")))
    assert "`use`" in skipped(guarded, "rsa") or "`key_ops`" in skipped(guarded, "rsa")


@pytest.mark.parametrize("alg", ["PS256", "RS512", "RS384"])
def test_C06_a_key_for_another_algorithm(alg: str) -> None:
    guarded = holding(jwk("rsa") | {"alg": alg}, "ec")
    refused(guarded.present(token()), INVTOK, "key_unknown")
    refused(guarded.present(token(head=header(kid=...))), INVTOK, "key_unknown")


def test_C07_a_symmetric_key_in_a_set_that_others_can_read(site: Site) -> None:
    site.answers["/keys"] = key_set(oct_jwk("shared"), "rsa")
    with Fetched(f"{site.url}/keys") as fetched:
        for kid in ("shared", "rsa", ...):
            refused(fetched.present(hmac_token(SECRET, header("HS256", kid))), INVTOK, "signature_invalid")
        admitted(fetched.present(token()))
        assert "symmetric" in fetched.skipped("shared")


def test_C07_a_set_of_secrets_that_others_can_read(site: Site) -> None:
    site.answers["/keys"] = key_set(oct_jwk("shared"))
    with Fetched(f"{site.url}/keys") as fetched:
        refused(fetched.present(hmac_token(SECRET, header("HS256", "shared"))), DOWN, "keys_unavailable")
        assert "whoever read the set can sign" in str(fetched.state.problem)


def test_C07_a_mixed_set_has_no_secrets(tmp_path: Path) -> None:
    with fetched_keys(tmp_path, [oct_jwk("shared"), jwk("rsa")]) as fetched:
        admitted(fetched.present(token()))
        refused(fetched.present(hmac_token(SECRET, header("HS256", "shared"))), INVTOK, "signature_invalid")
    with fetched_keys(tmp_path, [oct_jwk("shared"), jwk("rsa")], algorithms=["HS256"]) as fetched:
        refused(fetched.present(hmac_token(SECRET, header("HS256", "shared"))), DOWN, "keys_unavailable")
        refused(fetched.present(token()), DOWN, "keys_unavailable")


@pytest.mark.parametrize("member", ["d", "p", "q", "dp", "dq", "qi", "oth", "k"])
def test_C08_a_private_key_in_a_set_that_others_can_read(member: str, site: Site) -> None:
    site.answers["/keys"] = key_set(jwk("rsa") | {member: "AQAB"}, "ec")
    with Fetched(f"{site.url}/keys") as fetched:
        refused(fetched.present(token()), INVTOK, "key_unknown")
        admitted(fetched.present(token(key="ec")))
        assert "private members" in fetched.skipped("rsa")


def _weak_tokens() -> dict[str, tuple[dict[str, Any], str]]:
    """Keys that must not be used, each with a token whose signature holds under it, where one can be made."""
    even = jwk("rsa") | {"kid": "weak", "e": "AQAA"}
    return {
        "RSA 1024": (rsa_jwk("weak", bits=1024), _by("RS256", rsa_key(bits=1024))),
        "RSA 1536": (rsa_jwk("weak", bits=1536), _by("RS256", rsa_key(bits=1536))),
        "e=1": (jwk("rsa") | {"kid": "weak", "e": "AQ"}, signed(header(kid="weak"), _signature_for_e_1)),
        "even e": (even, signed(header(kid="weak"), sign)),
        "e=0": (jwk("rsa") | {"kid": "weak", "e": "AA"}, signed(header(kid="weak"), sign)),
        "ROCA": (rsa_jwk("weak", n=ROCA_N), signed(header(kid="weak"), sign)),
        "RSA of close primes": (rsa_jwk("weak", n=written(CLOSE.n), e="AQAB"), _by("RS256", CLOSE.key)),
        "RSA of one prime twice": (rsa_jwk("weak", n=written(_PRIMES[0] ** 2), e="AQAB"), _by("RS256", CLOSE.key)),
    }


_PRIMES = (3 * 2**1022 + 1037, 3 * 2**1022 + 1697)


class _Factored:
    """The private key that anyone can work out of a modulus of close primes."""

    n = _PRIMES[0] * _PRIMES[1]

    @property
    def key(self) -> rsa.RSAPrivateKey:
        p, q = _PRIMES
        d = pow(65537, -1, (p - 1) * (q - 1))
        public = rsa.RSAPublicNumbers(65537, self.n)
        dmp1, dmq1, iqmp = rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q)
        return rsa.RSAPrivateNumbers(p, q, d, dmp1, dmq1, iqmp, public).private_key()


CLOSE = _Factored()


def _by(alg: str, key: Any) -> str:
    return signed(header(alg, "weak"), lambda data: sign_by(alg, key, data))


def _signature_for_e_1(data: bytes) -> bytes:
    """Under the exponent 1 the padded hash is its own signature (RFC 8017, section 9.2), so anyone can write it."""
    digest = hashes.Hash(hashes.SHA256())
    digest.update(data)
    info = bytes.fromhex("3031300d060960864801650304020105000420") + digest.finalize()
    return b"\x00\x01" + b"\xff" * (256 - 3 - len(info)) + b"\x00" + info


WEAK = _weak_tokens()


@pytest.mark.parametrize("name", WEAK)
def test_C09_a_weak_key(name: str) -> None:
    weak, text = WEAK[name]
    guarded = holding(weak, "rsa", "ec")
    refused(guarded.present(text), INVTOK, "key_unknown")
    assert "RSA" in skipped(guarded, "weak") or "ROCA" in skipped(guarded, "weak")
    for key in ("rsa", "ec"):
        admitted(guarded.present(token(key=key)))


def test_C09_the_forgery_for_exponent_1_is_one() -> None:
    """That the row is worth its name: the same arithmetic under the real exponent verifies an honest signature."""
    numbers = issuing.rsa_key("rsa").public_key().public_numbers()
    honest = issuing.rsa_key("rsa").sign(b"data", padding.PKCS1v15(), hashes.SHA256())
    assert pow(int.from_bytes(honest), numbers.e, numbers.n).to_bytes(256) == _signature_for_e_1(b"data")


@pytest.mark.parametrize(("octets", "alg"), [(31, "HS256"), (1, "HS256"), (47, "HS384"), (63, "HS512")])
def test_C09_a_short_secret(tmp_path: Path, octets: int, alg: str) -> None:
    keys = [oct_jwk("weak", octets, alg), oct_jwk("good", 64, alg)]
    with fetched_keys(tmp_path, keys, algorithms=[alg]) as fetched:
        text = signed(header(alg, "weak"), lambda data: sign_by(alg, bytes(range(octets)), data))
        refused(fetched.present(text), INVTOK, "key_unknown")
        assert f"{octets} octets" in fetched.skipped("weak")
        admitted(fetched.present(signed(header(alg, "good"), lambda data: sign_by(alg, bytes(range(64)), data))))


@pytest.mark.parametrize(
    "broken",
    [
        ec_jwk("bad", y=ec_jwk("x", "other")["y"]), ec_jwk("bad", x="A" * 43, y="A" * 43),
        ec_jwk("bad") | {"crv": "P-384"}, ec_jwk("bad") | {"crv": "P-384", "alg": "ES384"},
        ec_jwk("bad") | {"crv": "secp256k1"}, ec_jwk("bad", x="AAAA"),
        ec_jwk("bad", y="AAAA"), ec_jwk("bad", x=""),
        ec_jwk("bad") | {"y": None}, ec_jwk("bad") | {"x": 7},
        ec_jwk("bad") | {"crv": ["P-256"]},
    ],
    ids=["off", "0,0", "crv", "crv alg", "k1", "short x", "short y", "empty x", "no y", "number", "array"],
)  # fmt: skip
def test_C10_a_point_that_is_none(broken: dict[str, Any]) -> None:
    guarded = holding(broken, "rsa", "ec")
    text = signed(header("ES256", "bad"), lambda data: sign_by("ES256", ec_key(), data))
    refused(guarded.present(text), INVTOK, "key_unknown")
    assert skipped(guarded, "bad")
    for key in ("rsa", "ec"):
        admitted(guarded.present(token(key=key)))


def test_C11_a_retired_key_is_gone_for_good(fetched: Fetched, site: Site) -> None:
    retired, kept = (token(claims(exp=NOW + 3500), key=key) for key in ("rsa", "ec"))
    admitted(fetched.present(retired))
    site.answers["/keys"] = key_set("ec")
    fetched.later(301)
    fetched.until_has("ec")
    refused(fetched.present(retired), INVTOK, "key_unknown")
    site.answers["/keys"] = b"broken"
    fetched.later(301)
    fetched.until_failed()
    refused(fetched.present(retired), INVTOK, "key_unknown")
    admitted(fetched.present(kept))
    assert fetched.snapshot is not None
    fetched.keys.reconcile(fetched.snapshot.issuer_keys)
    refused(fetched.present(retired), INVTOK, "key_unknown")


def test_C12_the_key_of_another_issuer_with_the_same_kid() -> None:
    ours = issuer("a", issuer="https://a.example", keys={"inline": {"keys": [jwk("rsa-a") | {"kid": "same"}]}})
    theirs = issuer("b", issuer="https://b.example", keys={"inline": {"keys": [jwk("rsa-b") | {"kid": "same"}]}})
    both = at("plain")
    both["token"]["issuers"] = [{"name": "a"}, {"name": "b"}]
    guarded = Guarded(api(both, at("a", issuer="a")), ours, theirs)
    for iss, key, good in (("a", "rsa-a", True), ("b", "rsa-b", True), ("a", "rsa-b", False), ("b", "rsa-a", False)):
        text = token(claims(iss=f"https://{iss}.example"), header(kid="same"), key)
        for _ in range(2):
            if good:
                admitted(guarded.present(text))
            else:
                refused(guarded.present(text), INVTOK, "signature_invalid")
    theirs_here = token(claims(iss="https://b.example"), header(kid="same"), "rsa-b")
    refused(guarded.present(theirs_here, "/a"), INVTOK, "issuer_untrusted")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_C13_a_redirect_is_not_followed(stack: ExitStack, status: int) -> None:
    here, there = stack.enter_context(serving()), stack.enter_context(serving())
    there.answers["/keys"] = key_set("rsa")
    here.answers["/keys"] = (status, {"Location": f"{there.url}/keys"}, b"")
    fetched = stack.enter_context(Fetched(f"{here.url}/keys"))
    refused(fetched.present(token()), DOWN, "keys_unavailable")
    assert "redirects are not followed" in str(fetched.until_failed().problem)
    assert there.asked == []


@pytest.mark.parametrize("url", ["file:///etc/keys.json", "ftp://corp.example/keys", "/etc/keys.json", "data:,{}"])
def test_C13_an_address_that_is_no_https_is_no_policy(url: str) -> None:
    guarded = Guarded(api(at("plain", issuer="remote")), issuer("remote", keys={"jwksUri": url}))
    refused(guarded.present(token()), DOWN, "policy_invalid")


@pytest.mark.parametrize("url", ["file:///etc/keys.json", "ftp://corp.example/keys", "gopher://corp.example/"])
def test_C13_metadata_that_points_to_a_file(site: Site, url: str) -> None:
    site.answers["/meta"] = json.dumps({"issuer": issuing.ISSUER, "jwks_uri": url}).encode()
    with Fetched(keys={"discovery": {"url": f"{site.url}/meta"}}) as fetched:
        refused(fetched.present(token()), DOWN, "keys_unavailable")
        assert "is not fetched" in str(fetched.state.problem)


@pytest.mark.parametrize(
    "url",
    [
        "https://169.254.169.254/latest/meta-data", "https://[::ffff:169.254.169.254]/", "https://2852039166/",
        "https://0xa9fea9fe/", "https://[fd00:ec2::254]/", "https://[64:ff9b::a9fe:a9fe]/", "https://0.0.0.0/",
    ],
)  # fmt: skip
def test_C13_a_metadata_service(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    connected: list[Any] = []
    monkeypatch.setattr(socket.socket, "connect", lambda _, place: connected.append(place))
    with Fetched(url) as fetched:
        refused(fetched.present(token()), DOWN, "keys_unavailable")
        assert "an address that no issuer has" in str(fetched.state.problem)
    assert connected == []


def test_C13_a_name_that_leads_to_this_machine(
    monkeypatch: pytest.MonkeyPatch, stack: ExitStack, tmp_path: Path
) -> None:
    """The name is a public one; what DNS says of it is not."""
    secure = stack.enter_context(serving(tls=server_tls(tmp_path)))
    secure.answers["/keys"] = key_set("rsa")
    port = int(secure.url.rpartition(":")[2])
    honest = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *more, **named: honest("127.0.0.1", *more, **named))
    url = f"https://login.corp.example:{port}/keys"
    fetched = stack.enter_context(Fetched(url, allow=False, caBundle={"inline": ca_pem()}))
    refused(fetched.present(token()), DOWN, "keys_unavailable")
    assert "this machine" in str(fetched.state.problem)
    assert secure.asked == []


def _flooding(handler: Any) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
    try:
        for _ in range(1600):
            handler.wfile.write(b" " * 65_536)
    except OSError:
        handler.close_connection = True


BAD_SETS: dict[str, tuple[Any, str]] = {
    "100 MiB": (_flooding, f"more than {MAX_DOCUMENT} octets"),
    "gzip bomb": ((200, {"Content-Encoding": "gzip"}, gzip.compress(b" " * 50_000_000)), "compressed"),
    "10,000 keys": (key_set(*[{}] * 10_000), "10000 keys"),
    "101 keys": (key_set(*[jwk("rsa")] * 101), "101 keys"),
    "no JSON": (b"<html>sign in</html>", "HTML"),
    "text": (b"nothing", "no JSON key set"),
    "keys is no array": (b'{"keys":{"rsa":{}}}', "not an array"),
    "keys is missing": (b'{"jwks":[]}', "`keys` is missing"),
    "no keys": (b'{"keys":[]}', "empty"),
    "keys twice": (b'{"keys":[],"keys":[]}', "twice"),
    "deep": (b'{"keys":' + b"[" * 20_000 + b"]" * 20_000 + b"}", "nested"),
    "nothing usable": (key_set(rsa_jwk("a", bits=1024)), "1024 bits"),
    "206": ((206, {}, key_set("rsa", "rsa-new")), "HTTP status 206"),
    "500": ((500, {}, b""), "HTTP status 500"),
    "404": ((404, {}, b""), "HTTP status 404"),
}


@pytest.mark.parametrize("name", BAD_SETS)
def test_C14_a_bad_key_set_leaves_the_last_good_one(fetched: Fetched, site: Site, name: str) -> None:
    admitted(fetched.present(token()))
    site.answers["/keys"], problem = BAD_SETS[name]
    fetched.later(301)
    assert problem in str(fetched.until_failed().problem)
    admitted(fetched.present(token()))
    refused(fetched.present(token(key="rsa-new")), INVTOK, "key_unknown")


@pytest.mark.parametrize("name", BAD_SETS)
def test_C14_a_bad_key_set_from_the_start(site: Site, name: str) -> None:
    site.answers["/keys"], problem = BAD_SETS[name]
    with Fetched(f"{site.url}/keys") as fetched:
        refused(fetched.present(token()), DOWN, "keys_unavailable")
        assert problem in str(fetched.state.problem)


@pytest.mark.parametrize("in_headers", [True, False], ids=["headers", "body"])
def test_C14_a_server_that_drips(stack: ExitStack, site: Site, in_headers: bool) -> None:
    over = threading.Event()
    stack.callback(over.set)
    fetched = stack.enter_context(Fetched(f"{site.url}/keys", deadline=0.2))
    admitted(fetched.present(token()))
    site.answers["/keys"] = dripping(over, in_headers=in_headers)
    fetched.later(301)
    assert "took longer than 200ms" in str(fetched.until_failed().problem)
    admitted(fetched.present(token()))


def test_C15_keys_that_were_never_fetched(site: Site) -> None:
    del site.answers["/keys"]
    with Fetched(f"{site.url}/keys") as fetched:
        refused(fetched.present(token()), DOWN, "keys_unavailable")
        site.answers["/keys"] = key_set("rsa")
        fetched.later(2)
        fetched.until_has("rsa")
        admitted(fetched.present(token()))


@pytest.mark.usefixtures("collector")
def test_C15_a_server_whose_issuers_are_all_down_is_not_ready(tmp_path: Path, site: Site) -> None:
    del site.answers["/keys"]
    remote = issuer("remote", keys={"jwksUri": f"{site.url}/keys"})
    objects = [api(at("plain", issuer="remote")), remote]
    (tmp_path / "policies.yaml").write_text("\n---\n".join(map(json.dumps, objects)))
    app = App(
        Settings(
            policies=tmp_path, listen=(parse_address("127.0.0.1:0"),), admin=None, decision_log=LogSink.OFF,
            allow_http_loopback=True,
        )
    )  # fmt: skip
    app.start()
    try:
        assert "keys" in app.missing()
    finally:
        over = threading.Event()
        over.set()
        app.stop(over)


def test_C16_keys_grow_old(site: Site) -> None:
    with Fetched(f"{site.url}/keys", refresh={"interval": "5m", "maxStale": "1h"}) as fetched:
        admitted(fetched.present(token(claims(exp=NOW + 3600, iat=NOW))))
        text = token(claims(iat=NOW, exp=NOW + 3600))
        admitted(fetched.present(text))
        site.answers["/keys"] = (503, {}, b"")
        fetched.later(3599)
        fetched.until_failed()
        admitted(fetched.present(text))
        fetched.clock.advance(1)
        refused(fetched.present(text), DOWN, "keys_unavailable")
        site.answers["/keys"] = key_set("rsa")
        fetched.later(60)
        fetched.until(lambda state: state.problem is None)
        refused(fetched.present(token(claims(iat=NOW, exp=NOW + 60))), INVTOK, "token_expired")


@pytest.mark.parametrize("allow", [False, True])
def test_C17_plain_http(site: Site, allow: bool) -> None:
    with Fetched(f"{site.url}/keys", allow=allow) as fetched:
        if allow:
            admitted(fetched.present(token()))
            return
        refused(fetched.present(token()), DOWN, "keys_unavailable")
        assert "https only" in str(fetched.state.problem)
    assert site.asked == []


@pytest.mark.parametrize("host", ["login.corp.example", "10.0.0.1", "169.254.169.254", "localhost.corp.example"])
def test_C17_plain_http_to_another_machine_whatever_the_flag(site: Site, host: str) -> None:
    guarded = Guarded(api(at("plain", issuer="remote")), issuer("remote", keys={"jwksUri": f"http://{host}/keys"}))
    refused(guarded.present(token()), DOWN, "policy_invalid")
    site.answers["/meta"] = json.dumps({"issuer": issuing.ISSUER, "jwks_uri": f"http://{host}/keys"}).encode()
    with Fetched(keys={"discovery": {"url": f"{site.url}/meta"}}) as fetched:
        refused(fetched.present(token()), DOWN, "keys_unavailable")
        assert "https only" in str(fetched.state.problem)


@pytest.mark.parametrize(
    "named", ["https://evil.example", f"{issuing.ISSUER}/", issuing.ISSUER.upper(), "", None, ["https://corp.example"]]
)
def test_C18_metadata_of_another_issuer(site: Site, named: Any) -> None:
    site.answers["/meta"] = json.dumps({"issuer": named, "jwks_uri": f"{site.url}/keys"}).encode()
    with Fetched(keys={"discovery": {"url": f"{site.url}/meta"}}) as fetched:
        refused(fetched.present(token()), DOWN, "keys_unavailable")
        assert "names the issuer" in str(fetched.state.problem)
    assert site.count("/keys") == 0


def test_C18_metadata_of_the_issuer_itself(site: Site) -> None:
    site.answers["/meta"] = json.dumps({"issuer": issuing.ISSUER, "jwks_uri": f"{site.url}/keys"}).encode()
    with Fetched(keys={"discovery": {"url": f"{site.url}/meta"}}) as fetched:
        admitted(fetched.present(token()))
