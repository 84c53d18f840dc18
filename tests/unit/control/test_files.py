"""A folder of policies: what counts, what is refused, and that order never matters."""

import errno
import json
import os
import random
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from extauthz.control import files
from extauthz.control.files import lint, list_folder, load, watch_folder
from extauthz.model.time import Instant
from extauthz.model.verdict import Refusal
from extauthz.policy.rule import Rule
from extauthz.policy.snapshot import Snapshot
from tests.building import NOW, anonymous, obj, policy, revocation, verified, view
from tests.gatewaying import targeting
from tests.issuing import jwks


def write(folder: Path, **files: Any) -> None:
    """Write YAML files: each keyword a name, each value an object or a list of them."""
    for name, objects in files.items():
        several = objects if isinstance(objects, list) else [objects]
        # As kubectl reads it, too: a bare `n` or `y` is no name to it.
        text = re.sub(r"^([ -]*)([ny]):", r'\1"\2":', yaml.safe_dump_all(several), flags=re.MULTILINE)
        (folder / f"{name}.yaml").write_text(text)


def snapshot(folder: Path) -> Snapshot:
    """What the folder holds."""
    return load(list_folder(folder))[0]


def outcome(folder: Path, host: str) -> str:
    """What becomes of a request to a host: a policy's name, `broken` or `none`."""
    rule = snapshot(folder).choose(view("/", host=host))
    if isinstance(rule, Refusal):
        return "none"
    return "broken" if rule.broken is not None else rule.policy.name


def test_files_below_count_and_names_with_a_dot_do_not(tmp_path: Path) -> None:
    (tmp_path / "below" / "deeper").mkdir(parents=True)
    (tmp_path / ".hidden").mkdir()
    write(tmp_path / "below" / "deeper", a=policy("a", anonymous("r"), hosts=("a.example",)))
    write(tmp_path / ".hidden", b=policy("b", anonymous("r"), hosts=("b.example",)))
    (tmp_path / ".c.yaml").write_text("{")
    (tmp_path / "notes.txt").write_text("{")
    assert (outcome(tmp_path, "a.example"), outcome(tmp_path, "b.example")) == ("a", "none")


def test_a_mounted_config_map_is_read_once(tmp_path: Path) -> None:
    data = tmp_path / "..2026_11_25"
    data.mkdir()
    write(data, a=policy("a", anonymous("r")))
    (tmp_path / "..data").symlink_to(data.name)
    (tmp_path / "a.yaml").symlink_to("..data/a.yaml")
    assert lint(tmp_path) == (1, (), ())


def test_a_link_that_leads_nowhere_hides_no_policy(tmp_path: Path) -> None:
    (tmp_path / "strict.yaml").symlink_to("elsewhere/strict.yaml")
    listing = list_folder(tmp_path)
    assert listing.blind == listing.faults != ()
    assert "is a link to a file that is not there" in str(lint(tmp_path)[1][0])


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_what_only_has_the_name_of_a_file_hides_policies_and_holds_nothing_up(tmp_path: Path, kind: str) -> None:
    write(tmp_path, a=policy("a", anonymous("r")))
    link = tmp_path / "odd.yaml"
    match kind:
        case "pipe":
            os.mkfifo(link)
        case "device":
            link.symlink_to("/dev/zero")
        case _:
            link.symlink_to(tmp_path, target_is_directory=True)
    assert [str(fault) for fault in list_folder(tmp_path).blind] == ["odd.yaml:1: cannot be read: is no regular file"]


def test_a_file_is_read_whatever_its_name(tmp_path: Path) -> None:
    for name, said in ((b"\xe9.yaml", policy("a", anonymous("r"))), (b"\xe8.yaml", {"hosts": ["b.example"]})):
        Path(os.fsdecode(bytes(tmp_path) + b"/" + name)).write_text(yaml.safe_dump(said)[:-1])
    Path(os.fsdecode(bytes(tmp_path) + b"/\xea.yaml")).write_text("kind: AccessPolicy\nhosts: [c.example]\nx: [")
    _, problems, _ = lint(tmp_path)
    assert {problem.file for problem in problems} == {r"\udce8.yaml", r"\udcea.yaml"}
    assert outcome(tmp_path, "c.example") == "broken"


def test_no_more_of_a_file_is_read_than_can_be_taken(tmp_path: Path) -> None:
    with (tmp_path / "huge.yaml").open("wb") as file:
        file.truncate(1 << 40)
    (fault,) = list_folder(tmp_path).blind
    assert "more than 4194304 bytes" in str(fault)


