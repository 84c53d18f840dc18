"""Records what Envoy Gateway makes of the objects of deploy/envoy-gateway, whole and altered: `make translations`."""

from __future__ import annotations

import sys

from tests.cluster.tools.build import NoGoError
from tests.deploy.gateways import every
from tests.deploy.tools.egctl import built
from tests.deploy.translated import digest, record, translate


def main() -> int:
    """The command."""
    try:
        program = built()
    except NoGoError as error:
        print(f"translations: {error}", file=sys.stderr)
        return 1
    record({digest(objects): translate(program, objects) for objects in every()})
    return 0


if __name__ == "__main__":
    sys.exit(main())
