"""One Check in process, from bytes to bytes, beside PyJWT's bare decode of the same kind of token.

The Answerer is put together as `extauthz serve` does it: metrics and a decision log of every answer are on. The log
goes into a pipe that another process reads, as under a container runtime, and a round lasts until its last line is
written, so its thread is part of the cost.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from bench.measure import CPU, Effort, Reading, Report, Row, Target, Variant, interleave, ratio, timed
from bench.requests import AUDIENCE, KEYS, check, policies, token
from bench.service import Service
from tests import issuing
from tests.checks import read_response

CACHED_SHARE: Final = 0.8
"""A cached token may cost this much of a bare RS256 decode."""
_WARM: Final = 20
_CALLS: Final = 2000
_VERIFICATIONS: Final = 300


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of Check."""

    name: str
    calls: int
    """How many make a round."""
    tokens: Callable[[int], Sequence[str]]
    """The tokens of so many requests."""
    path: str = "/api/orders/7"
    wanted: str = "allow"
    """The reason of the denial, or `allow`."""
    cached: bool = False
    """Whether the tokens are verified before the clock runs."""
    log: bool = True

    def run(self, effort: Effort) -> Reading:
        """Ask a fresh service, and look at every answer once the clock has stopped."""
        calls = effort.of(self.calls)
        tokens = self.tokens(calls)
        requests = [check(each, self.path) for each in tokens]
        service = Service(policies(), log=self.log)
        answer = service.answer
        for each in [*_warm_up(), *(check(each, self.path) for each in set(tokens) if self.cached)]:
            answer(each)
        answers: list[bytes] = []

        def work() -> None:
            for request in requests:
                answers.append(answer(request))  # noqa: PERF401 - as a server would: one call at a time
            service.finish()

        reading = timed(work, calls)
        self._judge(answers)
        return reading

    def _judge(self, answers: Sequence[bytes]) -> None:
        for each in answers:
            response = read_response(each)
            got = "allow" if response.code == 0 else response.metadata["reason"]
            if got != self.wanted:
                raise RuntimeError(f"`{self.name}` got `{got}` in place of `{self.wanted}`")


def _warm_up() -> list[bytes]:
    return [check(token("EdDSA")) for _ in range(_WARM)]


def _one(calls: int) -> list[str]:
    return [token()] * calls


def _new(algorithm: str) -> Callable[[int], list[str]]:
    return lambda calls: [token(algorithm) for _ in range(calls)]


KINDS: Final = (
    Kind("cached", _CALLS, _one, cached=True),
    Kind("cached, without decision log", _CALLS, _one, cached=True, log=False),
    Kind("cached, use counted", _CALLS, _one, "/api/often/7", cached=True),
    Kind("scope missing, cached", _CALLS, _one, "/api/audit/7", "scope_missing", cached=True),
    Kind("garbage token", _CALLS, lambda calls: ["garbage." * 60] * calls, wanted="token_malformed"),
    *(Kind(f"new {algorithm}", _VERIFICATIONS, _new(algorithm)) for algorithm in KEYS),
    Kind("new EdDSA, single use", _VERIFICATIONS, _new("EdDSA"), "/api/once/7"),
)


def bare(algorithm: str, effort: Effort) -> Reading:
    """PyJWT's decode with a key at hand, nothing else: the least that any Python service spends on a token."""
    tokens = _new(algorithm)(effort.of(_VERIFICATIONS))
    decode = _decoder(algorithm)

    def work() -> None:
        for each in tokens:
            decode(each)

    return timed(work, len(tokens))


def in_turn(algorithm: str, effort: Effort) -> Reading:
    """A cached Check and PyJWT's decode of a new token, in turn: the least that a Check with a new token could cost.

    Either one in a loop of its own is cheaper than beside the other, since it has the processor's caches and branch
    predictors for itself; the sum of two such loops is what the targets allow.
    """
    tokens = _new(algorithm)(effort.of(_VERIFICATIONS))
    decode = _decoder(algorithm)
    service, request = Service(policies()), check(token())
    for each in [*_warm_up(), request]:
        service.answer(each)

    def work() -> None:
        for each in tokens:
            service.answer(request)
            decode(each)
        service.finish()

    return timed(work, len(tokens))


def _decoder(algorithm: str) -> Callable[[str], object]:
    key = _public_key(algorithm)
    return partial(jwt.decode, key=key, algorithms=[algorithm], audience=AUDIENCE, issuer=issuing.ISSUER)


def _public_key(algorithm: str) -> RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey:
    match algorithm:
        case "RS256":
            return issuing.rsa_key(KEYS[algorithm]).public_key()
        case "ES256":
            return issuing.ec_key(KEYS[algorithm]).public_key()
        case _:
            return issuing.ed_key(KEYS[algorithm]).public_key()


def run(effort: Effort) -> Report:
    """The benchmark `answer`."""
    variants = [Variant(kind.name, partial(kind.run, effort)) for kind in KINDS]
    variants += [Variant(_bare_name(algorithm), partial(bare, algorithm, effort)) for algorithm in KEYS]
    variants += [Variant(_in_turn_name(algorithm), partial(in_turn, algorithm, effort)) for algorithm in KEYS]
    rows = interleave(variants, effort.rounds)
    return Report(
        "answer",
        "one Check in process, bytes to bytes, with decision log and metrics",
        rows,
        _targets({row.name: row for row in rows}),
    )


def _bare_name(algorithm: str) -> str:
    return f"PyJWT's decode, {algorithm}"


def _in_turn_name(algorithm: str) -> str:
    return f"cached, and that decode, {algorithm}"


def _targets(rows: dict[str, Row]) -> tuple[Target, ...]:
    def cost(name: str) -> tuple[float, ...]:
        return rows[name].figures[CPU].values

    rs256 = cost(_bare_name("RS256"))
    cached = Target("cached / PyJWT's RS256 decode", CACHED_SHARE, ratio(cost("cached"), rs256))
    allowed = {
        alg: [own + CACHED_SHARE * rs for own, rs in zip(cost(_bare_name(alg)), rs256, strict=True)] for alg in KEYS
    }
    new = [
        Target(f"new {alg} / (its bare decode + {CACHED_SHARE} RS256 decodes)", 1.0, ratio(cost(f"new {alg}"), budget))
        for alg, budget in allowed.items()
    ]
    return (cached, *new)
