"""Verdicts and reasons."""

import pytest

from extauthz.model.reason import OK, Reason
from extauthz.model.verdict import Allow, Deny, Refusal


@pytest.mark.parametrize(
    "verdict", [Allow(), Deny(refusal=Refusal(Reason.INTERNAL, "x")), Refusal(Reason.INTERNAL, "x")]
)
def test_a_verdict_has_no_truth_value(verdict: object) -> None:
    with pytest.raises(TypeError, match="truth value"):
        bool(verdict)


def test_no_reason_to_refuse_has_the_code_of_an_admission() -> None:
    assert all(reason.grpc_code != OK and reason.http_status >= 400 for reason in Reason)


def test_labels_are_unique_and_are_the_names_in_lower_case() -> None:
    assert [reason.label for reason in Reason] == [reason.name.lower() for reason in Reason]


def test_an_outage_never_asks_for_a_new_token() -> None:
    assert all(reason.error is None for reason in Reason if reason.http_status >= 429)
