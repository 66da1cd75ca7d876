"""`python -m tests.real.django_figures SITE`: the site with the policy of the how-to, and a line of JSON about it."""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

from .browser import Seen
from .django_judge import crossed, errors_from_the_store, hits
from .django_sites import make_project, policy_for, running
from .django_visitors import PLANS, anonymous, holds_token, visit


@dataclass(frozen=True)
class Figures:
    """What came of one site. Shares are of hits among the answers with pages for strangers."""

    site: str
    requests: int
    forms: int
    """Answers to POST. A form that did not do what it should would have ended the run."""
    crossed: int
    errors_again: int
    share: float
    share_with_token: float
    """Of strangers who hold a `csrftoken`."""
    asked: int
    """Requests that reached the app."""
    seconds: float


def figures(site: str, answers: list[Seen], seconds: float) -> Figures:
    """Count the answers of one run."""
    read = list(anonymous(site, answers))
    return Figures(
        site,
        len(answers),
        sum(each.method == "POST" for each in answers),
        len(crossed(answers)),
        len(errors_from_the_store(answers)),
        hits(read).share,
        hits(each for each in read if holds_token(each.browser)).share,
        sum(not each.hit for each in answers),
        seconds,
    )


def main(site: str) -> None:
    """One run of one site."""
    with tempfile.TemporaryDirectory() as folder:
        project = make_project(site, Path(folder) / site)
        with running(project, policy_for(site)) as door:
            began = time.monotonic()
            answers = visit(door, PLANS[site])
            seconds = time.monotonic() - began
    sys.stdout.write(orjson.dumps(asdict(figures(site, answers, seconds))).decode() + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