@pytest.mark.parametrize("kind", ["pipe", "missing", "endless"])
def test_authorities_that_cannot_be_read_are_a_mistake_of_the_issuer(tmp_path: Path, kind: str) -> None:
    said = {"issuer": "https://i.example", "audiences": ["a"], "keys": {"discovery": {}}, "caBundle": {"file": "ca"}}
    write(tmp_path, issuer=obj("TokenIssuer", "corp", said))
    if kind == "pipe":
        os.mkfifo(tmp_path / "ca")
    elif kind == "endless":
        (tmp_path / "ca").write_bytes(b"-" * (2 << 20))
    _, (problem,), _ = lint(tmp_path)
    assert f"the file `{tmp_path / 'ca'}` of `caBundle`" in str(problem)


def test_the_ending_of_a_file_may_be_in_upper_case(tmp_path: Path) -> None:
    (tmp_path / "a.YAML").write_text("kind: [")
    assert lint(tmp_path)[1]


def test_a_mistake_is_told_with_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "orders.yaml").write_text(
        "apiVersion: extauthz.dev/v1alpha1\nkind: AccessPolicy\nmetadata: {name: orders, namespace: shop}\n"
        "spec:\n  hosts: [a.example]\n  rules:\n    - name: r\n      anonymous: true\n"
        "      reuse:\n        maxUses: 0\n"
    )
    _, (mistake,), _ = lint(tmp_path)
    where = "orders.yaml:10: AccessPolicy shop/orders: spec.rules[0].reuse.maxUses"
    assert str(mistake) == f"{where}: found `0`, allowed is at least 1"


def test_mistakes_that_show_only_when_compiled_are_told_too(tmp_path: Path) -> None:
    rule = {"name": "r", "token": {"issuers": [{"name": "gone"}], "audiences": ["x"]}}
    write(tmp_path, a=policy("a", rule))
    _, (mistake,), _ = lint(tmp_path)
    assert "there is no TokenIssuer shop/gone" in str(mistake)
    assert mistake.field == "spec.rules[0].token.issuers[0]"


def test_objects_that_stand_twice_are_refused_at_both_places(tmp_path: Path) -> None:
    write(
        tmp_path,
        a=policy("same", anonymous("r"), hosts=("a.example",)),
        b=policy("same", anonymous("r"), hosts=("b.example",)),
        c=policy("other", anonymous("r"), hosts=("c.example",)),
    )
    assert [outcome(tmp_path, f"{name}.example") for name in "abc"] == ["broken", "broken", "other"]
    _, mistakes, _ = lint(tmp_path)
    assert {mistake.file for mistake in mistakes} == {"a.yaml", "b.yaml"}


def test_a_text_that_is_no_yaml_denies_the_hosts_it_names_and_no_other(tmp_path: Path) -> None:
    write(tmp_path, good=policy("good", anonymous("r"), hosts=("*",)))
    (tmp_path / "bad.yaml").write_text("kind: AccessPolicy\nspec:\n  hosts: [bad.example]\n  rules: [\n")
    assert (outcome(tmp_path, "bad.example"), outcome(tmp_path, "good.example")) == ("broken", "good")


def test_a_policy_whose_hosts_cannot_be_told_makes_the_listing_blind(tmp_path: Path) -> None:
    write(tmp_path, good=policy("good", anonymous("r")))
    assert not list_folder(tmp_path).blind
    (tmp_path / "bad.yaml").write_text("kind: AccessPolicy\nspec: {{{\n")
    assert [fault.file for fault in list_folder(tmp_path).blind] == ["bad.yaml"]


def _strict(**changes: Any) -> dict[str, Any]:
    return policy("strict", anonymous("r"), hosts=("api.example",)) | changes


_SPEC = _strict()["spec"]


@pytest.mark.parametrize(
    "mistaken",
    [
        _strict(spec={"hostz": ["api.example"], "rules": _SPEC["rules"]}),
        _strict(spec={**_SPEC, "hosts": "api.example"}),
        _strict(spec={**_SPEC, "hosts": []}),
        _strict(spec={**_SPEC, "hosts": ["other.example", "api .example"]}),
        _strict(spec={**_SPEC, "hosts": ["other.example", 7]}),
        _strict(spec=None),
        {"apiVersion": "v1", "kind": "Lisst", "items": [_strict()]},
        {"apiVersion": "v1", "kind": "List", "itmes": [_strict()]},
        {"apiVersion": "v1", "kind": "List", "items": {"x": _strict()}},
        {"kind": "AccessPolicy\nspec:\n  hosts: [api.example]\n"},
        "kind: AccessPolicy spec: hosts: [api.example]",
        {"apiVersion": "v1", "kind": "List", "itmes": [revocation("one", jti="a")]},
        {"apiVersion": "v1", "kind": "Lisst", "items": [{**revocation("one", jti="a"), "kind": "Revocation"}]},
        {"kind": "TokenRevocation\nspec:\n  jti: a\n"},
    ],
)
def test_a_policy_that_hides_its_hosts_makes_the_listing_blind(tmp_path: Path, mistaken: Any) -> None:
    write(tmp_path, lax=policy("lax", anonymous("r"), hosts=("*",)), mistaken=mistaken)
    listing = list_folder(tmp_path)
    assert [fault.file for fault in listing.blind] == ["mistaken.yaml"]
    assert "nothing in the folder counts" in listing.blind[0].message
    assert listing.blind[0] in lint(tmp_path)[1]


