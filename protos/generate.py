"""Compiles `protos/` into `extauthz/_pb`: `generate.py` writes, `generate.py --check` compares.

A virtual path (`-Iextauthz/_pb=protos`) gives each file a name below the package, so that the generated
modules import each other as `extauthz._pb.envoy…` and never take the top-level name `envoy`.
"""

from __future__ import annotations

import filecmp
import importlib.resources
import shutil
import sys
import tempfile
from pathlib import Path

import google.rpc
from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "protos"
PACKAGE = Path("extauthz/_pb")
DOCSTRING = '"""Generated from `protos/` by `make protos`; never edited."""\n'


def compile_into(out: Path) -> None:
    """Writes the whole package below `out`; raises SystemExit when protoc refuses a file."""
    google_apis = Path(next(iter(google.rpc.__path__))).parent.parent
    well_known = importlib.resources.files("grpc_tools") / "_proto"
    sources = sorted(SOURCES.rglob("*.proto"))
    names = [virtual_name(path) for path in sources]
    services = [virtual_name(path) for path in sources if "\nservice " in path.read_text(encoding="utf-8")]
    includes = [f"-I{PACKAGE.as_posix()}={SOURCES}", f"-I{google_apis}", f"-I{well_known}"]
    messages = protoc.main(["protoc", *includes, f"--python_out={out}", f"--pyi_out={out}", *names])
    stubs = messages or protoc.main(["protoc", *includes, f"--grpc_python_out={out}", *services])
    if messages or stubs:
        sys.exit("protoc refused a file under protos/: see its message above")
    for folder in {path.parent for path in (out / PACKAGE).rglob("*_pb2.py")}:
        mark_packages(folder, out / PACKAGE)


def virtual_name(source: Path) -> str:
    """The name that protoc and the imports of other files know the file by."""
    return (PACKAGE / source.relative_to(SOURCES)).as_posix()


def mark_packages(folder: Path, top: Path) -> None:
    """Gives `folder` and each folder above it, up to `top`, an `__init__.py`."""
    (folder / "__init__.py").write_text(DOCSTRING, encoding="utf-8")
    if folder != top:
        mark_packages(folder.parent, top)


def generated_files(package: Path) -> set[Path]:
    """The files of the package, relative to it; Python's own byte code does not count."""
    return {path.relative_to(package) for path in package.rglob("*") if path.suffix in {".py", ".pyi"}}


def differences(fresh: Path, committed: Path) -> list[str]:
    """The files that are missing, left over or different, one sentence each."""
    wanted, found = generated_files(fresh), generated_files(committed)
    changed = {name for name in wanted & found if not filecmp.cmp(fresh / name, committed / name, shallow=False)}
    return [
        *(f"`{PACKAGE / name}` is missing" for name in sorted(wanted - found)),
        *(f"`{PACKAGE / name}` has no source in protos/" for name in sorted(found - wanted)),
        *(f"`{PACKAGE / name}` differs from protos/" for name in sorted(changed)),
    ]


def main(arguments: list[str]) -> int:
    """Exit code 0 when the package is as `protos/` says, 1 when `--check` found a difference."""
    with tempfile.TemporaryDirectory() as folder:
        compile_into(Path(folder))
        fresh, committed = Path(folder) / PACKAGE, ROOT / PACKAGE
        if arguments != ["--check"]:
            shutil.rmtree(committed, ignore_errors=True)
            shutil.copytree(fresh, committed)
            return 0
        found = differences(fresh, committed)
    sys.stderr.writelines(f"{line}; run `make protos`\n" for line in found)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
