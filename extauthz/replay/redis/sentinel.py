"""Finding the primary that sentinels agree on.

The way of a client (Redis documentation, "Guidelines for Redis clients with support for Redis Sentinel"): ask one
sentinel after the other, take the first answer, and believe the server only once it says itself that it is a primary.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeGuard

import redis.exceptions

from extauthz.replay.redis.connect import CannotConnect, Target
from extauthz.replay.redis.trouble import Trouble, of_error


def find_primary(target: Target) -> Target:
    """Where the server is now: the target itself unless it names sentinels. Raises CannotConnect."""
    if not target.sentinels:
        return target
    last = Trouble("connection", f"the store {target} has no sentinel that answers")
    for host, port in target.sentinels:
        try:
            found = _ask(target, host, port)
        except CannotConnect as no:
            last = no.trouble
            continue
        if found is not None:
            return found
        last = Trouble("sentinel", f"the sentinel `{host}:{port}` knows no primary of the name in {target}")
    raise CannotConnect(last)


def _ask(target: Target, host: str, port: int) -> Target | None:
    """Where this sentinel says that the primary is; None where it knows none."""
    connection = target.sentinel(host, port)
    try:
        connection.connect()
        connection.send_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", target.primary)
        answer = connection.read_response(disable_decoding=True)
    except (redis.exceptions.RedisError, OSError) as error:
        raise CannotConnect(of_error(error, f"sentinel `{host}:{port}`")) from None
    finally:
        connection.disconnect()
    if not _is_address(answer):
        return None
    name, number = (each.decode("ascii", "replace") for each in answer)
    return replace(target, host=name, port=int(number), sentinels=(), primary="") if number.isdecimal() else None


def _is_address(answer: object) -> TypeGuard[list[bytes]]:
    match answer:
        case [bytes(), bytes()]:
            return True
        case _:
            return False
