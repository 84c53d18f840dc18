"""YAML with the line of each field, and nothing that has two readings."""

import pytest

from extauthz.control.documents import MAX_FILE, read_documents

TEXT = b"""\
# a comment
kind: A
spec:
  hosts: [a.example,
          b.example]
  rules:
    - name: r
      reuse:
        maxUses: 0
---
kind: B
---
---
kind: List
items:
  - kind: C
  - kind: D
    spec: {x: 1}
"""


def test_each_field_knows_its_line() -> None:
    documents, fault = read_documents(TEXT)
    assert fault is None
    assert [document.raw["kind"] for document in documents] == ["A", "B", "C", "D"]
    first, second, _, last = documents
    assert first.line_of(("spec", "hosts", 1)) == 5
    assert first.line_of(("spec", "rules", 0, "reuse", "maxUses")) == 9
    assert first.line_of(("spec", "rules", 0, "reuse", "missing")) == 8
    assert second.line_of(("spec",)) == 11
    assert last.line_of(("spec", "x")) == 18


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (b"a: 1\nb: 2\na: 3\n", 3, "`a` stands twice"),
        (b"a:\n  on: 1\n", 2, "put it in quotes"),
        (b"1: a\n", 1, "put it in quotes"),
        (b"kind: A\nspec: {}\nkind: B\n", 3, "is a line `---` missing before it?"),
        (b"hosts: [*.a.example]\n", 1, "a text that begins with `*` needs quotes"),
        (b"hosts: [{{ .Values.host }}]\n", 1, "is not filled in here"),
        (b"[a]: b\n", 1, "a name must be a text"),
        (b"a: !secret x\n", 1, "tag"),
        (b"a: !!python/object:os.system x\n", 1, "tag"),
        (b"a: .nan\n", 1, "not finite"),
        (b"a: [1, 2\n", 2, "not YAML"),
        (b"a: b: c\n", 1, "not YAML"),
        (b"a: \xff\n", 1, "not UTF-8"),
        (b"a: \x00\n", 1, "not YAML"),
        (b"[" * 2000, 1, "YAML"),
    ],
)
def test_what_has_no_single_reading_is_a_fault_with_its_line(text: bytes, line: int, words: str) -> None:
    documents, fault = read_documents(text)
    assert fault is not None
    assert documents == []
    assert words in fault.message or "deep" in fault.message
    assert fault.line >= line


def test_aliases_and_merge_keys_are_read() -> None:
    documents, fault = read_documents(b"base: &b {p: 1, q: 2}\nuse: *b\nmore:\n  <<: *b\n  q: 3\n")
    assert fault is None
    assert documents[0].raw == {"base": {"p": 1, "q": 2}, "use": {"p": 1, "q": 2}, "more": {"p": 1, "q": 3}}


def test_a_bomb_of_aliases_is_bounded() -> None:
    text = b"a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    text += b"".join(b"a%d: &a%d [%s]\n" % (n, n, b", ".join([b"*a%d" % (n - 1)] * 10)) for n in range(1, 9))
    _, fault = read_documents(text)
    assert fault is not None
    assert "more than" in fault.message


def test_an_alias_of_itself_is_bounded() -> None:
    _, fault = read_documents(b"a: &a [*a]\n")
    assert fault is not None


def test_a_file_that_is_too_large_is_a_fault() -> None:
    assert read_documents(b"#" * (MAX_FILE + 1))[1] is not None


def test_documents_before_a_fault_count_and_the_hosts_of_the_rest_are_told() -> None:
    documents, fault = read_documents(
        b"kind: A\n---\nkind: AccessPolicy\nspec:\n  hosts: [a.example, '*.b.example']\n  rules: [\n"
    )
    assert [document.raw for document in documents] == [{"kind": "A"}]
    assert fault is not None
    assert fault.hosts == ("a.example", "*.b.example")


def test_hosts_as_a_block_are_told_too() -> None:
    _, fault = read_documents(b"kind: AccessPolicy\nspec:\n  hosts:\n    - a.example\n    - 'b.example'\n  rules: [\n")
    assert fault is not None
    assert fault.hosts == ("a.example", "b.example")


def test_a_policy_whose_hosts_cannot_be_told_is_said_to_be_so() -> None:
    _, fault = read_documents(b"kind: AccessPolicy\nspec: {{{\n")
    assert fault is not None
    assert fault.hosts is None


POLICY = "kind: AccessPolicy\nspec:\n  hosts: [a.example]\n  rules: [\n"


@pytest.mark.parametrize(
    "data",
    [
        POLICY.encode("utf-16"),  # what `>` of Windows PowerShell writes
        POLICY.encode("utf-16-le"),
        POLICY.replace("a.example", "{{ .Values.host }}").encode(),
        POLICY.replace("a.example", "a.example, ${HOST}").encode(),
        POLICY.replace("a.example", "a.example, *h").encode(),
        POLICY.replace("[a.example]", "*h\n  # hosts: [old.example]").encode(),
        POLICY.replace("[a.example]", "a.example").replace("AccessPolicy", "accesspolicy").encode(),
        POLICY.replace("[a.example]", "[a.example").encode(),
        POLICY.replace("[a.example]", "[a.example], b.example]").encode(),
        POLICY.replace("a.example", "å.example").encode("latin-1"),
        POLICY.replace(" [a.example]", "\n  - a.example\n  * b.example").encode(),
        POLICY.replace(" [a.example]", "\n  - a.example\n  - {{ .Values.host }}").encode(),
    ],
)
def test_hosts_of_which_one_cannot_be_told_are_not_told(data: bytes) -> None:
    documents, fault = read_documents(data)
    assert documents == []
    assert fault is not None
    assert fault.hosts is None


@pytest.mark.parametrize(
    "hosts",
    [
        "\n  - a.example\n  # the old name\n\n  - b.example  # for long",
        '\r\n  - "a.example"\r\n  - b.example\r',
        " # ours\n\t- a.example\n\t- b.example",
        " [\n    a.example,\n    'b.example',\n  ]",
    ],
)
def test_comments_and_lines_between_hosts_hide_none(hosts: str) -> None:
    _, fault = read_documents(POLICY.replace(" [a.example]", hosts).encode())
    assert fault is not None
    assert fault.hosts == ("a.example", "b.example")


def test_a_byte_order_mark_and_empty_documents_are_nothing() -> None:
    assert read_documents(b"\xef\xbb\xbf---\n---\n# nothing\n") == ([], None)
    assert read_documents(b"") == ([], None)


def test_the_members_of_a_key_may_stand_bare_and_for_a_cluster_in_quotes() -> None:
    text = b"keys:\n  - {kty: EC, x: a, y: b}\n  - {kty: RSA, n: c, e: AQAB}\n"
    documents, fault = read_documents(text)
    assert fault is None
    _, fault = read_documents(text, cluster=True)
    assert fault is not None
    assert (fault.line, fault.message) == (2, "the name `y` is read as a bool; put it in quotes")
    quoted, fault = read_documents(text.replace(b" y:", b" 'y':").replace(b" n:", b' "n":'), cluster=True)
    assert (quoted[0].raw, fault) == (documents[0].raw, None)
    assert documents[0].raw["keys"] == [{"kty": "EC", "x": "a", "y": "b"}, {"kty": "RSA", "n": "c", "e": "AQAB"}]
