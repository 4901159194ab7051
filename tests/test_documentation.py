"""Files, modules, headings, commands and options named in the documents exist; the glossary is complete and in order."""

from __future__ import annotations

import ast
import importlib
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PORTIONS = [ROOT / folder / "trueup" for folder in ("pipelines", "models", "expectations", "sql")]
PAGES = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "examples").rglob("*.md")),
]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
FOLDERS = "pipelines|models|expectations|sql|tests|benchmarks|examples|docs"
"""Top-level folders: a path in code style that begins with one of them is meant from the root."""
OWN_PATH = re.compile(rf"(?<![\w./{{])(?:{FOLDERS})/[\w./-]*[\w/]")
ANY_FILE = re.compile(r"(?<![\w./{*-])(?:[a-z_0-9]+/)*[a-z_0-9]+\.(?:py|sql)\b")
NOT_IN_THE_TREE = {"expectations.py": "a file of the reader's own project", "trueup/__init__.py": "a test guards against it"}
MODULE = re.compile(r"\btrueup((?:\.[A-Za-z_]\w*)+)")
NOT_MODULES = {".toml", ".schema.json", ".example", ".lock"}
HOOKS = ROOT / "docs/generate/hooks.py"
GENERATED = {ROOT / "docs" / page for page in re.findall(r'"(reference/[a-z]+\.md)":', HOOKS.read_text("utf-8"))}
"""Pages that the build of the site generates."""
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
COMMAND = re.compile(r"(?<![\w./=-])trueup +(?!\W)([a-z][a-z-]*)((?:[^\n`|]|\\\n)*)")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")


@cache
def tracked() -> list[str]:
    folders = [ROOT / folder for folder in FOLDERS.split("|")]
    return [str(file.relative_to(ROOT)) for folder in folders for file in folder.rglob("*") if "__pycache__" not in file.parts]


def code_of(page: Path) -> list[str]:
    """Return fenced blocks and code spans of a page."""
    text = page.read_text("utf-8")
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.M | re.S) + re.findall(r"(?:^ {4}\S.*\n)+", text, re.M)
    return blocks + re.findall(r"`([^`\n]+)`", re.sub(r"^```\w*\n.*?^```", "", text, flags=re.M | re.S))


