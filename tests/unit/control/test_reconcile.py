"""What is published follows the folder, whole and only when it changed."""

import os
import queue
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from extauthz.control.files import Loader, Reader, list_folder
from extauthz.control.reconcile import FolderReconciler
from extauthz.model.token import ClaimPath, IssuerRef
from extauthz.model.verdict import PolicyRef
from extauthz.policy.snapshot import Snapshot
from tests.building import NOW, anonymous, moment, obj, policy, revocation
from tests.clock import FakeClock
from tests.introspecting import until as eventually

WAIT = 20.0
CORP = IssuerRef("TokenIssuer", "shop", "corp")


def text(*names: str) -> str:
    """Policies of these names, as YAML."""
    return yaml.safe_dump_all([policy(name, anonymous("r"), hosts=(f"{name}.example",)) for name in names])


def names(snapshot: Snapshot) -> set[str]:
    """The policies in a snapshot."""
    return {ref.name for ref in snapshot.policies}


@pytest.fixture
def published() -> queue.Queue[set[str]]:
    """What was published, in order."""
    return queue.Queue()


@pytest.fixture
def running(tmp_path: Path, published: queue.Queue[set[str]]) -> Iterator[Path]:
    """A folder that is watched."""
    folder = tmp_path / "policies"
    folder.mkdir()
    (folder / "a.yaml").write_text(text("a"))
    reconciler = FolderReconciler(folder, lambda snapshot: published.put(names(snapshot)))
    reconciler.start()
    yield folder
    reconciler.stop()


def until(published: queue.Queue[set[str]], wanted: set[str]) -> None:
    """Wait until exactly this was published."""
    while published.get(timeout=WAIT) != wanted:
        pass


def test_the_log_says_what_each_edit_changed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    reconciler = FolderReconciler(tmp_path, lambda _: None)
    issuer = {"issuer": "https://corp.example", "keys": {"jwksUri": "https://corp.example/jwks"}}
    corp, other = obj("TokenIssuer", "corp", issuer), obj("TokenIssuer", "corp", {**issuer, "audiences": ["x"]})
    kept, old, new = (policy("kept", anonymous("r")), policy("p", anonymous("r")), policy("p", anonymous("s")))
    many = [policy(f"m{each}", anonymous("r"), hosts=(f"m{each}.example",)) for each in range(7)]
    revoked = obj("TokenRevocation", "r", {"issuer": {"name": "corp"}, "jti": "x", "expires": "2099-01-01T00:00:00Z"})

    def told(*objects: object) -> str:
        caplog.clear()
        (tmp_path / "a.yaml").write_text(yaml.safe_dump_all(objects))
        reconciler.take(list_folder(tmp_path))
        (line,) = (each.message for each in caplog.records if each.message.startswith("in force"))
        return line.partition("policies: ")[2]

    assert told(kept, corp) == "1"
    assert told(kept, corp, old) == "2; new: AccessPolicy shop/p"
    assert told(kept, corp, new) == "2; changed: AccessPolicy shop/p"
    assert told(kept, other, new) == "2; changed: TokenIssuer shop/corp"
    assert told(kept, other) == "1; gone: AccessPolicy shop/p"
    assert told(kept, other, revoked) == "1; revocations: 1, before: 0"
    named = ", ".join(f"AccessPolicy shop/m{each}" for each in range(5))
    assert told(other, *many) == f"7; new: {named} and 2 more; gone: AccessPolicy shop/kept; revocations: 0, before: 1"


def test_revocations_that_are_over_are_told_once_as_they_are_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    clock = FakeClock(NOW)
    reconciler = FolderReconciler(tmp_path, lambda _: None, clock=clock)
    spec = {"issuer": {"name": "corp"}, "jti": "x"}
    over, later = (obj("TokenRevocation", n, {**spec, "expires": moment(NOW + s)}) for n, s in (("o", -1), ("l", 60)))

    def notes(*objects: object) -> list[str]:
        caplog.clear()
        (tmp_path / "a.yaml").write_text(yaml.safe_dump_all(objects))
        reconciler.take(list_folder(tmp_path))
        return [each.message for each in caplog.records if each.message.startswith("policy note")]

    (note,) = notes(over, later)
    assert note.startswith("policy note: a.yaml:")
    assert "TokenRevocation shop/o: spec.expires: has passed, so it revokes nothing" in note
    assert notes(over, later, policy("p", anonymous("r"))) == []
    clock.advance(3600)
    assert len(notes(over, later)) == 2


