"""Kinds of other projects in an API server, as those projects publish them, and objects that it judges strictly."""

from __future__ import annotations

import json
from typing import Any, Final, cast

from kubernetes import client

from extauthz.cli.demo.process import poll_until
from tests.cluster.access import Access
from tests.cluster.tools.published import published_crds

NO_CRDS: Final = "tests with other projects' definitions skipped: not fetched (install Go and run make cluster-tools)"


class Published:
    """The definitions of other projects in one API server, each project once.

    The two channels of Gateway API define the same kinds, so a server holds one of them; the shared one has the
    experimental channel, which holds all of the standard one. Who wants the standard channel starts its own server.
    """

    def __init__(self, access: Access) -> None:
        self._access = access
        self._installed: dict[str, str] = {}

    def install(self, *projects: str) -> None:
        """Make the kinds of these projects known, and wait until they are served."""
        for project in projects:
            if project not in self._installed.values():
                self._install(project)

    def _install(self, project: str) -> None:
        definitions = {each["metadata"]["name"]: each for each in published_crds(project)}
        taken = {name: self._installed[name] for name in definitions if name in self._installed}
        assert not taken, f"`{project}` defines what is there already: {taken}"
        api = client.ApiextensionsV1Api(self._access.client())
        for definition in definitions.values():  # kubectl would take ten times as long to write the large ones
            api.create_custom_resource_definition(cast("Any", definition))
        poll_until(lambda: self._served(*definitions), None, f"the kinds of {project} being served")
        self._installed |= dict.fromkeys(definitions, project)

    def _served(self, *names: str) -> bool:
        return self._access.kubectl("get", ",".join(names), "-A").returncode == 0

    def refused(self, *objects: dict[str, Any], namespace: str = "default") -> str:
        """What the API server says against these objects, unknown fields included; nothing when it takes them all.

        It creates none of them.
        """
        # Documents apart: inside a List, kubectl validates by itself and leaves the server's own words out.
        documents = "\n---\n".join(json.dumps(each) for each in objects)
        command = ("create", "--dry-run=server", "--validate=strict", "-n", namespace, "-f", "-")
        asked = self._access.kubectl(*command, stdin=documents)
        return "" if asked.returncode == 0 else asked.stderr or "refused without a word"
