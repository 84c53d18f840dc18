"""YAML as kubectl and helm will read it: text that YAML 1.1 takes for something else stands in quotes."""

from __future__ import annotations

import yaml

from extauthz.control.scalars import plain


class Dumper(yaml.SafeDumper):
    """Puts in quotes what `kubectl` would take for something else than text: the members `n` and `y` of keys."""

    def represent_text(self, text: str) -> yaml.ScalarNode:
        """One text."""
        return self.represent_scalar("tag:yaml.org,2002:str", text, style=None if _is_plain(text) else "'")


class LiteralDumper(Dumper):
    """Writes texts of several lines as blocks, and a value that stands twice twice, as people do."""

    def ignore_aliases(self, _data: object) -> bool:
        """Have no anchors like `*id001`."""
        return True

    def represent_text(self, text: str) -> yaml.ScalarNode:
        """One text."""
        if "\n" in text:
            return self.represent_scalar("tag:yaml.org,2002:str", text, style="|")
        return super().represent_text(text)


Dumper.add_representer(str, Dumper.represent_text)
LiteralDumper.add_representer(str, LiteralDumper.represent_text)


def _is_plain(text: str) -> bool:
    try:
        return isinstance(plain(text), str)
    except ValueError:
        return False
