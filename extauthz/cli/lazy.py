"""A group that loads a command when it is asked for, so that `--help` and quick commands answer at once."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click


class LazyGroup(click.Group):
    """Holds commands by where they are, as `module:attribute`, in the order in which help shows them."""

    def __init__(self, *arguments: Any, places: Mapping[str, str], **more: Any) -> None:  # noqa: ANN401 - as its base
        super().__init__(*arguments, **more)
        self._places = places

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Their names, in order."""
        return list(self._places)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, loaded now; None for a name that is none."""
        if cmd_name not in self._places:
            return None
        module, _, attribute = self._places[cmd_name].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command
