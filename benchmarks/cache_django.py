"""Django's tutorial, a shop and Wagtail behind the proxy, with the policy of docs/howto/django.md: right, and fast?

The sites, their visitors and the judge are those of tests/real, which also holds them to the goals.
"""

from __future__ import annotations

import argparse
import sys
from importlib.metadata import version
from typing import Any

from .processes import Child, MissingTool, scratch
from .report import Report

_SITES = ("polls", "shop", "wagtail")
_SHARE = 0.95


def main(arguments: list[str]) -> bool:
    """Whether every form worked, nobody got what was another's, and strangers were answered from the store."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks cache_django")
    parser.add_argument("--sites", default=",".join(_SITES), help=f"of {', '.join(_SITES)}")
    options = parser.parse_args(arguments)
    report = Report("cache_django", "python -m benchmarks cache_django")
    for package in ("django", "wagtail", "gunicorn"):
        try:
            report.facts[package] = version(package)
        except ModuleNotFoundError:
            raise MissingTool(f"{package} is not there: pip install --group frameworks") from None
    sites = [_visited(name) for name in options.sites.split(",")]
    _table(report, sites)
    _goals(report, sites)
    return report.finish()


def _visited(name: str) -> dict[str, Any]:
    with (
        scratch() as folder,
        Child([sys.executable, "-m", "tests.real.django_figures", name], core=None, folder=folder, name=name) as child,
    ):
        return child.wait(600).json()


def _table(report: Report, sites: list[dict[str, Any]]) -> None:
    rows = [
        (
            each["site"],
            f"{each['requests']:,}",
            each["forms"],
            each["crossed"],
            each["errors_again"],
            f"{each['share']:.1%}",
            f"{each['share_with_token']:.1%}",
            f"{each['asked']:,}",
        )
        for each in sites
    ]
    counts = ("site", "answers", "forms sent", "another's", "errors again")
    header = (*counts, "hits of strangers", "with a csrftoken", "app asked")
    report.table("three users with forms, six strangers who read; gunicorn with two workers", header, rows)
    report.note("A form that did not do what it should ends the run. Hits are counted by Cache-Status.")


def _goals(report: Report, sites: list[dict[str, Any]]) -> None:
    crossed = sum(each["crossed"] for each in sites)
    report.goal("answers that were another's", "0", crossed, not crossed)
    again = sum(each["errors_again"] for each in sites)
    report.goal("errors from the store", "0", again, not again)
    least = min(min(each["share"], each["share_with_token"]) for each in sites)
    report.goal("hits for pages of strangers, each site", f"{_SHARE:.0%}", f"{least:.1%}", least >= _SHARE)


if __name__ == "__main__":
    sys.exit(not main(sys.argv[1:]))
