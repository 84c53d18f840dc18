"""The edge towards Envoy: its messages, its calls, and the pages for operators."""

import os

# INVARIANT: nothing that logs waits for a reader. gRPC's own messages go straight to standard error: a stranger whose
# handshakes fail can fill its pipe, and then all calls stand still. Set before `grpc` is first imported.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
