"""The shared store on Redis or Valkey.

`wire` says what crosses, `fields` what of each spend, `../commit.lua` counts, `batches` decides who sends, `connect`
holds a connection, `keeper` makes them and watches the server, `sentinel` finds it, `breaker` refuses while it is gone,
`server_clock` minds its clock, `trouble` words what is wrong. `waiting`, `loops` and `relay` are three ways to wait,
`ways` holds their threads. `node` ties them together for one server, `store` counts there.

In a cluster, `slots` says where keys lie, `survey` who holds them, `steps` commits slot by slot, and `cluster` counts
there. `console` is for people.
"""

from typing import TypeAlias

from extauthz.replay.redis.cluster import ClusterStore
from extauthz.replay.redis.connect import CannotConnect, Target, Tls
from extauthz.replay.redis.console import Census, Console, open_consoles
from extauthz.replay.redis.facts import Facts, Usage
from extauthz.replay.redis.keeper import Options
from extauthz.replay.redis.store import RedisStore, StoreState
from extauthz.replay.redis.trouble import Trouble

SharedStore: TypeAlias = RedisStore | ClusterStore

__all__ = [
    "CannotConnect",
    "Census",
    "ClusterStore",
    "Console",
    "Facts",
    "Options",
    "RedisStore",
    "SharedStore",
    "StoreState",
    "Target",
    "Tls",
    "Trouble",
    "Usage",
    "open_consoles",
]