def names_defined(file: Path) -> set[str]:
    """Return top-level names of a module and the methods of its classes, as `Class.method`."""
    names: set[str] = set()
    for node in ast.parse(file.read_text("utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
            names |= (
                {f"{node.name}.{m.name}" for m in node.body if isinstance(m, ast.FunctionDef)}
                if isinstance(node, ast.ClassDef)
                else set()
            )
        names |= {target.id for target in ast.walk(node) if isinstance(target, ast.Name) and isinstance(target.ctx, ast.Store)}
    return names


def is_module_or_member(dotted: str) -> bool:
    """Return whether `.log.lake` or `.log.lake.Lake` exists in one of the folders of the namespace `trueup`."""
    parts = dotted.strip(".").split(".")
    for portion in PORTIONS:
        for length in range(len(parts), 0, -1):
            path, member = portion.joinpath(*parts[:length]), ".".join(parts[length:])
            file = path.with_suffix(".py") if path.with_suffix(".py").exists() else path / "__init__.py"
            if (file.exists() and (not member or member in names_defined(file))) or (path.is_dir() and not member):
                return True
    return False


def heading_ids(page: Path) -> set[str]:
    """Return the ids that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


@pytest.mark.parametrize("name", NAMES)
def test_every_file_and_module_that_a_page_names_exists(name: str) -> None:
    code = code_of(ROOT / name)
    paths = {path for text in code for path in OWN_PATH.findall(text) if not (ROOT / path).exists() and "NAME" not in path}
    files = {file for text in code for file in ANY_FILE.findall(text)} - NOT_IN_THE_TREE.keys()
    files = {file for file in files if not any(known == file or known.endswith("/" + file) for known in tracked())}
    modules = {
        module for text in code for module in MODULE.findall(text) if module not in NOT_MODULES and not is_module_or_member(module)
    }
    assert (sorted(paths), sorted(files), sorted(modules)) == ([], [], [])


@pytest.mark.parametrize("name", NAMES)
def test_every_link_of_a_page_leads_to_a_file_and_heading(name: str) -> None:
    broken = []
    prose = re.sub(r"^```\w*\n.*?^```|`[^`\n]+`", "", (ROOT / name).read_text("utf-8"), flags=re.M | re.S)
    for target in LINK.findall(prose):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, heading = target.partition("#")
        file = ((ROOT / name).parent / path).resolve() if path else ROOT / name
        if file in GENERATED and not heading:
            continue
        if not file.exists() or (heading and heading not in heading_ids(file)):
            broken.append(target)
    assert broken == []


@cache
def commands() -> dict[str, set[str]]:
    """Return each command of `trueup` with its options."""
    import typer

    # `trueup.cli` exports a function of this name, so the module is asked for by its path.
    group = typer.main.get_command(importlib.import_module("trueup.cli.main").app)
    return {
        name: {option for p in command.params for option in (*p.opts, *p.secondary_opts)}
        for name, command in group.commands.items()  # type: ignore[attr-defined]
    }


@pytest.mark.parametrize("name", NAMES)
def test_every_command_and_option_that_a_page_shows_exists(name: str) -> None:
    wrong = []
    for text in code_of(ROOT / name):
        for command, rest in COMMAND.findall(text):
            if command not in commands():
                wrong.append(f"trueup {command}")
            else:
                # Options after ` -- ` are Beam's, those after a comment sign or in quotes belong to another program.
                own = re.sub(r"""("[^"]*"|'[^']*')""", "", rest).split(" -- ")[0].split(" #")[0]
                wrong += [
                    f"trueup {command} {option}" for option in OPTION.findall(own) if option not in commands()[command] | {"--help"}
                ]
    assert wrong == []


def test_readme_or_docs_show_every_command() -> None:
    shown = {command for page in PAGES for text in code_of(page) for command, _ in COMMAND.findall(text)}
    assert set(commands()) - shown == set()


def test_docs_name_every_view() -> None:
    text = "\n".join(page.read_text("utf-8") for page in PAGES)
    views = {file.stem for file in (ROOT / "sql/trueup/warehouse/views").rglob("*.sql")}
    assert {view for view in views if f"`{view}`" not in text} == set()


def glossary_rows() -> list[list[str]]:
    lines = (ROOT / "docs/glossary.md").read_text("utf-8").splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    return rows[1:]


def test_the_glossary_has_60_to_80_words_in_order_each_with_one_sentence_a_synonym_and_a_module() -> None:
    rows = glossary_rows()
    assert 60 <= len(rows) <= 80
    words = [row[0] for row in rows]
    assert words == sorted(set(words))
    for word, meaning, synonym, module in rows:
        assert re.fullmatch(r"[A-Z\d].*\.|Σ.*\.", meaning) and not re.search(r"[.!?] [A-Z]", meaning), word
        assert synonym, word
        assert re.fullmatch(r"`trueup\.[\w.]+`", module), word


def test_messages_name_commands_that_exist() -> None:
    packages = ("pipelines", "models", "expectations", "sql")
    files = [file for package in packages for file in (ROOT / package).rglob("*") if file.suffix in (".py", ".sql", ".toml")]
    named = {(file.name, name) for file in files for name in re.findall(r"(?<!`)`trueup ([a-z][a-z-]+)", file.read_text("utf-8"))}
    assert len(named) > 50
    assert {(file, name) for file, name in named if name not in commands()} == set()


def test_every_page_is_in_the_navigation_of_the_site() -> None:
    in_navigation = set(re.findall(r"^ +- (?:[^:\n]+: )?([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text("utf-8"), re.MULTILINE))
    pages = {str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")}
    generated = {str(page.relative_to(ROOT / "docs")) for page in GENERATED}
    assert in_navigation == pages | generated


def test_pictures_fetch_nothing_from_another_machine() -> None:
    pictures = sorted((ROOT / "docs/pictures").glob("*.svg"))
    assert pictures
    assert [p.name for p in pictures if re.search(r"""(?:url\(|href=)["']?https?:""", p.read_text("utf-8"))] == []
