"""What `/snapshot` shows of what is loaded."""

from extauthz.model.time import Instant
from extauthz.server.loaded import loaded
from tests.building import NOW
from tests.issuing import CORP, state


def test_an_issuer_is_shown_with_its_keys_and_the_time_at_which_they_were_fetched() -> None:
    (shown,) = loaded(None, (), {CORP.ref: state("rsa", "ec")}, Instant(NOW))["issuers"]
    assert (shown["issuer"], shown["usable"], shown["keys"]) == ("TokenIssuer shop/corp", True, ["ec", "rsa"])
    assert shown["fetchedAt"] == "2026-09-21T14:13:20.000Z"
