"""RSA keys that a broken generator made (ROCA, CVE-2017-15361): told by the modulus alone.

The generator took its primes from numbers of the form k*M + (65537^a mod M), where M is the product of the first small
primes. A modulus of two such primes is itself a power of 65537 modulo every small prime r below M's bound, so that its
discrete logarithm to that base exists for each of them. For an honest modulus this happens by chance about once in
2^150 keys.
"""

from __future__ import annotations

from typing import Final


def _powers(base: int, modulus: int) -> frozenset[int]:
    powers, power = set(), 1
    while power not in powers:
        powers.add(power)
        power = power * base % modulus
    return frozenset(powers)


# M of the shortest keys is the product of the primes up to 167, and longer keys use more: these serve for all.
SMALL_PRIMES: Final = tuple(r for r in range(3, 168, 2) if all(r % d for d in range(3, r, 2)))
_LOGARITHM_EXISTS: Final = tuple((r, _powers(65537, r)) for r in SMALL_PRIMES)


def has_roca_fingerprint(modulus: int) -> bool:
    """Whether the modulus has the structure of the broken generator: such a key can be factored."""
    return all(modulus % r in powers for r, powers in _LOGARITHM_EXISTS)
