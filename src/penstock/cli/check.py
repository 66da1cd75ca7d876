"""`penstock check`."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from ..errors import UsageError
from ..extras import how_to_install
from ..rules.retries.verdict import RetryOn
from .loop import run_loop
from .options import environment_with_token, flow_options, show_options, take_flow
from .shown import shown
from .summary import exit_code_of

_EXAMPLES = """
\b
Examples:
  penstock check vectors.bin --dim 128 --url http://127.0.0.1:8000/search --out census --limit 500/s
  penstock check vectors.npy --url http://127.0.0.1:8000/search --out census --sample 10000
  penstock check base.fvecs --url http://127.0.0.1:6333 --preset qdrant --collection items --out census
  penstock check vectors.bin --dim 128 --url http://127.0.0.1:8000/search --out census --retry-failed
"""

_VARIABLES = ("collection", "field", "tenant", "database", "candidates")


@click.command(epilog=_EXAMPLES, short_help="Does a vector search API find every stored vector?")
@click.argument("source", metavar="VECTORS", type=click.Path(path_type=Path))
@click.option("--url", required=True, help="The search endpoint; with --preset the root of the server.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="A folder for scoreboard and findings.")
@click.option("--dim", type=click.IntRange(min=1), default=None, help="Numbers in a vector; raw files need it.")
@click.option(
    "--format",
    default=None,
    help="raw, npy, fvecs, bvecs, fbin, u8bin, i8bin, parquet, hdf5. [default: found by content and name]",
)
@click.option("--column", default=None, help="The column of a Parquet file or the dataset of an HDF5 file.")
@click.option("--preset", default=None, help="Ask as this server wants to be asked: qdrant, chroma, ...")
@click.option("--collection", default=None, help="For --preset.")
@click.option("--field", default=None, help="For --preset: the vector's field.")
@click.option("--tenant", default=None, help="For --preset.")
@click.option("--database", default=None, help="For --preset.")
@click.option("--candidates", default=None, help="For --preset: how many candidates the search considers.")
@click.option("--method", default=None, help="The HTTP method. [default: POST]")
@click.option(
    "--body", default=None, help='JSON with "{vector}", "{k}", "{id}". [default: {"vector": ..., "top_k": 1}]'
)
@click.option(
    "--header",
    "headers",
    multiple=True,
    help="'Name: value'; ${ENV} is replaced and never stored, here, in --url and in --body.",
)
@click.option(
    "--similarity", default=None, metavar="JMESPATH", help="Where the best hit's score is. [default: similarity]"
)
@click.option("--id", default=None, metavar="JMESPATH", help="Where the best hit's id is, if it tells positions.")
@click.option("--score-map", default=None, help="What the score means: identity, 1-d, ... [default: inferred]")
@click.option("--tolerance", type=float, default=1e-5, show_default=True, help="|1 - similarity| of the vector itself.")
@click.option("--sample", type=click.IntRange(min=1), default=None, help="Only so many, spread over the file.")
@click.option(
    "--second-look",
    type=click.IntRange(min=0),
    default=10_000,
    show_default=True,
    help="Look for at most so many misses among the first 100 hits.",
)
@click.option("--duplicates", is_flag=True, help="Also count vectors that are stored more than once.")
@click.option(
    "--on-bad-record",
    type=click.Choice(["fail", "skip"]),
    default="fail",
    show_default=True,
    help="What NaN and infinity in a vector do: nothing is sent, or the vector fails.",
)
@click.option("--retry-failed", is_flag=True, help="Do the failed calls of a finished or stopped census again.")
@click.option("--fresh", is_flag=True, help="Throw away what is in OUT first.")
@flow_options(RetryOn.TRANSIENT)
@show_options
def check(**options: Any) -> int:
    """Take a census: ask the search API for every vector of VECTORS and see whether it finds that very vector.

    Exit code 1 also when every call was answered, but some vectors were not found as they should be.
    """
    try:
        import numpy as np  # noqa: F401
    except ImportError:
        raise UsageError(f"penstock check needs numpy: {how_to_install('vectors')}") from None
    from ..outbound.check import open_check

    with shown("check", options) as show:
        job = _job(show.say, options)
        show.hides(job.secrets())
        with open_check(job, show.say) as census:
            first = show.watch(str(job.out), unit="first answers")
            summary = run_loop(census.carry_out(show.watch(str(job.out)), first))
        show.finish(summary, str(job.out))
    return exit_code_of(summary, wrong=summary["not_right"])


def _job(say: Any, options: dict[str, Any]) -> Any:
    from ..outbound.check import CheckJob
    from ..outbound.vectors.bodies import DEFAULT_TEMPLATE

    if not (options["tolerance"] > 0 and math.isfinite(options["tolerance"])):
        raise UsageError(f"--tolerance must be above 0, not {options['tolerance']}")
    variables, typed = environment_with_token(options), options["url"]
    options["url"] = variables.url("--url", typed)
    if options["body"] is not None:
        options["body"] = variables.body("--body", options["body"])
    # What the command does not say, the preset says, and else it is what is usual.
    usual = {"method": "POST", "body": DEFAULT_TEMPLATE, "similarity": "similarity", "id": None, "score_map": None}
    named = {name: value for name in _VARIABLES if (value := options.pop(name)) is not None}
    shape = usual | _preset(options.pop("preset"), named, options["url"], say)
    path = shape.pop("path", "")
    options["url"], typed = _with_path(options["url"], path), _with_path(typed, path)
    return CheckJob(
        id_required=options["id"] is not None,
        flow=take_flow(options, variables),
        headers=tuple(map(variables.header, options.pop("headers"))),
        skip_bad_records=options.pop("on_bad_record") == "skip",
        **{name: options.pop(name) or value for name, value in shape.items()},
        **options,
        given=variables.given(**{"--url": typed}),
    )


def _preset(name: str | None, variables: dict[str, str], url: str, say: Any) -> dict[str, Any]:
    if name is None:
        if variables:
            raise UsageError(f"--{next(iter(variables))} only goes with --preset")
        return {}
    from ..outbound.vectors.presets import preset

    chosen = preset(name)
    filled = chosen.fill(variables)
    if chosen.warning:
        say(chosen.warning)
    return {
        # A whole endpoint is taken as it is; of a bare server the preset knows the path.
        "path": filled.path if urlsplit(url).path in ("", "/") else "",
        "method": chosen.method,
        "body": filled.body,
        "similarity": filled.similarity,
        "id": filled.id,
        "score_map": chosen.score_map,
    }


def _with_path(url: str, path: str) -> str:
    return f"{re.split('[?#]', url, maxsplit=1)[0].rstrip('/')}{path}" if path else url