def test_a_new_file_an_edit_and_a_removal_are_published(running: Path, published: queue.Queue[set[str]]) -> None:
    until(published, {"a"})
    (running / "b.yaml").write_text(text("b"))
    until(published, {"a", "b"})
    draft = running / ".b.draft"
    draft.write_text(text("c"))
    draft.replace(running / "b.yaml")
    until(published, {"a", "c"})
    (running / "a.yaml").unlink()
    until(published, {"c"})


def test_a_swapped_link_is_published_as_a_whole(running: Path, published: queue.Queue[set[str]]) -> None:
    until(published, {"a"})
    for version in ("one", "two"):
        (running / f"..{version}").mkdir()
        (running / f"..{version}" / "m.yaml").write_text(text(version))
    (running / "..data").symlink_to("..one")
    (running / "m.yaml").symlink_to("..data/m.yaml")
    until(published, {"a", "one"})
    (running / "..next").symlink_to("..two")
    (running / "..next").replace(running / "..data")
    until(published, {"a", "two"})


def test_authorities_in_a_file_are_followed_within_the_folder_and_beside_it(tmp_path: Path) -> None:
    folder, beside = tmp_path / "policies", tmp_path / "ca.pem"
    folder.mkdir()
    bundles: queue.Queue[dict[str, str | None]] = queue.Queue()
    for name, file in (("within", "ca.pem"), ("outside", str(beside))):
        said = {"issuer": f"https://{name}.example", "audiences": ["a"], "keys": {"discovery": {}}}
        issuer = obj("TokenIssuer", name, said | {"caBundle": {"file": file}})
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(issuer))

    def publish(snapshot: Snapshot) -> None:
        bundles.put({each.ref.name: getattr(each.source, "ca_pem", None) for each in snapshot.issuer_keys})

    def until(wanted: dict[str, str | None]) -> None:
        while bundles.get(timeout=WAIT) != wanted:
            pass

    reconciler = FolderReconciler(folder, publish)
    reconciler.start()
    try:
        until({})
        beside.write_text("first")
        until({"outside": "first"})
        (folder / "ca.pem").write_text("second")
        until({"outside": "first", "within": "second"})
        beside.write_text("third")
        until({"outside": "third", "within": "second"})
        (folder / "ca.pem").unlink()
        until({"outside": "third"})
    finally:
        reconciler.stop()


def test_a_folder_that_goes_and_comes_back_is_read_again(running: Path, published: queue.Queue[set[str]]) -> None:
    until(published, {"a"})
    away = running.with_name("away")
    running.rename(away)
    (away / "b.yaml").write_text(text("b"))
    away.rename(running)
    until(published, {"a", "b"})


def test_equal_content_is_published_once(tmp_path: Path, published: queue.Queue[set[str]]) -> None:
    (tmp_path / "a.yaml").write_text(text("a", "b"))
    reconciler = FolderReconciler(tmp_path, lambda snapshot: published.put(names(snapshot)))
    reconciler.take(list_folder(tmp_path))
    (tmp_path / "a.yaml").write_text("# a comment\n" + text("b", "a"))
    reconciler.take(list_folder(tmp_path))
    assert published.get_nowait() == {"a", "b"}
    assert published.empty()


def test_a_blind_listing_leaves_the_last_one_in_force(tmp_path: Path, published: queue.Queue[set[str]]) -> None:
    reconciler = FolderReconciler(tmp_path, lambda snapshot: published.put(names(snapshot)))
    (tmp_path / "bad.yaml").write_text("kind: AccessPolicy\nspec: {{{\n")
    reconciler.take(list_folder(tmp_path))
    assert published.empty()
    assert [fault.file for fault in reconciler.faults] == ["bad.yaml"]
    (tmp_path / "bad.yaml").write_text(text("a"))
    reconciler.take(list_folder(tmp_path))
    assert published.get_nowait() == {"a"}
    assert not reconciler.faults