@pytest.mark.parametrize(
    "harmless",
    [
        _strict(spec={**_SPEC, "hosts": ["API.example:443"]}),
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"p": "kind: AccessPolicy\n"}},
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "a"}, "spec": {"replicas": 1}},
        {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "spec": {"hosts": ["a"], "rules": []}},
        {"kind": {"x": 1}},
    ],
)
def test_what_hides_no_hosts_leaves_the_listing_as_it_is(tmp_path: Path, harmless: Any) -> None:
    write(tmp_path, a=harmless)
    assert list_folder(tmp_path).blind == ()


@pytest.mark.parametrize("kind", ["TokenRevokation", None, 7])
def test_a_revocation_under_a_wrong_kind_refuses_what_it_names(tmp_path: Path, kind: Any) -> None:
    write(tmp_path, gone=revocation("one", subject="alice") | {"kind": kind})
    assert not list_folder(tmp_path).blind
    revocations = snapshot(tmp_path).revocations
    assert revocations is not None
    refusal = revocations.refuse(verified(), "shop", Instant(NOW))
    assert refusal is not None
    assert "`issuer` and `expires`; did you mean `TokenRevocation`?" in refusal.detail
    assert revocations.refuse(verified({"sub": "bob"}), "shop", Instant(NOW)) is None


def test_an_issuer_with_an_end_is_an_issuer_with_a_mistake(tmp_path: Path) -> None:
    write(tmp_path, a=obj("TokenIssuer", "corp", {"issuer": "https://a.example", "keys": {}, "expires": "x"}))
    assert snapshot(tmp_path).revocations is None


@pytest.mark.parametrize("kind", ["AccesPolicy", "TokenIssuer", "ConfigMap", None, 7])
def test_a_policy_under_a_wrong_kind_keeps_its_scope(tmp_path: Path, kind: Any) -> None:
    write(tmp_path, lax=policy("lax", anonymous("r"), hosts=("*",)), strict=_strict(kind=kind))
    assert not list_folder(tmp_path).blind
    assert (outcome(tmp_path, "api.example"), outcome(tmp_path, "other.example")) == ("broken", "lax")


def test_a_mistake_is_told_in_one_line_whatever_it_quotes(tmp_path: Path) -> None:
    write(tmp_path, a=policy("a", anonymous("r"), hosts=("a\n\x1b[31m.example",)) | {"x\ny": 1})
    lines = [str(mistake) for mistake in lint(tmp_path)[1]]
    assert len(lines) >= 2
    assert all(line.isprintable() for line in lines)
    assert any("a\\n\\x1b[31m.example" in line for line in lines)


def test_a_folder_has_no_targets_and_a_policy_for_one_makes_it_blind(tmp_path: Path) -> None:
    write(tmp_path, a=policy("a", anonymous("r")), p=targeting("p", "orders"))
    (fault,) = list_folder(tmp_path).blind
    assert (fault.file, fault.field) == ("p.yaml", "spec.targetRefs")
    assert "is for a central service" in fault.message
    assert {each.field for each in lint(tmp_path)[1]} == {"spec.targetRefs"}
    assert lint(tmp_path, cluster=True) == (2, (), ())


@pytest.mark.parametrize("both", [[], "orders", [{"kind": "HTTPRoute", "name": "orders"}]])
def test_what_names_hosts_and_targets_keeps_its_hosts(tmp_path: Path, both: Any) -> None:
    write(tmp_path, p=policy("p", anonymous("r"), targetRefs=both), w=policy("w", anonymous("r"), hosts=("*",)))
    assert list_folder(tmp_path).blind == ()
    snapshot, problems = load(list_folder(tmp_path))
    assert problems
    rule = snapshot.choose(view("/"))
    assert isinstance(rule, Rule)
    assert rule.broken is not None


