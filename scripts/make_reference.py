"""Write the parts of docs/reference that are made from the code; with --check, fail where they are out of date.

Whole files: cli.md from the click commands, python.md and testing.md from `__all__` and docstrings. In outcome.md
and cache.md only what stands between the marks `<!-- made from ... -->` and `<!-- end -->`.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

import penstock
import penstock.testing
from penstock.cli.main import penstock as group
from penstock.outbound.vectors.presets import PRESETS
from penstock.rules.caching.decisions import REASONS
from penstock.rules.census.finding import Finding
from penstock.rules.census.score_map import SCORE_MAPS
from penstock.rules.retries.verdict import KINDS

REFERENCE = Path(__file__).parent.parent / "docs" / "reference"
NOTICE = "<!-- Made by scripts/make_reference.py from the code: change that, then run `make format`. -->"

ADAPTERS = [
    ("aiohttp", "LimitMiddleware"),
    ("httpx", "AsyncLimit"),
    ("httpx", "SyncLimit"),
    ("httpx2", "AsyncLimit"),
    ("httpx2", "SyncLimit"),
    ("requests", "LimitAdapter"),
]


def main() -> int:
    """Return the exit code: with --check, 1 where something is out of date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    check = parser.parse_args().check
    stale = []
    for path, text in pages().items():
        if path.exists() and path.read_text() == text:
            continue
        stale.append(path.name)
        if not check:
            path.write_text(text)
    if check and stale:
        print(f"out of date in docs/reference: {', '.join(stale)}; run `make format`", file=sys.stderr)
        return 1
    return 0


def pages() -> dict[Path, str]:
    """Every page that is made from the code, by its path."""
    outcome, cache = REFERENCE / "outcome.md", REFERENCE / "cache.md"
    return {
        REFERENCE / "cli.md": finish(cli_page()),
        REFERENCE / "python.md": finish(python_page()),
        REFERENCE / "testing.md": finish(testing_page()),
        outcome: fill(outcome.read_text(), {"KINDS": kinds_table(), "Finding": findings_table()}),
        cache: fill(cache.read_text(), {"REASONS": reasons_table()}),
    }


def finish(blocks: Iterator[str]) -> str:
    """Blocks with an empty line between them."""
    return "\n\n".join(block.strip("\n") for block in blocks) + "\n"


def fill(text: str, made: dict[str, str]) -> str:
    """The text with every marked part replaced."""
    for name, part in made.items():
        if f"<!-- made from {name} -->" not in text:
            raise SystemExit(f"no page of docs/reference has a part that is made from {name}")
        before, mark, _ = text.partition(f"<!-- made from {name} -->\n")
        after = text[len(before) + len(mark) :].partition("<!-- end -->")[2]
        text = f"{before}{mark}\n{part}\n\n<!-- end -->{after}"
    return text


# -- the command line -------------------------------------------------------------------------------------------------


def cli_page() -> Iterator[str]:
    """Every command with its options."""
    yield f"# Command line\n\n{NOTICE}"
    yield prose(group.help or "")
    for name, command in commands(group):
        yield from command_part(name, command)
    yield "## Values"
    yield (
        "- A duration is `30s`, `5m`, `500ms`, `1h`; a bare number is seconds.\n"
        "- A size is `64MiB`, `10kB`; a bare number is bytes.\n"
        "- A limit is `COUNT/DURATION`: `100/min`, `10/s`, `600/5m`, `100/1s`.\n"
        "- A JMESPath expression picks a value out of JSON: `hits[0].id`."
    )
    yield "## Presets of `penstock check`"
    yield preset_table()
    yield (
        "Verified means that the shape was read in the code of a client that uses it, or tried against the server; the "
        "others are from memory, and a run with them says so."
    )
    yield "## Score maps of `penstock check`"
    yield (
        "What to make of the score or distance in an answer, so that 1 means the vector itself. Without `--score-map` "
        "the map is inferred from the first answers, and the census is refused where that is not clear."
    )
    yield "\n".join(f"- `{one.name}`: {one.meaning}" for one in SCORE_MAPS.values())


def commands(of: click.Group, before: str = "") -> Iterator[tuple[str, click.Command]]:
    """All of a group, those of the groups in it after each."""
    for name, command in of.commands.items():
        yield before + name, command
        if isinstance(command, click.Group):
            yield from commands(command, f"{before}{name} ")


def command_part(name: str, command: click.Command) -> Iterator[str]:
    """One command: usage, what it does, options, examples."""
    arguments = [each for each in command.params if isinstance(each, click.Argument)]
    options = [each for each in command.params if isinstance(each, click.Option)]
    needed = "".join(f" {each.opts[0]} {metavar(each)}" for each in options if each.required)
    yield f"## `penstock {name}`"
    if isinstance(command, click.Group):
        yield f"```text\npenstock {name} {'|'.join(command.commands)}\n```"
    else:
        yield f"```text\npenstock {name}{''.join(f' {metavar(each)}' for each in arguments)}{needed} [OPTIONS]\n```"
    yield prose(command.help or "")
    if options:
        yield "\n".join(option_line(each) for each in options)
    if command.epilog:
        lines = inspect.cleandoc(command.epilog.replace("\b", "")).strip().splitlines()[1:]
        yield "```text\n" + inspect.cleandoc("\n".join(lines)) + "\n```"


