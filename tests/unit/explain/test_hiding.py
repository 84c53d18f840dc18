"""The second lock: pieces of credentials are blotted out wherever they stand."""

from __future__ import annotations

import pytest

from extauthz.explain.hiding import Hider, credentials_in
from tests.building import view

OPAQUE = "0123456789abcdefXYZ"
JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    "request_", [
        view(headers={"authorization": f"Bearer {OPAQUE}"}),
        view(headers={"proxy-authorization": f"Basic {OPAQUE}"}),
        view(headers={"x-api-key": OPAQUE}),
        view(headers={"cookie": f"a=b; s={OPAQUE}"}),
        view(f"/?a=b&t={OPAQUE}"),
        view("/?t=" + OPAQUE.replace("f", "%66")),
    ]
)  # fmt: skip
def test_a_piece_of_a_credential_is_hidden_whichever_slot_it_came_in(request_: object) -> None:
    hider = Hider(credentials_in(request_))  # type: ignore[arg-type]
    assert hider.hide(f"found {OPAQUE[3:16]}, wanted") == "found [token], wanted"
    assert hider.hide(("x", {"name": OPAQUE})) == ("x", {"name": "[token]"})


def test_a_jwt_is_hidden_wherever_it_stands() -> None:
    assert Hider(()).hide(f"/cb/{JWT}/next") == "/cb/[token]/next"


def test_an_address_in_a_query_hides_no_host() -> None:
    hider = Hider(credentials_in(view("/?next=https%3A%2F%2Forders.shop.example%2Fapi")))
    assert hider.hide("orders.shop.example/api/orders") == "orders.shop.example/api/orders"


@pytest.mark.parametrize("name", ["keyIssuerMember", "keyAlgAbsent", "reuseKeyFallback", "keyUse"])
def test_no_name_of_a_setting_is_taken_for_a_token(name: str) -> None:
    assert Hider(()).hide(f"as its `{name}` demands") == f"as its `{name}` demands"