def test_a_folder_that_is_not_there_is_blind(tmp_path: Path) -> None:
    assert list_folder(tmp_path / "gone").blind


def test_files_named_in_an_issuer_stand_beside_its_own(tmp_path: Path) -> None:
    issuer = obj("TokenIssuer", "corp", {"issuer": "i", "keys": {"file": "keys.json"}, "caBundle": {"file": "ca.pem"}})
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "ca.pem").write_text("-----BEGIN CERTIFICATE-----\n")
    write(tmp_path / "sub", issuer=issuer)
    (keys,) = snapshot(tmp_path).issuer_keys
    assert getattr(keys.source, "path", None) == tmp_path / "sub" / "keys.json"


def test_the_order_of_files_and_documents_never_matters(tmp_path: Path) -> None:
    objects = [policy(f"p{n}", anonymous("r", path={"prefix": f"/{n}"})) for n in range(6)]
    versions = set()
    for seed in range(5):
        random.Random(seed).shuffle(objects)
        folder = tmp_path / str(seed)
        folder.mkdir()
        write(folder, x=objects[:2], a=objects[2:5], m=objects[5])
        versions.add(snapshot(folder).version)
    assert len(versions) == 1


def test_a_good_rule_is_what_the_folder_says(tmp_path: Path) -> None:
    write(tmp_path, a=policy("a", anonymous("r")))
    assert isinstance(snapshot(tmp_path).choose(view("/")), Rule)


def test_a_file_of_revocations_that_cannot_be_read_hides_which_tokens_are_revoked(tmp_path: Path) -> None:
    write(tmp_path, good=policy("a", anonymous("r")))
    text = yaml.safe_dump_all([revocation("one", jti="a"), revocation("two", jti="b")])
    (tmp_path / "gone.yaml").write_text(text.replace("jti: b", "jti: b: c"))
    listing = list_folder(tmp_path)
    assert [each.file for each in listing.blind] == ["gone.yaml"]
    (tmp_path / "gone.yaml").write_text(text)
    assert list_folder(tmp_path).blind == ()
    revocations = snapshot(tmp_path).revocations
    assert revocations is not None
    assert revocations.count == 2


def test_a_folder_that_cannot_be_watched_is_told_once_in_words_and_read_all_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> Iterator[Any]:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files, "watch", full)
    monkeypatch.setattr(files, "_POLL_MS", 10)
    stop = threading.Event()
    seen = watch_folder(tmp_path, stop)
    next(seen)
    threading.Timer(0.3, lambda: write(tmp_path, a=policy("a", anonymous("r")))).start()
    assert next(seen).placed
    assert caplog.text.count("the policy folder cannot be watched: no space left on device") == 1
    assert "OSError" not in caplog.text
    stop.set()


@pytest.mark.parametrize(
    ("held", "words"),
    [
        (None, "the key file `{file}` cannot be read: no such file or directory"),
        ("{", "the key set in `{file}` is refused: it is no JSON key set"),
        ('{"keys": []}', "the key set in `{file}` is refused: its `keys` is empty"),
    ],
)
def test_lint_tells_an_issuer_whose_key_file_is_of_no_use(tmp_path: Path, held: str | None, words: str) -> None:
    said = {"issuer": "https://i.example", "audiences": ["a"], "keys": {"file": "keys.json"}}
    write(tmp_path, a=obj("TokenIssuer", "a", said))
    file = tmp_path / "keys.json"
    if held is not None:
        file.write_text(held)
    _, [mistake], _ = lint(tmp_path)
    assert (mistake.object, mistake.field) == ("TokenIssuer shop/a", "spec.keys")
    assert words.format(file=file) in mistake.message
    file.write_text(json.dumps(jwks("ec")))
    assert lint(tmp_path) == (1, (), ())


@pytest.mark.parametrize(
    ("issuer", "keys", "words"),
    [
        ("http://i.example", {"discovery": {}}, "issuers are asked over https only"),
        ("corp", {"discovery": {}}, "the issuer `corp` is no https URL to discover keys from"),
        ("https://i.example?a=b", {"discovery": {}}, "is no https URL to discover keys from"),
        ("https://169.254.169.254", {"discovery": {}}, "an address that no issuer has"),
        ("https://i.example", {"jwksUri": "https://169.254.169.254/keys"}, "an address that no issuer has"),
        ("corp", {"discovery": {"url": "https://[fd00:ec2::254]/m"}}, "an address that no issuer has"),
    ],
)
def test_lint_tells_an_issuer_at_whose_address_nobody_is_asked(
    tmp_path: Path, issuer: str, keys: dict[str, Any], words: str
) -> None:
    said = {"issuer": issuer, "audiences": ["a"], "keys": keys}
    write(tmp_path, a=obj("TokenIssuer", "a", said))
    _, [mistake], _ = lint(tmp_path)
    assert (mistake.object, mistake.field) == ("TokenIssuer shop/a", "spec.keys")
    assert words in mistake.message


