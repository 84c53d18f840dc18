"""RSA keys whose two primes lie close together (CVE-2022-26320): factored at once, by the modulus alone.

A modulus n = p·q is a difference of two squares, ((p+q)/2)² - ((p-q)/2)², and where the primes are close the first of
them is the next square above n, or one soon after it (Fermat's method). Primes that were chosen apart from each other
are never found this way: the standard wants them to differ in their first 100 bits (FIPS 186-5, appendix A.1.3).
"""

from __future__ import annotations

from math import isqrt
from typing import Final

_ROUNDS: Final = 64
"""Squares that are tried. Printers' keys that were found in the wild took one."""


def has_close_primes(modulus: int) -> bool:
    """Whether a few rounds of Fermat's method factor the modulus."""
    root = isqrt(modulus - 1) + 1
    return any(isqrt(rest) ** 2 == rest for rest in ((root + step) ** 2 - modulus for step in range(_ROUNDS)))
