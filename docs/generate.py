"""Writes the reference pages that the code itself can tell; `--check` fails when one is not up to date."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import click
from chart import chart_defaults, chart_page
from dashboard import dashboard
from definitions import definition_page
from measures import metrics_page
from providers import provider_page
from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema
from rights import rights_page
from sidecar import sidecar_content

from extauthz.config import ControllerSettings, Setting, settings
from extauthz.explain.story import SCHEMA
from extauthz.model.reason import Reason
from extauthz.model.step import Step, usual_step
from extauthz.model.time import format_duration
from extauthz.policy.issuer import TokenIssuerSpec
from extauthz.policy.revocation import TokenRevocationSpec
from extauthz.policy.spec import AccessPolicySpec
from extauthz.policy.words import SHAPES

DOCS = Path(__file__).parent
HEAD = "<!-- Written by docs/generate.py; run `make docs` after a change. -->\n\n"

ADVICE = {
    Reason.CREDENTIAL_ABSENT: "The client must send a token where the rule looks for it.",
    Reason.CREDENTIAL_MALFORMED: "Look for two credentials in one request, a comma, or a scheme without a token.",
    Reason.REQUEST_MALFORMED: "The detail says what is odd; `allowOddPaths` lets some kinds of paths in.",
    Reason.TOKEN_MALFORMED: "The detail names the part, and the issuer's setting that would accept it if there is one.",
    Reason.SIGNATURE_INVALID: "A forged token, keys of another environment, or an issuer that exchanged a key under the same `kid`.",
    Reason.KEY_UNKNOWN: "The issuer's key set lacks the token's key; it is fetched again at most every 30 s.",
    Reason.ISSUER_UNTRUSTED: "No issuer of the rule has this `iss`, byte for byte; mind a slash at the end.",
    Reason.AUDIENCE_MISMATCH: "The client asked its issuer for a token for another service.",
    Reason.TOKEN_EXPIRED: "The client must renew its token; or clocks differ by more than `clockSkew`.",
    Reason.TOKEN_NOT_YET_VALID: "Clocks differ by more than `clockSkew`.",
    Reason.TOKEN_TOO_LONG_LIVED: "Let the issuer issue shorter tokens, or raise `maxLifetime`.",
    Reason.TOKEN_REUSED: "The token was used as often as the rule allows. Many from elsewhere mean a stolen token.",
    Reason.TOKEN_BOUND_ELSEWHERE: "Another caller used this token first. Most likely it was stolen.",
    Reason.TOKEN_INACTIVE: "The issuer's endpoint calls it inactive: expired, revoked or unknown to it; it never says which.",
    Reason.TOKEN_REVOKED: "A TokenRevocation names the token, and the detail the object; or its family was used again.",
    Reason.SENDER_MISMATCH: "The token has `cnf`; no rule of this version confirms a sender.",
    Reason.SCOPE_MISSING: "The client must ask for the scopes that the challenge names.",
    Reason.STEP_UP_REQUIRED: "The user must log in again, as the challenge says (RFC 9470).",
    Reason.CLAIM_REFUSED: "The detail names the claim or condition; a new token of the same kind would not help.",
    Reason.NO_POLICY: "No rule takes the request, or the route pins a policy that is not loaded; the detail says what fits none.",
    Reason.RATE_EXCEEDED: "The client comes again after `Retry-After`. Where all details have the same digits, one spends it: see who.",
    Reason.STORE_UNAVAILABLE: "The store is full (`--store-capacity`), or cannot be reached.",
    Reason.STORE_QUOTA: "The issuer, the namespace of its TokenIssuers, or limits by address under the policies of a"
    " namespace hold as many keys in the store as they may; the detail says which.",
    Reason.KEYS_UNAVAILABLE: "The issuer's keys cannot be fetched; the detail says why.",
    Reason.INTROSPECTION_UNAVAILABLE: "The issuer's endpoint gave no usable answer in time; the detail says why.",
    Reason.POLICY_INVALID: "The detail names the mistake; `extauthz lint` tells all of them with their lines.",
    Reason.OVERLOADED: "More Checks than `--max-concurrent`, or too slow for `--check-budget`: add capacity.",
    Reason.NOT_READY: "Policies are not read yet, or a file hides which hosts it means; `/readyz` says.",
    Reason.INTERNAL: "A bug. The process log has where; please report it.",
}


def reasons() -> str:
    """Every reason for a denial."""
    rows = [
        f"| `{r.label}` | {r.http_status} | {r.grpc_code} | {_challenge(r)} | {_told(r)} | {r.text} | {ADVICE[r]} |"
        for r in Reason
    ]
    return "\n".join(
        [
            "# Reasons",
            "",
            "Why a request is refused: one word in the decision log, the metrics and Envoy's dynamic metadata.",
            "A client reads the text only. Reasons that share a text look alike to it, so that nobody can probe.",
            "",
            "Where a rule takes a refresh token from a form, clients are told as by a token endpoint (RFC 6749, section",
            "5.2): 400 with the `error` below, and no challenge; `as elsewhere` is told as under other rules.",
            "",
            "| reason | HTTP | gRPC | challenge | at a token endpoint | the client reads | what to do |",
            "|---|---|---|---|---|---|---|",
            *rows,
            "",
            *_steps(),
        ]
    )


def _steps() -> Iterator[str]:
    """Every step of a decision."""
    yield "## Steps"
    yield ""
    yield "A decision takes these steps, in this order; the first that does not hold ends it. Which one it was stands in"
    yield "the decision log, as `step`, and in what [`extauthz explain`](../how-to/explain.md) tells."
    yield ""
    yield "| step | what holds when it is passed | reasons that most often end here |"
    yield "|---|---|---|"
    for step in Step:
        usual = ", ".join(f"`{reason.label}`" for reason in Reason if usual_step(reason) is step)
        yield f"| `{step.value}` | {step.text} | {usual} |"
    yield ""


def _challenge(reason: Reason) -> str:
    if reason.error is None:
        return "none"
    return f"`{reason.error}`" if reason.error else "without `error`"


def _told(reason: Reason) -> str:
    return "as elsewhere" if reason.token_endpoint_error is None else f"`{reason.token_endpoint_error}`"


def setting_page() -> str:
    """Every setting of `extauthz serve` and `extauthz controller`."""
    return "\n".join(
        [
            "# Settings",
            "",
            "A flag beats an environment variable, that beats a key of the `--config` file, that beats the default.",
            "A name that is not known is refused wherever it stands. `--check-config` checks and stops.",
            "",
            "## `extauthz serve`",
            "",
            *_setting_rows(settings()),
            "",
            "## `extauthz controller`",
            "",
            *_setting_rows(settings(ControllerSettings)),
            "",
        ]
    )


def _setting_rows(of: tuple[Setting, ...]) -> Iterator[str]:
    yield "| flag | variable | key in the file | default | meaning |"
    yield "|---|---|---|---|---|"
    for s in of:
        default = f"`{s.default}`" if s.default else "none"
        row = f"| `{s.flag}` | `{s.variable}` | `{s.name}` | {default} | {' '.join(s.doc.split())} Allowed: {s.kind.allowed}. |"
        yield row.replace("HOST:PORT|off", "HOST:PORT or off")


PAGED = {
    "AccessPolicy": AccessPolicySpec,
    "TokenIssuer and ClusterTokenIssuer": TokenIssuerSpec,
    "TokenRevocation": TokenRevocationSpec,
}


def policy_page() -> str:
    """Every field of every kind."""
    lines = [
        "# Policies",
        "",
        "API version `extauthz.dev/v1alpha1`. Unknown fields are refused. Durations are Go style: `90s`, `1h30m`.",
        "`TokenIssuer` and `AccessPolicy` belong to a namespace (`default` if unsaid), `ClusterTokenIssuer` to none;",
        "it is a TokenIssuer that policies of every namespace, or of `allowedNamespaces`, may name.",
        "",
    ]
    for title, spec in PAGED.items():
        schema = TypeAdapter(spec).json_schema()
        lines += [f"## {title}", "", *_fields(schema, schema), ""]
        for name, inner in sorted(schema.get("$defs", {}).items()):
            if "properties" in inner:
                lines += [f"### {name.removesuffix('Spec')}", "", inner.get("description", ""), ""]
                lines += [*_fields(inner, schema), ""]
    return "\n".join(lines)


def _fields(schema: dict[str, Any], root: dict[str, Any]) -> Iterator[str]:
    yield "| field | type | default | meaning |"
    yield "|---|---|---|---|"
    for name, field in schema["properties"].items():
        needed = name in schema.get("required", [])
        default = field.get("default")
        if isinstance(default, int | float) and "duration" in _type(field, root):
            default = format_duration(default)
        shown = "needed" if needed else "none" if default in (None, [], {}) else f"`{default}`"
        inner = root["$defs"][field["$ref"].rpartition("/")[2]] if "$ref" in field else {}
        doc = " ".join(str(field.get("description", inner.get("description", ""))).split()).replace("|", "or")
        yield f"| `{name}` | {_type(field, root)} | {shown} | {doc} |"


def _type(field: dict[str, Any], root: dict[str, Any]) -> str:
    if "$ref" in field:
        name = field["$ref"].rpartition("/")[2]
        target = root["$defs"][name]
        if "enum" in target:
            return " or ".join(f"`{word}`" for word in target["enum"])
        return f"[{name.removesuffix('Spec')}](#{name.removesuffix('Spec').lower()})"
    for several in ("anyOf", "allOf"):
        if several in field:
            return " or ".join(_type(part, root) for part in field[several] if part.get("type") != "null")
    if "enum" in field or "const" in field:
        return " or ".join(f"`{word}`" for word in field.get("enum", [field.get("const")]))
    match field.get("type"):
        case "array":
            bounds = _bounds(field, "minItems", "maxItems")
            return f"list{bounds} of {_type(field['items'], root)}"
        case "object":
            return "mapping" + _bounds(field, "minProperties", "maxProperties")
        case "string" if str(field.get("title", "")).startswith("duration"):
            return str(field["title"])
        case "string":
            words = SHAPES.get(field.get("pattern", ""), "text")
            return words.replace("|", "or") + _bounds(field, "minLength", "maxLength")
        case kind:
            return f"{kind or 'any JSON'}" + _bounds(field, "minimum", "maximum")


def _bounds(field: dict[str, Any], low: str, high: str) -> str:
    found = [str(field[name]) for name in (low, high) if name in field]
    return (
        f" ({' to '.join(found)})" if len(found) == 2 else f" (at most {found[0]})" if found and high in field else ""
    )


def cli_page() -> str:
    """The help of every command."""
    lines = ["# Command line", ""]
    main = import_module("extauthz.cli.main").main
    context = click.Context(main, info_name="extauthz", max_content_width=100, terminal_width=100)
    lines += ["```", main.get_help(context), "```", ""]
    for name in main.list_commands(context):
        command = main.get_command(context, name)
        inner = click.Context(command, info_name=name, parent=context, max_content_width=100, terminal_width=100)
        lines += [f"## extauthz {name}", "", "```", command.get_help(inner), "```", ""]
        for sub in command.list_commands(inner) if isinstance(command, click.Group) else ():
            under = command.get_command(inner, sub)
            deeper = click.Context(under, info_name=sub, parent=inner, max_content_width=100)
            lines += [f"## extauthz {name} {sub}", "", "```", under.get_help(deeper), "```", ""]
    return "\n".join(lines)


def story_schema() -> str:
    """The JSON Schema of what `extauthz explain --output json` prints."""
    schema = SCHEMA.json_schema()
    return json.dumps({"$schema": GenerateJsonSchema.schema_dialect, **schema}, indent=2) + "\n"


PAGES = {
    "reference/explain.schema.json": story_schema,
    "reference/reasons.md": reasons,
    "reference/settings.md": setting_page,
    "reference/policy.md": policy_page,
    "reference/crds.md": definition_page,
    "reference/cli.md": cli_page,
    "reference/metrics.md": metrics_page,
    "reference/rbac.md": rights_page,
    "how-to/providers.md": provider_page,
    "../charts/extauthz/README.md": chart_page,
    "../charts/extauthz/charts/extauthz-sidecar/templates/_content.tpl": sidecar_content,
    "../charts/extauthz/files/defaults.json": chart_defaults,
    "../charts/extauthz/files/dashboard.json": dashboard,
}


def main() -> int:
    """Write the pages, or compare them."""
    stale = []
    for name, write in PAGES.items():
        path, text = DOCS / name, write() if not name.endswith(".md") else HEAD + write()
        if "--check" not in sys.argv:
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(name)
    if stale:
        print(f"not up to date: {', '.join(stale)}; run `make docs`", file=sys.stderr)  # noqa: T201
    return 1 if stale else 0


if __name__ == "__main__":
    assert ADVICE.keys() == set(Reason)
    sys.exit(main())
