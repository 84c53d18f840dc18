"""Why the API server cannot be reached, in words that an operator can act on.

INVARIANT: no message of an exception is passed on, it might quote what was sent. What is shown is our own words, the
system's word for an errno and OpenSSL's for a certificate.
"""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Iterator
from typing import Final

from urllib3.exceptions import ProtocolError
from urllib3.exceptions import TimeoutError as UrllibTimeout

_DEEPEST: Final = 16


def unreached(error: BaseException) -> str:
    """What is wrong with the way to the API server, by what the client raised."""
    return f"the API server cannot be reached: {next(filter(None, map(_why, _chain(error))), 'the connection failed')}"


def _chain(error: BaseException) -> Iterator[BaseException]:
    """What was raised, and what that was raised for; the innermost first, which knows most."""
    found: list[BaseException] = []
    queue: list[object] = [error]
    while queue and len(found) < _DEEPEST:
        each = queue.pop(0)
        if isinstance(each, BaseException) and each not in found:
            found.append(each)
            queue += [each.__cause__, each.__context__, getattr(each, "reason", None), *each.args]
    return reversed(found)


def _why(error: BaseException) -> str:
    match error:
        case ssl.SSLCertVerificationError():
            why = getattr(error, "verify_message", "no reason given")
            return f"its certificate is not trusted ({why}); mend the authority in the kubeconfig or the mount"
        case ssl.SSLError():
            return f"the TLS handshake failed ({getattr(error, 'reason', None) or 'no reason given'})"
        case socket.gaierror():
            return "its name cannot be resolved"
        case UrllibTimeout() | TimeoutError():
            return "it did not answer in time"
        case OSError(errno=int(number)):
            return os.strerror(number).lower()
        case ProtocolError() | ConnectionError():
            return "the connection broke off"
        case _:
            return ""
