"""python -m benchmarks COMMAND: see --help, and --help of each"""

import argparse
import importlib
import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from benchmarks import machine


def count(text: str) -> int:
    """An integer of at least 1."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"must be an integer >= 1, got {text!r}")
    return int(text)


def cpus(text: str) -> list[int]:
    """Numbers of CPUs, as 3 or 2,3."""
    if not all(part.isdecimal() for part in text.split(",")):
        raise argparse.ArgumentTypeError(f"must be numbers as 3 or 2,3, got {text!r}")
    return [int(part) for part in text.split(",")]


def parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="print the record, not the table")
    common.add_argument("--save", action="store_true", help="append the record to results/")
    common.add_argument("--cpu", type=cpus, help="the CPUs to run on, as 2,3; the last by default")
    common.add_argument("--level", choices=machine.LEVELS, help="hold us and FAISS to such a CPU")
    data = argparse.ArgumentParser(add_help=False)
    data.add_argument("dataset", nargs="*", help="names or paths; all in the data folder if none")
    data.add_argument("--queries", type=count, default=1000, help="the first so many (1000)")
    data.add_argument("--rows", type=count, help="as many rows: the first, or more, with noise")
    data.add_argument("--wide", type=count, default=1, help="so many rows side by side as one (1)")
    data.add_argument("--seed", type=int, default=0, help="of our indexes (0)")
    out = argparse.ArgumentParser(prog="python -m benchmarks", description="The library's figures.")
    commands = out.add_subparsers(dest="command", required=True)
    codes = commands.add_parser(
        "distortion", parents=[common, data], help="every code: error beside theory, recall, bits"
    )
    codes.add_argument("--only", nargs="+", metavar="NAME", help="only systems named so, in part")
    codes.add_argument("--skip-slow", action="store_true", help="without what takes long to code")
    search = commands.add_parser(
        "search", parents=[common, data], help="recall and speed beside FAISS and turbovec"
    )
    search.add_argument("--rounds", type=count, default=5, help="times each is measured (5)")
    search.add_argument("--singles", type=count, default=1000, help="queries one by one (1000)")
    search.add_argument("--threads", type=count, default=1, help="of each library, and CPUs (1)")
    search.add_argument("--bits", type=int, nargs="+", help="only systems of these bits")
    search.add_argument("--only", nargs="+", metavar="NAME", help="only systems named so, in part")
    ivf = commands.add_parser(
        "ivf", parents=[common, data], help="with lists: recall against speed, beside peers"
    )
    ivf.add_argument("--rounds", type=count, default=5, help="times each is measured (5)")
    ivf.add_argument("--singles", type=count, default=200, help="queries one by one (200)")
    ivf.add_argument("--threads", type=count, default=1, help="of each library, and CPUs (1)")
    ivf.add_argument("--lists", type=count, nargs="+", help="numbers of them (by the rows)")
    ivf.add_argument("--only", nargs="+", metavar="NAME", help="only systems named so, in part")
    commands.add_parser(
        "bounds", parents=[common, data], help="what the first stage misses, by eps0"
    )
    commands.add_parser(
        "filters", parents=[common, data], help="what filters cost, by the share of rows allowed"
    )
    commands.add_parser(
        "large", parents=[common], help="up to a million rows: speed, memory, how both grow"
    )
    commands.add_parser(
        "startup", parents=[common], help="seconds of the import, first add and first search"
    )
    commands.add_parser(
        "gpu", parents=[common], help="searches on a GPU beside what it allows, and beside torch"
    )
    commands.add_parser(
        "kernels", parents=[common], help="what this machine allows, and each scan kernel beside it"
    )
    return out


def figures(chosen: argparse.Namespace) -> Iterator[tuple[dict[str, Any], str]]:
    """Each record of a command and its table. NumPy is imported here, after pinning."""
    if "dataset" not in chosen:
        module = importlib.import_module(f"benchmarks.{chosen.command}")
        record = module.run()
        yield record, module.report(record)
        return
    from benchmarks import bounds, data, distortion, filters, ivf, search

    names = chosen.dataset or data.default_names()
    sets = (data.load(name, chosen.queries, chosen.rows, chosen.wide) for name in names)
    if chosen.command == "distortion":
        record = distortion.run(
            sets, seed=chosen.seed, level=chosen.level,
            only=chosen.only, skip_slow=chosen.skip_slow,
        )  # fmt: skip
        yield record, distortion.report(record)
        return
    for dataset in sets:
        if chosen.command == "search":
            record = search.run(
                dataset, rounds=chosen.rounds, singles=chosen.singles, seed=chosen.seed,
                threads=chosen.threads, level=chosen.level, bits=chosen.bits, only=chosen.only,
            )  # fmt: skip
            text = search.report(record)
        elif chosen.command == "ivf":
            record = ivf.run(
                dataset, rounds=chosen.rounds, singles=chosen.singles, seed=chosen.seed,
                threads=chosen.threads, level=chosen.level, lists=chosen.lists, only=chosen.only,
            )  # fmt: skip
            text = ivf.report(record)
        else:
            module = filters if chosen.command == "filters" else bounds
            record = module.run(dataset, seed=chosen.seed)
            text = module.report(record)
        yield {"dataset": data.describe(dataset)} | record, f"{dataset}\n{text}\n"


def main(arguments: list[str] | None = None) -> None:
    """Run one command."""
    options = parser()
    chosen = options.parse_args(arguments)
    try:
        machine.pin(chosen.cpu, getattr(chosen, "threads", 1), chosen.level)
    except ValueError as error:
        options.error(str(error))
    for record, text in figures(chosen):
        head = {"command": chosen.command, "time": datetime.now(UTC).isoformat(timespec="seconds")}
        whole = head | {"machine": machine.describe()} | record
        print(json.dumps(whole) if chosen.json else text, flush=True)
        if chosen.save:
            from benchmarks import curves, picture, results

            paths = [results.save(whole)]
            if chosen.command == "distortion":
                paths += picture.save(whole)
            elif chosen.command == "ivf":
                paths += curves.save(whole)
            print(f"saved to {', '.join(map(str, paths))}", file=sys.stderr)


if __name__ == "__main__":
    main()
