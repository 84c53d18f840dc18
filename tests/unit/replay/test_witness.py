"""The witness, where replicas look at the same moment, and where the server does not say."""

from __future__ import annotations

from collections.abc import Callable

from extauthz.replay.redis.trouble import Trouble
from extauthz.replay.redis.wire import Codec
from extauthz.replay.redis.witness import Witness

KEY = b"x1:witness"


def asking(held: dict[bytes, bytes], between: Callable[[], object] = lambda: None) -> Callable[..., object]:
    """A server's GET and SET over what it holds; `between` happens after each GET."""

    def ask(verb: bytes, key: bytes, *rest: bytes) -> object:
        before = held.get(key)
        if verb == b"GET":
            between()
        elif before is None or b"NX" not in rest:
            held[key] = rest[0]
        return before

    return ask


def test_of_replicas_that_find_none_at_the_same_moment_all_go_by_the_value_of_the_first() -> None:
    held: dict[bytes, bytes] = {}
    one, other = Witness(Codec()), Witness(Codec())
    assert not one.lost(asking(held, lambda: other.lost(asking(held), b"")), b"")
    first = held[KEY]
    for each in (one, other):
        assert not each.lost(asking(held), b"")
    assert held == {KEY: first}
    held.clear()
    assert one.lost(asking(held, lambda: other.lost(asking(held), b"")), b"")
    for each in (one, other):
        assert not each.lost(asking(held), b"")


def test_a_server_that_does_not_say_lost_nothing_and_what_it_said_before_is_still_known() -> None:
    held: dict[bytes, bytes] = {}
    witness = Witness(Codec())
    assert not witness.lost(asking(held), b"")
    assert not witness.lost(lambda *_: Trouble("timeout", "too late"), b"")
    assert not witness.lost(lambda *_: 7, b"")
    held.clear()
    assert witness.lost(asking(held), b"")


def test_where_the_tag_of_a_node_changes_with_its_slots_nothing_was_lost() -> None:
    held: dict[bytes, bytes] = {}
    witness = Witness(Codec(tagged=True))
    assert not witness.lost(asking(held), b"aaa")
    assert not witness.lost(asking(held), b"bbb")
    assert set(held) == {b"x1:{aaa}witness", b"x1:{bbb}witness"}
    del held[b"x1:{aaa}witness"]
    assert not witness.lost(asking(held), b"bbb")
    assert witness.lost(asking(held), b"aaa")
