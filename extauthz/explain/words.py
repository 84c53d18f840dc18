"""A story for people: short lines, read from top to bottom."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from extauthz.explain.story import Outcome, Story, ToldRequest, ToldSpend, ToldStep
from extauthz.model.time import format_duration

_SIGNS: Final = {Outcome.PASSED: "✓", Outcome.REFUSED: "✗", Outcome.SKIPPED: "·"}
_PLAIN_SIGNS: Final = {Outcome.PASSED: "ok", Outcome.REFUSED: "no", Outcome.SKIPPED: "--"}
_RULES: Final = 8
"""How many rules that were not taken are told, unless all are wanted."""
_ENDINGS: Final = {"allow": "admitted", "deny": "denied", "shadow_deny": "admitted, because the policy only records"}


def in_words(story: Story, *, plain: bool = False, every_rule: bool = False) -> str:
    """The story in lines; `plain` keeps to ASCII. What an issuer wrote reaches no terminal as a control character."""
    signs = _PLAIN_SIGNS if plain else _SIGNS
    lines = [
        *_head(story),
        *_rules(story, signs, len(story.rules) if every_rule else _RULES),
        *_steps(story.steps, signs),
        *_spends(story.spends, signs),
        *_end(story),
    ]
    text = "\n".join("".join(sign if sign.isprintable() else f"\\x{ord(sign):02x}" for sign in line) for line in lines)
    return text.encode("ascii", "backslashreplace").decode("ascii") if plain else text


def _head(story: Story) -> Iterator[str]:
    yield _asked(story.request) if story.request is not None else "a request that could not be read"
    yield f"  at {story.at}, policies {story.snapshot or 'not loaded'}"
    for note in story.notes:
        yield f"  {note}"


def _asked(request: ToldRequest) -> str:
    peer = " as ".join(part for part in (request.source_address, request.source_principal) if part)
    pinned = f", policy {request.pinned_policy} pinned" if request.pinned_policy else ""
    return f"{request.method} {request.host}{request.path}{f' from {peer}' if peer else ''}{pinned}"


def _rules(story: Story, signs: dict[Outcome, str], most: int) -> Iterator[str]:
    if not story.rules:
        return
    yield "rule"
    for rule in story.rules[:most]:
        sign = signs[Outcome.PASSED if rule.taken else Outcome.SKIPPED]
        yield f"  {sign} {rule.policy} {rule.rule}: {rule.matches}{f'; {rule.why}' if rule.why else ''}"
        if rule.broken:
            yield f"      broken: {rule.broken}"
    untold = len(story.rules) - most + story.more_rules
    if untold > 0:
        yield f"    and {untold} more that are further away"


def _steps(steps: tuple[ToldStep, ...], signs: dict[Outcome, str]) -> Iterator[str]:
    issuer = ""
    yield "steps"
    for step in steps:
        if step.issuer and step.issuer != issuer:
            issuer = step.issuer
            yield f"  for {issuer}"
        indent = "    " if step.issuer else "  "
        yield f"{indent}{signs[step.outcome]} {step.name.value:<14} {_said(step)}".rstrip()
        if step.outcome is Outcome.REFUSED:
            yield f"{indent}  {step.note}"


def _said(step: ToldStep) -> str:
    if step.outcome is Outcome.SKIPPED:
        return step.note or "not asked"
    if step.found and step.wanted:
        return f"{step.found}; wanted: {step.wanted}"
    return step.found or (f"wanted: {step.wanted}" if step.wanted else "")


def _spends(spends: tuple[ToldSpend, ...], signs: dict[Outcome, str]) -> Iterator[str]:
    if spends:
        yield "counts"
    for spend in spends:
        yield f"  {signs[spend.outcome]} {spend.label}: {', '.join(_count(spend))}"


def _count(spend: ToldSpend) -> Iterator[str]:
    if spend.kind == "mark":
        yield "asks that the token's family is not revoked, and counts nothing"
    elif spend.limit is None:
        yield "ties the token to its caller"
    else:
        whole = "the store" if spend.kind == "room" else "the life of the token"
        yield f"{spend.limit} in {whole if spend.window is None else format_duration(spend.window)}"
    if spend.left is not None:
        yield f"{spend.left} left before, {spend.left_after} after"
    if spend.retry_after is not None:
        yield f"again in {format_duration(spend.retry_after)}"


def _end(story: Story) -> Iterator[str]:
    verdict, response = story.verdict, story.response
    where = f" at `{verdict.step.value}`" if verdict.step is not None else ""
    reason = f": {verdict.reason}{where}" if verdict.reason else ""
    yield f"verdict: {_ENDINGS[verdict.decision]}{reason}"
    who = {"issuer": verdict.issuer, "subject": verdict.subject, "client": verdict.client, "token": verdict.token}
    yield from (f"  {name}: {text}" for name, text in who.items() if text)
    if verdict.decision == "deny":
        yield f"  the client gets HTTP {response.status}"
        yield from (f"    {name}: {value}" for name, value in response.headers.items())
        yield f"    {response.body}"
        return
    yield from (f"  sets {name} on the request" for name in response.set_headers)
    yield from (f"  removes {name} from the request" for name in response.remove_headers)
    yield from (f"  removes {name} from the query" for name in response.remove_query)
