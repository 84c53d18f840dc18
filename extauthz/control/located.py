"""A mistake with the place where an author finds it."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from extauthz.policy.problem import Problem, dotted


@dataclass(frozen=True, slots=True, order=True)
class LocatedProblem:
    """One mistake, by file and line."""

    file: str
    line: int
    object: str
    """The object by kind and name; empty where none can be told."""
    field: str
    """The field as authors write it, `spec.rules[0].reuse`; empty for the object or the file as a whole."""
    message: str

    def __str__(self) -> str:
        words = (f"{self.file}:{self.line}", self.object, self.field, self.message)
        return _on_one_line(": ".join(word for word in words if word))

    def as_dict(self) -> dict[str, str | int]:
        """For machines."""
        return asdict(self)


def _on_one_line(text: str) -> str:
    """What an author wrote is quoted in a line of a log and of a terminal, and must not end it or colour it."""
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode("ascii") for sign in text)


def locate(problem: Problem, file: str, line: int) -> LocatedProblem:
    """A problem of an object, at its place."""
    ref = problem.object
    return LocatedProblem(file, line, str(ref) if ref.kind else "", dotted(problem.field), problem.message)
