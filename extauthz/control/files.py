"""Policies from a folder of YAML files: the same objects that a cluster would hold.

A text that is no YAML is treated as a broken policy: the hosts that it speaks of are denied, nothing else is touched.
Where even those cannot be told, there or in a policy, it might hold the stricter rule of two: then the folder does not
count as it is now.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

from watchfiles import Change, watch

from extauthz.config import INSTALL_NAMESPACE
from extauthz.control.beside import authorities, digest_of_authorities, resolved
from extauthz.control.documents import MAX_FILE, Document, read_documents
from extauthz.control.early import over_too_early
from extauthz.control.expiry import has_expired
from extauthz.control.hidden import hidden_in
from extauthz.control.keyless import keyless
from extauthz.control.literal import taken_literally
from extauthz.control.located import LocatedProblem, locate
from extauthz.control.unsaid import unsaid
from extauthz.keys.regular import Stamp, read_regular, stamp_of
from extauthz.model.time import Instant
from extauthz.policy.compile import Compiler
from extauthz.policy.gateway.surface import Surfaces
from extauthz.policy.issuers import issuer_ref
from extauthz.policy.opened import opened
from extauthz.policy.overtaken import overtaken
from extauthz.policy.parse import Broken, Parsed, parse
from extauthz.policy.problem import FieldPath, ObjectRef, Problem, dotted
from extauthz.policy.remembered import Remembered
from extauthz.policy.snapshot import Snapshot

_LOG: Final = logging.getLogger(__name__)
# It tells of each event; what became of it is told here.
logging.getLogger("watchfiles.main").setLevel(logging.WARNING)
_ENDINGS: Final = frozenset({".yaml", ".yml"})
_POLL_MS: Final = 2000
"""How often the folder is looked at when no event comes: some file systems send none."""
_STEP_MS: Final = 50
_DEBOUNCE_MS: Final = 200
_LOOKS: Final = 4
"""How many times a folder is looked at again before an emptied file is taken at its word."""
_MAX_FILES: Final = 10_000


@dataclass(frozen=True, slots=True)
class Placed:
    """A document and the file that it stands in."""

    file: str
    document: Document
    digest: bytes = field(default=b"", repr=False)
    """Of the whole file and of the authorities that it names: to Python `true` equals 1, and an author may put one for
    the other."""


@dataclass(frozen=True, slots=True)
class Listing:
    """What a folder holds at one moment."""

    placed: tuple[Placed, ...]
    faults: tuple[LocatedProblem, ...] = ()
    """Files that cannot be read to their end."""
    unread: tuple[Broken, ...] = ()
    """What stands for the unread rest of each file: a policy that denies the hosts spoken of there."""
    blind: tuple[LocatedProblem, ...] = ()
    """Those of the faults that hide which hosts are meant. With one, the listing does not count."""


def list_folder(folder: Path, *, cluster: bool = False) -> Listing:
    """Read every `.yaml` and `.yml` file below a folder, except names that begin with a dot. Never raises.

    With `cluster`, the objects are for one: what shows no host there may show a target.
    """
    return Reader(folder, cluster=cluster).read()


class Reader:
    """Reads a folder one time after the other. Of a file that did not change, nor the authorities that it names, the
    last reading counts."""

    def __init__(self, folder: Path, *, cluster: bool = False) -> None:
        self.folder = folder
        self._cluster = cluster
        self._known: dict[str, tuple[bytes, Listing]] = {}

    def read(self) -> Listing:
        """The folder now. Never raises."""
        try:
            files = _files(self.folder)
        except OSError as error:
            return _blind(LocatedProblem(str(self.folder), 1, "", "", f"cannot be read: {error.strerror}"))
        self._known, last = {}, self._known
        parts = [self._file(path, _named(path.relative_to(self.folder)), last) for path in files]
        return Listing(
            tuple(each for part in parts for each in part.placed),
            tuple(each for part in parts for each in part.faults),
            tuple(each for part in parts for each in part.unread),
            tuple(each for part in parts for each in part.blind),
        )

    def _file(self, path: Path, name: str, last: Mapping[str, tuple[bytes, Listing]]) -> Listing:
        try:
            data = read_regular(path, MAX_FILE + 1)
        except FileNotFoundError:
            # Gone since the folder was listed, unless it is a link that leads nowhere.
            lost = LocatedProblem(
                name, 1, "", "", "is a link to a file that is not there; remove it, or bring that back"
            )
            return _blind(lost) if path.is_symlink() else Listing(())
        except OSError as error:
            return _blind(LocatedProblem(name, 1, "", "", f"cannot be read: {error.strerror}"))
        digest = hashlib.sha256(data).digest()
        before, listing = last.get(name, (b"", None))
        if listing is None or before != digest + digest_of_authorities(_documents(listing)):
            listing = _read_file(data, digest, path, name, cluster=self._cluster)
        self._known[name] = (listing.placed[0].digest if listing.placed else digest, listing)
        return listing

    def signature(self) -> object:
        """Tells a folder that was changed from one that was not, without reading the files; None where that is no use.

        The files of authorities are those that the last reading found named.
        """
        try:
            found = [(str(path), stamp_of(path)) for path in _files(self.folder)]
        except OSError:
            return None
        named = (path for _, listing in self._known.values() for path in authorities(_documents(listing)))
        return [*found, *((str(path), _stamp(path)) for path in named)]


def _documents(listing: Listing) -> Iterator[Document]:
    return (each.document for each in listing.placed)


def _stamp(path: Path) -> Stamp | None:
    try:
        return stamp_of(path)
    except (OSError, ValueError):
        return None


def _named(path: Path) -> str:
    """A file's name as it is told. It may be octets of any kind, which is no reason not to read the file."""
    return str(path).encode("utf-8", "backslashreplace").decode("utf-8")


