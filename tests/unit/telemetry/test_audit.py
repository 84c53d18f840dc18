"""The decision log: every denial in one line, and nothing of a token."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest

from extauthz.model.reason import Reason
from extauthz.model.time import Seconds
from extauthz.model.verdict import Allow, Deny, Ground, PolicyRef, Refusal
from extauthz.replay.spend import Pepper
from extauthz.telemetry.audit import AuditLog, Entries, redaction, trace_id
from extauthz.telemetry.line import MAX_LINE
from extauthz.telemetry.observation import Observation, SpendOutcome
from extauthz.telemetry.output import LogFile, Stream
from tests.unit.telemetry.seen import ALLOW, DENY, ISSUER, SHADOWED, fill, lines_of, seen
from tests.unit.telemetry.test_line import HEADER, PAYLOAD, SIGNATURE, TOKEN

PATIENCE = Seconds(30.0)
HOSTILE = {
    "newlines": "a\r\nb\n{}",
    "ansi": "\x1b[2J\x1b]0;x\x07",
    "separators": "a\u2028b\u2029c\x85",
    "nul": "a\x00b",
    "bidi": "a\u202eb",
    "surrogates": "a\ud800b",
    "quotes": '","decision":"allow","x":"\\',
    "a mebibyte": "a" * 2**20,
    "a mebibyte of NUL": "\x00" * 2**20,
    "a mebibyte of emoji": "😀" * 2**20,
    "a mebibyte of backslashes": "\\" * 2**20,
}


def hostile(text: str) -> Observation:
    """An observation with the text wherever anybody from outside can put one."""
    ground = Ground(policy=PolicyRef(text, text), rule=text, issuer=ISSUER, subject=text, client=text, token_hash=text)
    names = ("method", "host", "path", "request_id", "stream_id", "source_address", "traceparent", "snapshot_version")
    refusal = Refusal(Reason.CLAIM_REFUSED, text)
    return seen(Deny(refusal=refusal, ground=ground), **dict.fromkeys(names, text))


def line(observation: Observation) -> dict[str, Any]:
    (only,) = lines_of(Entries().line(observation))
    return only


def log_of(path: Path, *observations: Observation, allows: float = 1.0) -> list[dict[str, Any]]:
    log = AuditLog(LogFile(path), allows=allows)
    log.start()
    for observation in observations:
        log.observe(observation)
    log.stop(PATIENCE)
    assert log.lost == 0
    return lines_of(path.read_bytes())


def test_a_denial_says_who_what_and_why() -> None:
    assert line(seen(DENY)) == {
        "time": "2026-09-21T14:13:20.123Z",
        "decision": "deny",
        "reason": "token_reused",
        "step": "reuse",
        "detail": "the one use is taken (`reuse`)",
        "mode": "Enforce",
        "policy": "shop/orders",
        "rule": "place-order",
        "issuer": "ClusterTokenIssuer corp",
        "subject": "alice",
        "client": "web",
        "token": "0123456789abcdef",
        "method": "POST",
        "host": "orders.shop.example",
        "path": "/api/orders",
        "source": "192.0.2.7",
        "request_id": "6a7b",
        "stream_id": "4711",
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
        "latency_us": 300,
        "store_us": 180,
        "snapshot": "v1",
    }


def test_an_allow_says_how_many_uses_are_left() -> None:
    allowed = line(seen(ALLOW))
    assert (allowed["decision"], allowed["remaining"]) == ("allow", 3)
    assert not {"reason", "step", "detail"} & set(allowed)


def test_where_nothing_is_counted_no_wait_for_the_store_is_told() -> None:
    assert "store_us" not in line(seen(ALLOW, spends=SpendOutcome.NONE, waited=Seconds(0.0)))


def test_a_shadow_denial_says_what_would_have_been() -> None:
    shadowed = line(seen(SHADOWED))
    assert (shadowed["decision"], shadowed["mode"], shadowed["reason"]) == ("shadow_deny", "Shadow", "token_reused")


def test_the_issuer_that_refused_is_named_before_a_token_is_verified() -> None:
    refusal = Refusal(Reason.KEY_UNKNOWN, "no such key", issuer=ISSUER)
    assert line(seen(Deny(refusal=refusal)))["issuer"] == "ClusterTokenIssuer corp"


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_text_stays_one_bounded_line(kind: str) -> None:
    written = Entries().line(hostile(HOSTILE[kind]))
    assert len(written) <= MAX_LINE
    assert written.count(b"\n") == 1
    assert all(0x20 <= octet < 0x7F for octet in written[:-1])
    (read,) = lines_of(written)
    assert read["decision"] == "deny"


def test_no_part_of_a_token_is_ever_written(tmp_path: Path) -> None:
    log_of(tmp_path / "log", hostile(TOKEN), hostile(f"/file/{TOKEN}/x"), hostile(f"Bearer {TOKEN}"))
    written = (tmp_path / "log").read_text()
    assert written.count("[token]") > 20
    for part in (HEADER, PAYLOAD, SIGNATURE):
        assert not any(part[at : at + 12] in written for at in range(3, len(part) - 12))


def test_names_of_persons_can_be_written_as_pseudonyms(tmp_path: Path) -> None:
    pepper = Pepper(b"p" * 32)
    log = AuditLog(LogFile(tmp_path / "log"), redacted=redaction(["subject", "source"], pepper.pseudonym))
    log.start()
    for each in (seen(DENY), seen(DENY), seen(Deny(refusal=DENY.refusal, ground=Ground(subject="bob")))):
        log.observe(each)
    log.stop(PATIENCE)
    first, second, third = lines_of((tmp_path / "log").read_bytes())
    assert re.fullmatch(r"~[0-9a-f]{16}", first["subject"])
    assert re.fullmatch(r"~[0-9a-f]{16}", first["source"])
    assert first["subject"] == second["subject"] != third["subject"]
    assert first["client"] == line(seen(DENY))["client"]
    assert "bob" not in (tmp_path / "log").read_text()


def test_denials_are_always_written_and_allows_by_their_share(tmp_path: Path) -> None:
    stream = [seen(verdict) for _ in range(1000) for verdict in (ALLOW, DENY, SHADOWED)]
    decisions = [entry["decision"] for entry in log_of(tmp_path / "log", *stream, allows=0.1)]
    assert decisions.count("deny") == decisions.count("shadow_deny") == 1000
    assert 97 <= decisions.count("allow") <= 103


@pytest.mark.parametrize(("allows", "written"), [(0.0, 0), (1.0, 200)])
def test_all_allows_are_written_or_none(tmp_path: Path, allows: float, written: int) -> None:
    stream = [seen(ALLOW)] * 200
    path = tmp_path / "log"
    path.touch()
    assert len(log_of(path, *stream, allows=allows)) == written


def test_a_sample_is_not_in_step_with_traffic_that_alternates(tmp_path: Path) -> None:
    stream = [seen(ALLOW, path="/even" if number % 2 else "/odd") for number in range(1000)]
    paths = [entry["path"] for entry in log_of(tmp_path / "log", *stream, allows=0.5)]
    assert 240 <= paths.count("/even") <= 260
    assert 240 <= paths.count("/odd") <= 260


def test_decisions_go_on_when_nobody_reads_the_log() -> None:
    reader, writer = os.pipe()
    fill(writer)
    log = AuditLog(Stream(writer), capacity=16)
    log.start()
    for _ in range(1000):
        log.observe(seen(DENY))
    log.stop(Seconds(0.0))
    assert log.lost == 1000
    os.close(reader)
    os.close(writer)


def test_decisions_go_on_when_the_reader_has_gone() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    log = AuditLog(Stream(writer))
    log.start()
    for _ in range(100):
        log.observe(seen(DENY))
    log.stop(PATIENCE)
    assert log.lost == 100
    os.close(writer)


def test_decisions_go_on_when_the_disk_is_full() -> None:
    log = AuditLog(LogFile(Path("/dev/full")))
    log.start()
    for _ in range(100):
        log.observe(seen(DENY))
    log.stop(PATIENCE)
    assert log.lost == 100


@pytest.mark.parametrize(
    "header",
    [
        "",
        "00",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\n",
    ],
)
def test_an_invalid_trace_is_left_out(header: str) -> None:
    assert trace_id(header) == ""
    assert "trace_id" not in line(seen(traceparent=header))


def test_a_trace_of_a_later_version_is_read() -> None:
    assert trace_id("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more").startswith("0af7")


def test_lines_of_two_grounds_never_mix_though_each_is_remembered() -> None:
    entries = Entries()
    # Each ground is a new object, and may stand where one before it stood.
    lines = [entries.line(seen(Allow(ground=Ground(subject=name)))) for name in ("alice", "bob") * 2500]
    told = [each["subject"] for each in lines_of(b"".join(lines))]
    assert told == ["alice", "bob"] * 2500


def test_what_is_remembered_of_grounds_is_bounded() -> None:
    entries = Entries()
    grounds = [Ground(subject=str(number)) for number in range(10_000)]
    for ground in grounds:
        entries.line(seen(Allow(ground=ground)))
    assert len(entries) <= 4096
