"""The how-to page about identity providers, written from what `extauthz issuer scaffold` knows."""

from __future__ import annotations

from collections.abc import Iterator

from extauthz.cli.issuer.providers import PROVIDERS, Provider
from extauthz.cli.issuer.scaffold import document

_INTRO = """\
# Accept the tokens of your identity provider

The default of a TokenIssuer is strict: access tokens as RFC 9068 describes them, and hardly any provider issues those. Each section below is what one provider's tokens need, and nothing more.

```sh
extauthz issuer scaffold keycloak --url https://sso.example/realms/shop --audience orders-api > issuer.yaml
```

writes it for your issuer, looks at its keys, and says what remains to be filled in. Values below are examples.

When a token is refused, the decision log names what was found and the setting that would accept it, if there is one; `extauthz explain` tells the whole story. Before you widen anything, read why the setting is there:
[decision 15](../adr/0015-issuer-settings.md). The sample issuer of Istio's documentation (`testing@secure.istio.io`) is refused by name: its private key is public.

| provider | tokens | |
|---|---|---|
"""


def provider_page() -> str:
    """A section for each provider."""
    rows = [f"| [{each.title}](#{each.name}) | `{_types(each)}` | `{each.name}` |" for each in PROVIDERS.values()]
    return _INTRO + "\n".join([*rows, "", *(line for each in PROVIDERS.values() for line in _section(each))])


def _types(known: Provider) -> str:
    if "introspection:" in known.spec:
        return "JWT" if "tokens: Any" in known.spec else "opaque"
    found = [line for line in known.spec.splitlines() if line.startswith("tokenTypes")]
    return found[0].partition("[")[2].partition("]")[0] if found else "at+jwt"


def _section(known: Provider) -> Iterator[str]:
    spec = known.write(known.example, known.audience_example).replace("FILL-IN-", "")
    bare = Provider(**{name: getattr(known, name) for name in ("name", "title", "url", "example", "spec", "audience")})
    yield f'<a id="{known.name}"></a>'
    yield f"## {known.title}"
    yield ""
    yield f"The audience is {known.audience}."
    yield ""
    yield "```yaml"
    # Without the notes above the object: they stand below it here.
    text = document(bare, spec, kind="TokenIssuer", name=known.name, namespace="shop")
    yield text.partition("\n")[2].rstrip()
    yield "```"
    yield ""
    for todo in known.fill:
        yield f"- To do: {todo}."
    for note in known.notes:
        yield f"- {note}"
    if known.fill or known.notes:
        yield ""
