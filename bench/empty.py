"""The yardstick for calls: a grpcio server whose method does nothing but return ready bytes.

`python -m bench.empty THREADS` listens on loopback and prints the port. It ends when its standard input does.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import grpc

from extauthz.model.reason import Reason
from extauthz.model.verdict import Deny, Refusal
from extauthz.server.codec import write_verdict
from extauthz.server.grpcio import SERVICE

ANSWER: Final = write_verdict(Deny(refusal=Refusal(Reason.NO_POLICY, "nothing is decided here")))


def _answer(_data: bytes, _context: grpc.ServicerContext) -> bytes:
    return ANSWER


def main(threads: int) -> None:
    """Serve until standard input ends."""
    server = grpc.server(ThreadPoolExecutor(threads), options=[("grpc.so_reuseport", 0)])
    method: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(_answer)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"Check": method}),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    sys.stdin.read()
    server.stop(0).wait()


if __name__ == "__main__":
    main(int(sys.argv[1]))
