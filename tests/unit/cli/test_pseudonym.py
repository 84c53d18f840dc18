"""Who may read the pepper finds a person's lines in a redacted log."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from extauthz.cli.main import main
from extauthz.replay.spend import Pepper
from extauthz.telemetry.audit import Entries, redaction
from tests.unit.telemetry.seen import ALLOW, seen

ONE, TWO = "a" * 40, "b" * 40


@pytest.fixture
def pepper(tmp_path: Path) -> Path:
    """A file with one pepper."""
    path = tmp_path / "pepper"
    path.write_text(f"{ONE}\n")
    return path


def test_it_is_what_the_log_writes_for_that_field(pepper: Path) -> None:
    redacted = redaction(["subject", "client"], Pepper(ONE.encode()).pseudonym)
    line = Entries(redacted).line(seen(ALLOW)).decode()
    for field, text in (("subject", "alice"), ("client", "web")):
        done = CliRunner().invoke(main, ["pseudonym", "--pepper-file", str(pepper), field, text])
        assert done.exit_code == 0
        assert f'"{field}":"{done.output.strip()}"' in line


def test_while_a_pepper_is_exchanged_there_is_one_for_each(pepper: Path) -> None:
    pepper.write_text(f"{TWO}\n{ONE}\n")
    done = CliRunner().invoke(
        main, ["pseudonym", "subject", "-"], input="alice\n", env={"EXTAUTHZ_PEPPER_FILE": str(pepper)}
    )
    assert done.output.split() == [Pepper(each.encode()).pseudonym("subject", "alice") for each in (TWO, ONE)]


def test_a_file_that_cannot_be_used_is_told_and_ends_with_2(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["pseudonym", "--pepper-file", str(tmp_path / "none"), "subject", "alice"])
    assert done.exit_code == 2
    assert "cannot be used: No such file or directory" in done.output