def _read_file(data: bytes, digest: bytes, path: Path, name: str, *, cluster: bool) -> Listing:
    found, fault = read_documents(data, cluster=cluster)
    documents = tuple(resolved(document, path.parent) for document in found)
    digest += digest_of_authorities(documents)
    placed = tuple(Placed(name, document, digest) for document in documents)
    hidden = tuple(_hidden(placed, cluster=cluster))
    if fault is None:
        return Listing(placed, hidden, (), hidden)
    problem = LocatedProblem(name, fault.line, "", "", fault.message)
    if fault.hosts is None:
        return Listing(placed, (problem, *hidden), (), (problem, *hidden))
    ref = ObjectRef("AccessPolicy", "", f"unread:{name}")
    broken = Broken(ref, float("inf"), {"hosts": list(fault.hosts)}, (Problem(ref, (), str(problem)),))
    return Listing(placed, (problem, *hidden), (broken,), hidden)


def _hidden(placed: Iterable[Placed], *, cluster: bool) -> Iterator[LocatedProblem]:
    for each in placed:
        found = hidden_in(each.document, cluster=cluster)
        if found is not None:
            field, words = found
            yield LocatedProblem(each.file, each.document.line_of(field), "", dotted(field), words)


def _blind(problem: LocatedProblem) -> Listing:
    return Listing((), (problem,), (), (problem,))


def load(
    listing: Listing, install_namespace: str = INSTALL_NAMESPACE, *, cluster: bool = False
) -> tuple[Snapshot, tuple[LocatedProblem, ...]]:
    """Compile a listing, with every mistake in it by file and line; with `cluster`, also what no cluster takes."""
    return Loader(install_namespace, cluster=cluster).load(listing)


_Objects: TypeAlias = list[tuple[Placed, Parsed | Broken]]
Advise: TypeAlias = Callable[[Iterable[Parsed]], Iterable[Problem]]
"""Tells what is no mistake, and may not be what its author meant."""


def _no_advice(_: Iterable[Parsed]) -> Iterable[Problem]:
    return ()


