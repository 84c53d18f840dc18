"""What a consumer knows who hears a watch: the objects by name, and every event."""

from __future__ import annotations

from extauthz.cli.demo.process import poll_until
from extauthz.control.events import Applied, Deleted, Event, Listed, RawObject
from extauthz.control.watch import KindWatch


class Known:
    """Hears events, from the thread of the watch."""

    def __init__(self) -> None:
        self.heard: list[Event] = []
        self.objects: dict[str, RawObject] = {}

    def __call__(self, event: Event) -> None:
        """Take an event in."""
        match event:
            case Listed():
                self.objects = {each["metadata"]["name"]: each for each in event.objects}
            case Applied():
                self.objects = {**self.objects, event.object["metadata"]["name"]: event.object}
            case Deleted():
                gone = event.object["metadata"]["name"]
                self.objects = {name: each for name, each in self.objects.items() if name != gone}
        self.heard.append(event)

    @property
    def names(self) -> set[str]:
        """The names of all objects."""
        return set(self.objects)

    def until(self, *names: str) -> None:
        """Wait until exactly these are known."""
        poll_until(lambda: self.names == set(names), None, f"the objects {names}")


def until_trouble(watch: KindWatch, words: str) -> None:
    """Wait until a watch is in a trouble whose text has these words; none for `""`."""

    def there() -> bool:
        trouble = watch.state.trouble
        return words in trouble if words else not trouble

    poll_until(there, None, f"the trouble `{words}`")
