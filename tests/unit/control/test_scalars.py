"""Plain scalars are read as a cluster's tools read them."""

import pytest

from extauthz.control.scalars import Scalar, plain


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("~", None),
        ("on", True),
        ("y", True),
        ("No", False),
        ("nO", "nO"),
        ("17", 17),
        ("-17", -17),
        ("+17", 17),
        ("0", 0),
        ("-0", 0),
        ("010", 8),
        ("0o17", 15),
        ("0x1F", 31),
        ("-0b11", -3),
        ("1_000", 1000),
        ("_1", "_1"),
        ("08", 8),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1.", 1),
        ("1e3", 1000),
        ("1e21", 1e21),
        ("0x", "0x"),
        ("1:30", "1:30"),
        ("2026-01-02", "2026-01-02"),
        ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"),
        ("10m", "10m"),
        ("-", "-"),
        (".", "."),
        ("\u0663", "\u0663"),
        ("18446744073709551616", 2**64),
        ("9" * 5000, "9" * 5000),
        ("orders", "orders"),
        ("*.example", "*.example"),
    ],
)
def test_a_plain_scalar_means_what_it_means_in_a_cluster(text: str, value: Scalar) -> None:
    found = plain(text)
    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize("text", [".inf", "-.Inf", "+.INF", ".NaN", "1e999", "-1e999"])
def test_a_number_that_is_not_finite_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="number"):
        plain(text)
