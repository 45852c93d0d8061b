"""``python -m tests.bench``: what the service costs beside the framework and the commands under it.

Each round makes every measurement once, so that a machine that is slow for a while slows them all.
"""

import shutil
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import click
import msgspec

from tests.bench import (
    cluster,
    contention,
    dispatch,
    endpoints,
    mails,
    memory,
    otps,
    recovery,
    scale,
)
from tests.bench.figures import Measure, Recorder, surroundings

PARTS = {
    "endpoints": endpoints,
    "mails": mails,
    "otps": otps,
    "memory": memory,
    "dispatch": dispatch,
    "scale": scale,
    "contention": contention,
    "cluster": cluster,
    "recovery": recovery,
}
NEEDED = {"wrk": "wrk", "redis-benchmark": "redis-tools", "redis-server": "redis-server"}
"""Programs, and the Debian packages they are in."""


@click.command(help=__doc__)
@click.argument("parts", nargs=-1, type=click.Choice(list(PARTS)))
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(1))
@click.option(
    "--seconds", default=3.0, show_default=True, help="How long each measurement under load lasts."
)
@click.option(
    "--only", multiple=True, help="Measure only what has this, or another such text, in its name."
)
@click.option("--json", "as_json", is_flag=True, help="Print every round's figures as JSON.")
def main(
    parts: tuple[str, ...], rounds: int, seconds: float, only: tuple[str, ...], *, as_json: bool
) -> None:
    missing = [package for program, package in NEEDED.items() if shutil.which(program) is None]
    if missing:
        raise click.ClickException(f"apt-get install {' '.join(missing)}")
    recorder, chosen = Recorder(), parts or tuple(PARTS)
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        measures: dict[str, Measure] = {}
        for part in chosen:
            home = directory / part
            home.mkdir()
            prepared = stack.enter_context(PARTS[part].prepared(home, seconds))
            measures |= {
                name: measure
                for name, measure in prepared.items()
                if not only or any(text in name for text in only)
            }
        for number in range(rounds):
            for name, measure in measures.items():
                print(f"round {number + 1}/{rounds}: {name}", file=sys.stderr)
                time.sleep(0.2)
                recorder.add(name, measure())
    tables = [table for part in chosen for table in PARTS[part].tables(recorder)]
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode({**surroundings(), "tables": tables})))
        return
    click.echo(
        " ".join(f"{name}: {value}." for name, value in surroundings().items())
        + f" Medians (min-max) of {rounds} rounds.\n"
    )
    for table in tables:
        click.echo(table)


if __name__ == "__main__":
    main()
