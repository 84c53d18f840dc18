"""Records what control planes make of the objects under deploy/, whole and altered: `make translations`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.cluster.apiserver import ApiServer
from tests.cluster.binaries import find_binaries
from tests.cluster.published import Published
from tests.cluster.tools.build import NoGoError
from tests.deploy import gateways, istiod, meshes, translated
from tests.deploy.recordings import digest, record
from tests.deploy.tools.programs import EGCTL, ISTIOD


def main() -> int:
    """The command."""
    try:
        egctl, discovery = EGCTL.built(), ISTIOD.built()
    except NoGoError as error:
        print(f"translations: {error}", file=sys.stderr)
        return 1
    record("envoy-gateway", {digest(each): translated.translate(egctl, each) for each in gateways.every()})
    with tempfile.TemporaryDirectory(prefix="extauthz-") as name:
        folder = Path(name)
        server = ApiServer(folder, find_binaries())
        try:
            Published(server.access).install("istio")
            found = {
                digest(mesh.source()): istiod.translate(discovery, server.access, folder / str(index), mesh)
                for index, mesh in enumerate(meshes.every())
            }
        finally:
            server.stop()
    record("istio", found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