def test_a_reader_sees_only_complete_folders(tmp_path: Path) -> None:
    held: list[Snapshot] = []
    done = threading.Event()
    reconciler = FolderReconciler(tmp_path, held.append)
    seen: set[frozenset[str]] = set()

    def read() -> None:
        while not done.is_set():
            if held:
                seen.add(frozenset(names(held[-1])))

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(100):
        draft = tmp_path / ".draft"
        draft.write_text(text(f"x{number}", f"y{number}"))
        draft.replace(tmp_path / "p.yaml")
        reconciler.take(list_folder(tmp_path))
    done.set()
    reader.join()
    whole = {frozenset({f"x{number}", f"y{number}"}) for number in range(100)}
    assert seen
    assert seen <= whole


def test_a_file_that_is_emptied_and_then_filled_is_never_taken_for_empty(
    running: Path, published: queue.Queue[set[str]]
) -> None:
    until(published, {"a"})
    with (running / "a.yaml").open("w") as file:
        threading.Event().wait(0.1)
        file.write(text("b"))
    assert published.get(timeout=WAIT) == {"b"}


def test_an_edit_of_true_to_one_is_an_edit(tmp_path: Path) -> None:
    """To Python they are equal."""
    held: list[Snapshot] = []
    reconciler, reader = FolderReconciler(tmp_path, held.append), Reader(tmp_path)
    listings = []
    for value in ("true", "1", "true"):
        issuer = {"issuer": "https://a.example", "keys": {"jwksUri": "https://a.example/"}, "claimEquals": {"a": 0}}
        written = yaml.safe_dump(obj("TokenIssuer", "corp", issuer)).replace("a: 0", f"a: {value}")
        (tmp_path / "issuer.yaml").write_text(written)
        listings.append(reader.read())
        reconciler.take(listings[-1])
    assert listings[0] != listings[1]
    assert [type(each.issuers[CORP].claim_equals[ClaimPath("a")]) for each in held] == [bool, int, bool]


def test_what_stands_in_a_file_that_did_not_change_is_not_read_again(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(text("a"))
    (tmp_path / "b.yaml").write_text(text("b"))
    reader, loader = Reader(tmp_path), Loader()
    first = reader.read()
    one, _ = loader.load(first)
    (tmp_path / "b.yaml").write_text(text("c"))
    second = reader.read()
    two, _ = loader.load(second)
    assert second.placed[0] is first.placed[0]
    (kept,), (same,) = (each.policies[PolicyRef("shop", "a")] for each in (one, two))
    assert kept.rule is same.rule
    assert names(two) == {"a", "c"}
    assert reader.read() == second


def test_revocations_that_are_over_are_left_out(tmp_path: Path) -> None:
    held: list[Snapshot] = []
    clock = FakeClock()
    reconciler = FolderReconciler(tmp_path, held.append, clock=clock)
    for name in ("a", "b"):
        (tmp_path / "gone.yaml").write_text(yaml.safe_dump(revocation(name, subject="alice")))
        reconciler.take(list_folder(tmp_path))
        clock.advance(3600)
    assert [each.revocations is None for each in held] == [False, True]


def test_a_folder_whose_names_no_watcher_takes_is_followed_all_the_same(
    running: Path, published: queue.Queue[set[str]]
) -> None:
    until(published, {"a"})
    odd = Path(os.fsdecode(bytes(running) + b"/\xe9.yaml"))
    odd.write_text(text("b"))
    until(published, {"a", "b"})
    odd.write_text(text("c"))
    until(published, {"a", "c"})


def test_a_folder_that_no_reading_gets_through_is_told(tmp_path: Path) -> None:
    mended = threading.Event()

    def publish(_: Snapshot) -> None:
        if not mended.is_set():
            raise ValueError("a secret")

    (tmp_path / "a.yaml").write_text(text("a"))
    reconciler = FolderReconciler(tmp_path, publish)
    reconciler.start()
    eventually(lambda: bool(reconciler.faults))
    (fault,) = reconciler.faults
    assert str(fault) == f"{tmp_path}:1: cannot be read: ValueError within this program, see its log"
    mended.set()
    eventually(lambda: not reconciler.faults)
    reconciler.stop()
