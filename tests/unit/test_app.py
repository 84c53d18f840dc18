"""The composition root."""

import gc
import json
import threading
from pathlib import Path

import pytest

from extauthz.app import App
from extauthz.config import LogSink, Settings, parse_address
from tests import issuing
from tests.building import anonymous, obj, policy
from tests.checks import check_request
from tests.introspecting import until
from tests.unit.server.serving import channel, check


@pytest.mark.usefixtures("collector")
def test_what_lives_long_is_seldom_gone_through_by_the_collector(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text(json.dumps(policy("open", anonymous("all"))))
    listen = (parse_address("127.0.0.1:0"),)
    app = App(Settings(policies=tmp_path, listen=listen, admin=None, decision_log=LogSink.OFF))
    young = gc.get_threshold()[:2]
    gc.set_threshold(*young, 10)
    gc.unfreeze()
    app.start()
    try:
        until(lambda: gc.get_threshold() == (*young, 1000))
        assert gc.get_freeze_count() > 10_000
    finally:
        over = threading.Event()
        over.set()
        app.stop(over)


def test_a_decision_log_that_loses_lines_is_noted_while_it_does(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text(json.dumps(policy("open", anonymous("all"))))
    log = tmp_path / "log"
    log.symlink_to("/dev/full")
    listen = (parse_address("127.0.0.1:0"),)
    app = App(Settings(policies=tmp_path, listen=listen, admin=None, decision_log=log))
    (address,) = app.start()
    try:
        until(lambda: app.missing() == {})
        assert app.notes() == {}
        with channel(address) as connection:
            ask = check(connection)
            ask(check_request(path="/"))
            until(lambda: app.notes() == {"decision-log": "it loses lines: No space left on device"})
            assert app.missing() == {}
            log.unlink()
            ask(check_request(path="/"))
            until(lambda: app.notes() == {})
    finally:
        over = threading.Event()
        over.set()
        app.stop(over)


def test_keys_that_cannot_be_had_are_noted_while_the_last_good_ones_serve(tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps(issuing.jwks()))
    corp = obj("TokenIssuer", "corp", {"issuer": issuing.ISSUER, "keys": {"file": "keys.json"}, "audiences": ["x"]})
    (tmp_path / "corp.yaml").write_text(json.dumps(corp))
    listen = (parse_address("127.0.0.1:0"),)
    app = App(Settings(policies=tmp_path, listen=listen, admin=None, decision_log=LogSink.OFF))
    app.start()
    try:
        until(lambda: app.missing() == {})
        assert app.notes() == {}
        keys.unlink()
        until(lambda: "keys" in app.notes())
        assert app.missing() == {}
        assert app.notes()["keys"].startswith("TokenIssuer shop/corp: the key file")
        assert "; the last good ones serve for " in app.notes()["keys"]
    finally:
        over = threading.Event()
        over.set()
        app.stop(over)