def option_line(option: click.Option) -> str:
    """One option as a list item."""
    name = option.opts[0] if option.is_flag else f"{option.opts[0]} {metavar(option)}"
    facts = []
    if option.required:
        facts.append("required")
    if option.multiple:
        facts.append("repeatable")
    if isinstance(option.default, (str, int, float, Path)) and not option.is_flag and option.show_default:
        facts.append(f"default `{option.default}`")
    text = re.sub(r"\s*\[default: (.*)\]$", r" Default: \1.", option.help or "")
    aside = f" ({', '.join(facts)})" if facts else ""
    return f"- `{name}`{aside}: {text}"


def metavar(parameter: click.Parameter) -> str:
    """What stands for the value."""
    if parameter.metavar:
        return parameter.metavar
    if "|" in parameter.type.name:
        return parameter.type.name
    if isinstance(parameter.type, click.Choice):
        return "|".join(str(each) for each in parameter.type.choices)
    if isinstance(parameter.type, click.IntRange):
        return "N"
    return parameter.type.name.upper() if parameter.type.name != "text" else parameter.opts[0].strip("-").upper()


def prose(text: str) -> str:
    """Help text as Markdown: what click must not wrap becomes a block of text."""
    # In a raw docstring click's mark is two characters.
    parts = inspect.cleandoc(text.replace("\\b", "\b")).split("\n\n")
    return "\n\n".join(
        "```text\n" + part.removeprefix("\b\n") + "\n```" if part.startswith("\b") else " ".join(part.split())
        for part in parts
    )


def preset_table() -> str:
    """The presets."""
    rows = [
        "| preset | request | score | needs | shape verified |",
        "| --- | --- | --- | --- | --- |",
    ]
    for one in PRESETS.values():
        needs = ", ".join(f"`--{name}`" for name in one.variables if name not in one.defaults) or "-"
        tried = "yes" if one.verified else "no"
        rows.append(f"| `{one.name}` | `{one.method} {one.path}` | `{one.similarity}` | {needs} | {tried} |")
    return "\n".join(rows)


# -- tables -----------------------------------------------------------------------------------------------------------


def reasons_table() -> str:
    """Every reason of a decision of the cache."""
    rows = "\n".join(f"| `{reason}` | {sentence} |" for reason, sentence in REASONS.items())
    return f"| reason | what it says |\n| --- | --- |\n{rows}"


def kinds_table() -> str:
    """The kinds of failure."""
    rows = "\n".join(f"| `{kind}` | {text} |" for kind, text in KINDS.items())
    return f"| kind | what it says |\n| --- | --- |\n{rows}"


def findings_table() -> str:
    """The verdicts of a census, by the strings below each member of the enum."""
    lines = inspect.getsource(Finding).splitlines()
    rows = []
    for finding in Finding:
        at = next(number for number, line in enumerate(lines) if line.strip() == f"{finding.name} = {finding.value}")
        text = lines[at + 1].strip().strip('"') if at + 1 < len(lines) and '"""' in lines[at + 1] else "Not asked yet."
        rows.append(f"| `{finding.name}` | {finding.value} | {text} |")
    return "| verdict | number in the scoreboard | what it says |\n| --- | --- | --- |\n" + "\n".join(rows)


# -- Python -----------------------------------------------------------------------------------------------------------


def python_page() -> Iterator[str]:
    """The public names of penstock."""
    yield f"# Python\n\n{NOTICE}"
    yield "Everything here is imported from `penstock`. Durations are seconds, sizes are bytes."
    names = [name for name in penstock.__all__ if not is_error(getattr(penstock, name))]
    for name in sorted(names, key=str.lower):
        yield from name_part(name, getattr(penstock, name))
    yield "## In the clients of others"
    yield "Each is imported from its own module, which needs the extra of the same name."
    for module, name in ADAPTERS:
        value = getattr(importlib.import_module(f"penstock.adapters.{module}"), name)
        yield f"### `penstock.adapters.{module}.{name}`"
        made_by = next(each for each in value.__mro__ if "__init__" in vars(each))
        yield f"```text\n{signature(name, made_by)}\n```"
        yield described(value)
    yield "## Errors"
    yield (
        "```text\n"
        + inspect.cleandoc((sys.modules["penstock.errors"].__doc__ or "").split("::\n")[1].split("Facts")[0])
        + "\n```"
    )
    yield "Facts are attributes, so that a program need not parse a message."
    for name in penstock.__all__:
        value = getattr(penstock, name)
        if is_error(value):
            yield f"### `{name}`\n\n{described(value)}"


