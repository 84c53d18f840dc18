"""The shared store on Redis or Valkey.

`wire` says what crosses, `../commit.lua` counts, `batches` decides who sends, `connect` holds a connection, `keeper`
makes them and watches the server, `sentinel` finds it, `breaker` refuses while it is gone, `server_clock` minds its
clock, `trouble` words what is wrong. `node` ties them together for one server, `store` counts there. `console` is for
people.
"""

from extauthz.replay.redis.connect import CannotConnect, Target, Tls
from extauthz.replay.redis.console import Census, Console
from extauthz.replay.redis.facts import Facts, Usage
from extauthz.replay.redis.keeper import Options
from extauthz.replay.redis.store import RedisStore, StoreState

__all__ = [
    "CannotConnect",
    "Census",
    "Console",
    "Facts",
    "Options",
    "RedisStore",
    "StoreState",
    "Target",
    "Tls",
    "Usage",
]