class Loader:
    """Compiles one listing after the other, and only what changed in between."""

    def __init__(self, install_namespace: str = INSTALL_NAMESPACE, *, cluster: bool = False) -> None:
        self._parsed: Remembered[Placed, Parsed | Broken] = Remembered(
            lambda placed: parse(placed.document.raw, cluster=cluster)
        )
        self._unsaid: Remembered[Placed, tuple[tuple[FieldPath, str], ...]] = Remembered(
            lambda placed: unsaid(placed.document.raw)
        )
        self._compiler = Compiler(install_namespace)
        self._cluster = cluster

    def load(self, listing: Listing, now: Instant | None = None) -> tuple[Snapshot, tuple[LocatedProblem, ...]]:
        """What a listing comes to, and every mistake in it. `now` as for `Compiler.compile`."""
        objects = list(zip(listing.placed, self._parsed.all(listing.placed), strict=True))
        twins = _twins(objects)
        # `lint` for a cluster knows no routes, and leaves them to the cluster.
        surfaces: Surfaces | None = {} if self._cluster else None
        snapshot = self._compiler.compile((*_merged(objects, twins), *listing.unread), now, surfaces=surfaces)
        return snapshot, _located(listing, objects, twins, snapshot)

    def keyless(self, listing: Listing, snapshot: Snapshot) -> Iterator[LocatedProblem]:
        """Issuers that can verify nothing with what stands in the listing and in the files that it names."""
        objects = zip(listing.placed, self._parsed.all(listing.placed), strict=True)
        places = {issuer_ref(parsed.ref): (each, parsed.ref) for each, parsed in objects}
        for issuer, field_name, fault in keyless(snapshot):
            each, ref = places[issuer]
            yield _place(each, Problem(ref, ("spec", field_name), fault))

    def unsaid(self, listing: Listing) -> Iterator[LocatedProblem]:
        """Fields that were written and left empty, in objects without mistakes of their own."""
        parts = (listing.placed, self._parsed.all(listing.placed), self._unsaid.all(listing.placed))
        for each, parsed, found in zip(*parts, strict=True):
            for field_path, words in found if isinstance(parsed, Parsed) else ():
                yield _place(each, Problem(parsed.ref, field_path, words))

    def advised(self, listing: Listing, advise: Advise) -> Iterator[LocatedProblem]:
        """What `advise` finds among the objects that have no mistakes of their own."""
        pairs = zip(listing.placed, self._parsed.all(listing.placed), strict=True)
        objects = [(each, parsed) for each, parsed in pairs if isinstance(parsed, Parsed)]
        places = {parsed.ref: each for each, parsed in objects}
        for problem in advise([parsed for _, parsed in objects]):
            yield _place(places[problem.object], problem)

    def literal(self, listing: Listing) -> Iterator[LocatedProblem]:
        """Revocations whose author may take a `*` for a wildcard."""
        for each, parsed in zip(listing.placed, self._parsed.all(listing.placed), strict=True):
            for problem in taken_literally((parsed,)):
                yield _place(each, problem)

    def expired(self, listing: Listing, now: Instant) -> Iterator[LocatedProblem]:
        """Revocations that are over at `now`."""
        for each, parsed in zip(listing.placed, self._parsed.all(listing.placed), strict=True):
            if has_expired(parsed, now):
                words = "has passed, so it revokes nothing; write a later time, or delete it"
                yield _place(each, Problem(parsed.ref, ("spec", "expires"), words))


def _located(
    listing: Listing, objects: _Objects, twins: Mapping[ObjectRef, tuple[Problem, ...]], snapshot: Snapshot
) -> tuple[LocatedProblem, ...]:
    found = [*listing.faults]
    for each, parsed in objects:
        own = parsed.problems if isinstance(parsed, Broken) else ()
        found += (_place(each, problem) for problem in (*own, *twins.get(parsed.ref, ())))
    places = {parsed.ref: each for each, parsed in objects}
    parsing = {problem for _, parsed in objects if isinstance(parsed, Broken) for problem in parsed.problems}
    alike = {problem for problems in twins.values() for problem in problems}
    found += (
        _place(places[problem.object], problem)
        for problem in snapshot.problems
        if problem not in parsing and problem not in alike and problem.object in places
    )
    return tuple(sorted(set(found)))


class Found(NamedTuple):
    """What `lint` found in a folder."""

    objects: int
    mistakes: tuple[LocatedProblem, ...]
    notes: tuple[LocatedProblem, ...]
    """What is no mistake, and may not be what its author meant."""


def lint(folder: Path, *, cluster: bool = False, now: Instant | None = None, advise: Advise = _no_advice) -> Found:
    """Every mistake in a folder; with `cluster`, also what no cluster takes. Noted are, of objects without mistakes of
    their own, fields that were left empty, revocations that are over at `now` or will be too early or have a `*` in
    them, and what `advise` finds.

    An issuer none of whose keys at hand is usable counts as a mistake: it is served, and denies every token.
    """
    listing, loader = list_folder(folder, cluster=cluster), Loader(cluster=cluster)
    snapshot, mistakes = loader.load(listing)
    mistakes = tuple(sorted({*mistakes, *loader.keyless(listing, snapshot)}))
    over = () if now is None else tuple(loader.expired(listing, now))
    told = {each.object for each in over}
    early = (each for each in loader.advised(listing, over_too_early) if each.object not in told)
    advised = (each for about in (overtaken, opened, advise) for each in loader.advised(listing, about))
    notes = {*loader.unsaid(listing), *loader.literal(listing), *advised, *over, *early}
    return Found(len(listing.placed), mistakes, tuple(sorted(notes)))


