"""The yardsticks for calls: servers whose method does nothing but return ready bytes.

`python -m bench.empty grpcio THREADS` is a plain grpcio server, `python -m bench.empty calls THREADS` takes its calls
as `extauthz serve` does. Each listens on loopback and prints the port, and ends when its standard input does.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import grpc

from extauthz.model.reason import Reason
from extauthz.model.time import SystemClock
from extauthz.model.verdict import Deny, Refusal
from extauthz.server.calls import Answering, Calls
from extauthz.server.codec import write_verdict
from extauthz.server.grpcio import METHOD, SERVICE

ANSWER: Final = write_verdict(Deny(refusal=Refusal(Reason.NO_POLICY, "nothing is decided here")))


def _answer(_data: bytes, _context: grpc.ServicerContext) -> bytes:
    return ANSWER


def plain(threads: int) -> tuple[grpc.Server, int]:
    """A server as grpcio's documents write it, not started."""
    server = grpc.server(ThreadPoolExecutor(threads), options=[("grpc.so_reuseport", 0)])
    method: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(_answer)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"Check": method}),))
    return server, server.add_insecure_port("127.0.0.1:0")


def main(kind: str, threads: int) -> None:
    """Serve until standard input ends."""
    if kind == "calls":
        server = grpc.server(ThreadPoolExecutor(1), options=[("grpc.so_reuseport", 0)])
        port = server.add_insecure_port("127.0.0.1:0")
        answering = Answering(lambda _data, _ticket: ANSWER, lambda _work: None, ANSWER)
        calls = Calls(server, METHOD, answering, SystemClock(), 512)
        server.start()
        calls.start()
    else:
        server, port = plain(threads)
        server.start()
    print(port, flush=True)
    sys.stdin.read()
    server.stop(0).wait()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