def testing_page() -> Iterator[str]:
    """The public names of penstock.testing."""
    yield f"# penstock.testing\n\n{NOTICE}"
    yield inspect.getdoc(penstock.testing) or ""
    for name in sorted(penstock.testing.__all__, key=str.lower):
        yield from name_part(name, getattr(penstock.testing, name))


def is_error(value: object) -> bool:
    """Whether it is an exception class."""
    return inspect.isclass(value) and issubclass(value, Exception)


def name_part(name: str, value: object) -> Iterator[str]:
    """A public name: its signature, what it says of itself, and its public members."""
    yield f"## `{name}`"
    if name == "__version__":
        yield "The version, as text."
        return
    if not inspect.isclass(value) and not inspect.isfunction(value):
        yield CONSTANTS[name]
        return
    if (text := signature(name, value)) is not None:
        yield f"```text\n{text}\n```"
    yield described(value)
    if inspect.isclass(value):
        yield from members(value)


def described(value: object) -> str:
    """The docstring as Markdown."""
    text = inspect.getdoc(value) if not inspect.isclass(value) else inspect.cleandoc(value.__doc__ or "")
    parts = (text or "").split("\n\n")
    made = []
    for part in parts:
        if all(line.startswith("    ") for line in part.splitlines()):
            made.append("```text\n" + inspect.cleandoc(part) + "\n```")
        else:
            made.append(re.sub(r"::$", ":", part))
    return "\n\n".join(made)


def members(value: type) -> Iterator[str]:
    """Public methods, properties and enum members of a class, one line each."""
    lines = []
    for name, member in vars(value).items():
        if name.startswith("_"):
            continue
        if isinstance(member, property):
            lines.append(f"- `{name}`: {first_line(member)}")
        elif isinstance(member, (classmethod, staticmethod)):
            lines.append(f"- `{signature(name, member.__func__)}`: {first_line(member.__func__)}")
        elif inspect.isfunction(member):
            lines.append(f"- `{signature(name, member, one_line=True)}`: {first_line(member)}")
    if lines:
        yield "\n".join(lines)


def first_line(value: object) -> str:
    """The first paragraph of a docstring, on one line."""
    return " ".join((inspect.getdoc(value) or "").split("\n\n")[0].split())


def signature(name: str, value: Any, *, one_line: bool = False) -> str | None:
    """`name(parameter: type = default)`, written the same on every version of Python; None for an enum."""
    function = value
    if inspect.isclass(value):
        if issubclass(value, (int, str)) or hasattr(value, "__members__") or getattr(value, "_is_protocol", False):
            return None
        function = value.__init__ if "__init__" in vars(value) else None
        if function is None:
            return None
    parameters = list(inspect.signature(function).parameters.values())
    if parameters and parameters[0].name in ("self", "cls"):
        parameters = parameters[1:]
    made: list[str] = []
    for each in parameters:
        if each.kind is each.KEYWORD_ONLY and "*" not in made and not any(text.startswith("*") for text in made):
            made.append("*")
        made.append(parameter_text(each))
    returns = inspect.signature(function).return_annotation
    arrow = "" if inspect.isclass(value) or returns is inspect.Signature.empty else f" -> {annotation(returns)}"
    prefix = "async " if inspect.iscoroutinefunction(function) else ""
    short = f"{prefix}{name}({', '.join(made)}){arrow}"
    if one_line or len(short) <= 100:
        return short
    inner = "".join(f"    {each},\n" for each in made)
    return f"{prefix}{name}(\n{inner}){arrow}"


def parameter_text(each: inspect.Parameter) -> str:
    """One parameter."""
    stars = "*" if each.kind is each.VAR_POSITIONAL else "**" if each.kind is each.VAR_KEYWORD else ""
    typed = "" if each.annotation is each.empty else f": {annotation(each.annotation)}"
    if each.default is each.empty:
        return f"{stars}{each.name}{typed}"
    default = repr(each.default)
    if " object at " in default or default.startswith("<"):
        default = "..."
    return f"{stars}{each.name}{typed} = {default}"


def annotation(value: object) -> str:
    """An annotation as it was written."""
    return value if isinstance(value, str) else getattr(value, "__name__", str(value))


CONSTANTS = {
    "Call": "`Callable[[Request], Awaitable[Response]]`, for any request and any response: the one idea of penstock.",
    "Layer": "`Callable[[Call], Call]`: takes the inner call and returns one that does more.",
    "PLANTS": "Every kind of wrong answer that an `Oracle` can plant, by its name, with what a census must find.",
    "SHAPES": "Every shape of search request and answer that an `Oracle` speaks, by its name.",
}
"""What cannot have a docstring."""


if __name__ == "__main__":
    sys.exit(main())
