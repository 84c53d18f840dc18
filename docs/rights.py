"""The page about RBAC: what each mode must be allowed to do, from the table that the code has."""

from __future__ import annotations

from extauthz.control.rbac import TABLE, Mode, Rule

_INTRO = """\
# What to grant (RBAC)

Each mode uses the verbs below and no other; the tests run each under an account that may do nothing else. Secrets and ConfigMaps are read by
name: grant each by `resourceNames`, in the namespace of the issuer that refers to it (the install namespace for a ClusterTokenIssuer). One that is
not granted is as one that does not exist, and the process log says so. The controller must be able to read all that central replicas read: a snapshot is known
by a digest of everything in it.

A ServiceAccount can be limited to names only where a name is known beforehand. So whoever runs central replicas could take the controllers'
Lease away: that stops status, and alters no decision.
"""

_COMMANDS = {
    Mode.SIDECAR: "`extauthz serve --kubernetes --namespace NS`: one namespace. It writes nothing.",
    Mode.CENTRAL: "`extauthz serve --kubernetes`: every namespace. It writes its own Lease and nothing else; without the right to, it warns, and status does not count it.",
    Mode.CONTROLLER: "`extauthz controller`: every namespace.",
    Mode.CONTROLLER_OF_ONE: "`extauthz controller --namespace NS`: the objects of one namespace; those of the cluster get no status from it.",
    Mode.CONTROLLER_OF_INSTALL: "`extauthz controller --namespace NS --install-namespace NS`: the objects of that namespace and those of the cluster, which are looked after where their Secrets, ConfigMaps and cluster-wide revocations stand.",
}


def rights_page() -> str:
    """Every rule of every mode."""
    lines = [_INTRO]
    for mode, rules in TABLE.items():
        lines += [f"## {mode.value.capitalize()}", "", _COMMANDS[mode], ""]
        lines += ["| API group | resources | verbs | where | names | for |", "|---|---|---|---|---|---|"]
        lines += [*map(_row, rules), ""]
    return "\n".join(lines)


def _row(rule: Rule) -> str:
    group, names = f"`{rule.group}`" if rule.group else "core", rule.named or "all"
    only = f"; only with `{rule.needs}`" if rule.needs else ""
    resources, verbs = (", ".join(f"`{each}`" for each in several) for several in (rule.resources, rule.verbs))
    return f"| {group} | {resources} | {verbs} | {rule.where.value} | {names} | {rule.why}{only} |"
