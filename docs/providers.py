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

## A provider that is not on this page

Write `issuer`, `keys` and `audiences`, take one of its tokens, and ask `extauthz explain --policies DIR --request request.txt`: what is refused names the setting that lets it in, one after the other. What they are for:

| the issuer's tokens or keys | setting |
|---|---|
| another `typ`, or none | `tokenTypes: [JWT]`, `[Absent]` |
| keys without `alg`, without `use` | `keyAlgAbsent: FromAlgorithms`; `keyUse: [Absent]` |
| `jku`, `x5c` or `zip: NONE` in each header | `ignoredHeaderParameters` |
| no `sub`; a subject, client or id under another name | `requiredClaims: []`; `mapping.subject`, `mapping.client`, `mapping.tokenId` |
| scopes or roles elsewhere | `mapping.scope`, `mapping.roles`: the first claim of the list that a token has counts, and no other |
| a claim inside an object | a JSON Pointer: `/realm_access/roles`; a `/` in a name is `~1`, as in `/https:~1~1acme.example~1claims/roles` |
| no `jti`, where a rule counts by `Jti` | `reuseKeyFallback: Token` |
| several forms of `iss`; many tenants | `issuerAliases`; `issuerTemplate` with `tenants`, never `{tenantid}` in `issuer` |
| a longer life than an hour | `maxLifetime` |
| more than 8192 characters, with groups | `token.maxLength` of the rule |
| a header or cookie of its own | `token.from` of the rule |

Then tell access tokens from the issuer's other tokens, which the same keys sign: `claimEquals` and `claimPresent` name what ID and refresh tokens lack. Of Entra, Azure AD B2C, Cognito, Keycloak, Zitadel, Stytch and FusionAuth `extauthz lint` notes a TokenIssuer that takes ID tokens, too.

## Tokens that are refused, and what to do instead

| token | why | instead |
|---|---|---|
| `x-amzn-oidc-data` of AWS's load balancers | its segments are padded, its keys are single PEM files, it is for nobody | your provider's own token, `from: {header: x-amzn-oidc-accesstoken}` |
| Microsoft Graph's | what was signed is not what is sent | let the client ask for your API's scope |
| with five segments: Auth0 without `audience`, OpenIddict as it comes, NextAuth's cookie | encrypted for somebody else | let the issuer sign and not encrypt |
| signed with a secret that others know: Supabase's old keys, FusionAuth and authentik without a key pair | whoever checks it can make it | a key pair; where nobody else needs the secret, `algorithms: [HS256]` in an issuer of its own, whose `keys.secretRef` leads to `{"keys": [{"kty": "oct", "use": "sig", "alg": "HS256", "k": "…"}]}`, the secret's octets in base64url |
| unsigned (`alg: none`), such as the Firebase emulator's; `ES256K`; keys below 2048 bits; keys that are a certificate alone | nothing here can vouch for it | another key at the issuer |
| without `aud`: IBM Cloud IAM, PropelAuth, WorkOS sessions, WSO2's `x-jwt-assertion` | it is for nobody, and so for everybody | let the issuer add it; or another claim that says for whom, in `mapping.audience` |
| without `exp`: ServiceAccount tokens from Secrets | it never ends | a projected volume |
| with `cnf`: DPoP, certificates (SAP, FAPI) | who may send it is not checked in this version | a client that asks for plain bearer tokens |
| with `cty`, such as Twilio's | it says that it holds another token | |

## Providers

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