def watch_folder(folder: Path, stop: threading.Event) -> Iterator[Listing]:
    """The folder now, and anew whenever something in it may have changed, until `stop` is set."""
    reader = Reader(folder)
    seen, last, told = reader.signature(), reader.read(), ""
    yield last
    while not stop.is_set():
        try:
            for events in _changes(folder, stop):
                # Taken before the reading: what changes meanwhile shows at the next look.
                before, seen = seen, reader.signature()
                if events or seen is None or seen != before:
                    current = _settled(reader, last, stop)
                    if current != last:
                        last, told = current, ""
                        yield current
                if not folder.is_dir():
                    break
        except OSError as error:
            if (why := str(error.strerror or error).lower()) != told:
                _LOG.warning("the policy folder cannot be watched: %s", why)
            told = why
        # The folder itself is gone, or was replaced: look again until it is back.
        stop.wait(_POLL_MS / 1000)


def _settled(reader: Reader, last: Listing, stop: threading.Event) -> Listing:
    """The folder once no file in it is being written: some editors empty a file first and fill it then."""
    current = reader.read()
    for _ in range(_LOOKS):
        if current == last or not _emptied(current, last):
            break
        stop.wait(_STEP_MS / 1000)
        current = reader.read()
    return current


def _emptied(current: Listing, last: Listing) -> bool:
    """Whether a file that held something holds nothing, or nothing that can be read."""
    held = {each.file for each in current.placed}
    return bool(current.faults) or any(each.file not in held for each in last.placed)


def _changes(folder: Path, stop: threading.Event) -> Iterator[set[tuple[Change, str]]]:
    """Events of the file system; an empty set first and at every poll, for those that send none. Raises OSError."""
    yield set()
    try:
        yield from watch(
            folder,
            watch_filter=None,
            debounce=_DEBOUNCE_MS,
            step=_STEP_MS,
            stop_event=stop,
            rust_timeout=_POLL_MS,
            yield_on_timeout=True,
            raise_interrupt=False,
        )
    except RuntimeError as error:
        # Over a name that is not UTF-8, for one.
        raise OSError(errno.EIO, "the watcher failed") from error


def _files(folder: Path) -> list[Path]:
    """In order of their names. A mounted ConfigMap holds its files twice, once below a name that begins with a dot."""
    found: list[Path] = []
    waiting = [folder]
    while waiting:
        for path in sorted(waiting.pop().iterdir()):
            if path.name.startswith("."):
                continue
            if path.is_dir() and not path.is_symlink():
                waiting.append(path)
            elif path.suffix.lower() in _ENDINGS:
                found.append(path)
    if len(found) > _MAX_FILES:
        raise OSError(0, f"holds more than {_MAX_FILES} policy files")
    return sorted(found)


def _twins(objects: _Objects) -> dict[ObjectRef, tuple[Problem, ...]]:
    """Objects that the folder holds more than once: nobody can tell which one is meant."""
    places: dict[ObjectRef, list[str]] = {}
    for each, parsed in objects:
        if parsed.ref.name:
            places.setdefault(parsed.ref, []).append(f"{each.file}:{each.document.line}")
    return {
        ref: (Problem(ref, ("metadata", "name"), f"the same object stands at {' and '.join(found)}; keep one of them"),)
        for ref, found in places.items()
        if len(found) > 1
    }


def _merged(objects: _Objects, twins: dict[ObjectRef, tuple[Problem, ...]]) -> Iterable[Parsed | Broken]:
    """Each object once. Of twins, all that any of them speaks for is refused."""
    for each, parsed in objects:
        if parsed.ref not in twins:
            yield parsed
            continue
        raw: Any = each.document.raw
        spec = raw.get("spec")
        yield Broken(parsed.ref, parsed.created, spec if isinstance(spec, dict) else {}, twins[parsed.ref])


def _place(each: Placed, problem: Problem) -> LocatedProblem:
    return locate(problem, each.file, each.document.line_of(problem.field))
