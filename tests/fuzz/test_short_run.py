"""The short run of every target that CI makes, and that its laws would notice a bug."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from extauthz.model import target as addresses
from extauthz.model.encoding import parse_json_object
from extauthz.server.codec import INTERNAL_DENIAL
from tests.fuzz import builds
from tests.fuzz.__main__ import main
from tests.fuzz.engine import Finding, fuzz, judged, shrunk
from tests.fuzz.make_seeds import made
from tests.fuzz.target import SEEDS, LawBroken, Target
from tests.fuzz.targets import TARGETS, shares

_ALL = pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)


@_ALL
def test_no_input_of_a_short_run_breaks_a_law(target: Target) -> None:
    campaign = fuzz(target, 100 + 100 * target.share, seed=1, slowest=float("inf"))
    assert [str(finding) for finding in campaign.findings.values()] == []
    assert len(campaign.answers) > 5, "the program says the same to everything: the inputs are not understood"


def test_the_same_seed_judges_the_same_inputs() -> None:
    one, other = (fuzz(TARGETS["paths"], 300, seed=7, slowest=float("inf")) for _ in range(2))
    assert one.answers == other.answers


@pytest.mark.parametrize(("folder", "name", "data"), list(made()), ids=lambda value: str(value)[:40])
def test_a_seed_that_is_made_is_what_is_kept(folder: str, name: str, data: bytes) -> None:
    assert (SEEDS / folder / name).read_bytes() == data


def test_every_target_has_its_share() -> None:
    counts = shares(1_000_000)
    assert counts.keys() == TARGETS.keys()
    assert sum(counts.values()) >= 1_000_000
    assert min(counts.values()) >= 10_000


_FAULTS = [
    ("tokens", "extauthz.tokens.signer.signature_holds", lambda *_: True),
    ("tokens", "extauthz.tokens.verify.refuse_type", lambda *_: None),
    ("tokens", "extauthz.tokens.verify.refuse", lambda *_: None),
    ("tokens", "extauthz.tokens.jws._REFUSED", {}),
    ("credentials", "extauthz.tokens.credential._elsewhere", lambda *_: None),
    (
        "credentials",
        "extauthz.tokens.credential.named_alike",
        lambda text, _, name: re.findall(f"{name}=([^&;]*)", text),
    ),
    ("paths", "extauthz.model.target._oddities", lambda *_: frozenset()),
    ("hosts", "extauthz.model.target._HOST", re.compile(r"(?:.*@)?([a-z0-9.-]+)(?::\d+)?")),
    ("key_sets", "extauthz.keys.jwk.holds", lambda *_: True),
    ("key_sets", "extauthz.keys.admission._check_type", lambda *_, **__: None),
    ("introspection", "extauthz.introspection.response._odd", lambda _: None),
    ("introspection", "extauthz.introspection.response._not_json", lambda _: None),
    ("introspection", "extauthz.tokens.introspected._refuse_kind", lambda *_: None),
    ("introspection", "extauthz.tokens.verify.refuse", lambda *_: None),
    ("policy_yaml", "extauthz.policy.compile.salvage", lambda _: ()),
    ("policy_yaml", "extauthz.control.files.hidden_in", lambda _: None),
    ("check_bytes", "extauthz.server.codec._settle_pseudo_headers", lambda headers, _: headers.pop("accept").none),
    ("check_bytes", "extauthz.policy.snapshot._fold", lambda name: name),
    ("check_bytes", "extauthz.decide.find_credential", None),
]


_FROM_SOURCES = pytest.mark.skipif("NATIVE" in os.environ, reason="nothing can be put in place of what is compiled")


@_FROM_SOURCES
@pytest.mark.parametrize(("name", "place", "fault"), _FAULTS, ids=[place for _, place, _ in _FAULTS])
def test_a_fault_that_is_planted_is_found(monkeypatch: pytest.MonkeyPatch, name: str, place: str, fault: Any) -> None:
    addresses.parse_host.cache_clear()
    monkeypatch.setattr(place, fault)
    campaign = fuzz(TARGETS[name], 1500, seed=1, slowest=float("inf"), enough=1)
    addresses.parse_host.cache_clear()
    assert campaign.findings


@pytest.mark.skipif("NATIVE" not in os.environ, reason="the libraries are not what is imported here")
@pytest.mark.parametrize("words", ["answers otherwise", "logs otherwise"])
def test_a_compiled_program_that_differs_is_found(monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    right = builds.Program.answer

    def wrong(program: builds.Program, data: bytes) -> tuple[bytes, bytes]:
        answer, line = right(program, data)
        if words == "answers otherwise":
            return INTERNAL_DENIAL, line
        return answer, line.replace(b'"decision":"allow"', b'"decision":"deny"')

    monkeypatch.setattr(builds.Program, "answer", wrong)
    campaign = fuzz(TARGETS["builds"], 50, seed=1, slowest=float("inf"), enough=1)
    assert any(words in finding for finding in campaign.findings)


def _nested(data: bytes) -> str:
    """A reader with a bug and a law that it breaks."""
    if b"[[" in data:
        raise KeyError(data)
    if b"}}" in data:
        raise LawBroken("two braces")
    return str(len(parse_json_object(data)))


_BUGGY = Target(name="hosts", mutate=lambda data, other, chance: data, judge=_nested)


@pytest.mark.parametrize(("data", "words"), [(b"a[[", "KeyError at test_short_run.py"), (b"{}}", "two braces")])
def test_an_exception_and_a_broken_law_are_told_apart(data: bytes, words: str) -> None:
    answer, problem = judged(_BUGGY, data)
    assert answer == ""
    assert problem is not None
    assert words in problem


def test_a_finding_is_shortened_to_what_matters() -> None:
    assert shrunk(_BUGGY, Finding("two braces", b'{"a": {"b": {}}} and more')).data == b"}}"


def test_an_input_that_takes_too_long_is_a_finding() -> None:
    slow = Target(name="hosts", mutate=lambda data, other, chance: data, judge=lambda data: "")
    assert list(fuzz(slow, 1, seed=0, slowest=-1.0).findings) == ["an input takes longer than -1.0 seconds"]


@_FROM_SOURCES
def test_the_command_keeps_what_broke_a_law_and_can_judge_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(main, arguments)
        return result.exit_code, result.output

    with monkeypatch.context() as planted:
        planted.setattr("extauthz.model.target._oddities", lambda *_: frozenset())
        code, output = run("--only", "paths", "--inputs", "500", "--findings", str(tmp_path))
        (file,) = list(tmp_path.iterdir())[:1]
        assert code == 1
        assert str(file) in output
        assert run("--only", "paths", "--replay", str(file))[0] == 1
    assert run("--only", "paths", "--replay", str(file))[0] == 0
    assert run("--only", "paths", "--inputs", "100", "--findings", str(tmp_path / "none"))[0] == 0
    assert not (tmp_path / "none").exists()
    assert run("--replay", str(file))[0] == 2