@pytest.mark.parametrize(
    ("issuer", "keys"),
    [
        ("http://127.0.0.1:8080", {"discovery": {}}),
        ("http://localhost/a", {"discovery": {}}),
        ("http://adfs.example", {"discovery": {"url": "https://adfs.example/m"}}),
        ("http://adfs.example", {"jwksUri": "https://10.0.0.1/keys"}),
        ("corp", {"jwksUri": "https://no-such-host.example/keys"}),
    ],
)
def test_lint_asks_nobody_and_knows_no_names(tmp_path: Path, issuer: str, keys: dict[str, Any]) -> None:
    write(tmp_path, a=obj("TokenIssuer", "a", {"issuer": issuer, "audiences": ["a"], "keys": keys}))
    assert lint(tmp_path) == (1, (), ())


def test_lint_tells_an_issuer_whose_secret_is_of_no_use_and_quotes_nothing_of_it(tmp_path: Path) -> None:
    asked = {"url": "https://i.example/introspect", "bearer": {"file": "secret"}}
    write(
        tmp_path, a=obj("TokenIssuer", "a", {"issuer": "https://i.example", "audiences": ["a"], "introspection": asked})
    )
    for held, words in (
        (None, "cannot be read: no such file or directory"),
        ("", "is empty"),
        ("hunter 2", "characters"),
    ):
        if held is not None:
            (tmp_path / "secret").write_text(held)
        _, [mistake], _ = lint(tmp_path)
        assert mistake.field == "spec.introspection"
        assert words in mistake.message
        assert "hunter" not in mistake.message
    (tmp_path / "secret").write_text("hunter2\n")
    assert lint(tmp_path) == (1, (), ())


@pytest.mark.parametrize("cluster", [False, True])
def test_lint_tells_an_issuer_none_of_whose_keys_in_the_folder_is_usable(tmp_path: Path, *, cluster: bool) -> None:
    weak = {"kty": "RSA", "n": "AAAA", "e": "AQAB"}
    said = {"issuer": "https://i.example", "audiences": ["a"]}
    write(
        tmp_path,
        inline=obj("TokenIssuer", "inline", said | {"keys": {"inline": {"keys": [weak]}}}),
        good=obj("TokenIssuer", "good", said | {"keys": {"inline": {"keys": [weak, *jwks("ec")["keys"]]}}}),
        url=obj("TokenIssuer", "url", said | {"keys": {"jwksUri": "https://i.example/keys"}}),
        secret=obj("TokenIssuer", "secret", said | {"keys": {"secretRef": {"name": "s", "key": "k"}}}),
        held={
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "s", "namespace": "shop"},
            "stringData": {"k": "x"},
        },
    )
    _, mistakes, _ = lint(tmp_path, cluster=cluster)
    assert [(each.object, each.field) for each in mistakes] == [
        ("TokenIssuer shop/inline", "spec.keys"),
        ("TokenIssuer shop/secret", "spec.keys"),
    ]
    assert "the policy's own key set is refused: it has no usable key: `entry 1`: " in mistakes[0].message
    assert "entry `k` of Secret `s` is refused: it is no JSON key set" in mistakes[1].message


def test_lint_tells_mistakes_of_revocations(tmp_path: Path) -> None:
    write(tmp_path, gone=[revocation("one", jti="a", sub="b"), revocation("two", jti="b")])
    count, problems, _ = lint(tmp_path)
    assert count == 2
    assert [str(problem) for problem in problems] == [
        "gone.yaml:11: TokenRevocation shop/one: spec.sub: unknown field; did you mean `subject`?",
        "gone.yaml:20: TokenRevocation shop/two: spec.issuer: there is no TokenIssuer shop/corp",
    ]


def test_lint_notes_revocations_that_are_over(tmp_path: Path) -> None:
    past = revocation("typo", jti="a", expires="2021-01-31T12:00:00Z")
    write(tmp_path, gone=[past, revocation("good", jti="b"), revocation("broken", jti="c", expires="2021")])
    _, mistakes, notes = lint(tmp_path, now=Instant(NOW))
    [note] = map(str, notes)
    assert note.startswith("gone.yaml:7: TokenRevocation shop/typo: spec.expires: has passed, so it revokes nothing")
    assert not {*mistakes} & {*notes}
    assert lint(tmp_path).notes == ()
