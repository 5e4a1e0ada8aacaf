"""python -m benchmarks COMMAND: see --help, and --help of each"""

import argparse
import importlib
import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
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
    _run_arguments(commands.add_parser("run", help="every system's operating points, from cases"))
    compare = commands.add_parser("compare", help="speeds of two results as ratios, with noise")
    compare.add_argument("old", metavar="OLD", help="a .jsonl file of run")
    compare.add_argument("new", metavar="NEW", help="another, or the same to compare its commits")
    drawn = commands.add_parser("report", help="a page, pictures and a CSV of what run measured")
    drawn.add_argument("files", nargs="*", type=Path, metavar="FILE", help="results/run.jsonl")
    drawn.add_argument("--out", type=Path, default=Path("report"), help="the folder (report)")
    drawn.add_argument("--title", default="vqindex beside others")
    readme = commands.add_parser("readme", help="README's tables and pictures, from results/")
    readme.add_argument(
        "--check", action="store_true", help="only tell whether they are up to date"
    )
    codes = commands.add_parser(
        "distortion", parents=[common, data], help="every code: error beside theory, recall, bits"
    )
    codes.add_argument("--only", nargs="+", metavar="NAME", help="only systems named so, in part")
    codes.add_argument("--skip-slow", action="store_true", help="without what takes long to code")
    commands.add_parser(
        "queries", parents=[common, data], help="what codes gain by learning from queries"
    )
    commands.add_parser(
        "bounds", parents=[common, data], help="what the first stage misses, by eps0"
    )
    retrieval = commands.add_parser(
        "retrieval", parents=[common, data], help="what quantization costs those who ask"
    )
    retrieval.add_argument("--only", nargs="+", metavar="NAME", help="only indexes named so")
    commands.add_parser(
        "costs", parents=[common, data], help="the ways of a search timed, and what chooses them"
    )
    commands.add_parser(
        "filters", parents=[common, data], help="what filters cost, by the share of rows allowed"
    )
    store = commands.add_parser(
        "store", parents=[common, data], help="the document store beside SQLite and its own index"
    )
    store.add_argument("--rounds", type=count, default=3, help="times each is filled (3)")
    commands.add_parser(
        "large", parents=[common], help="up to a million rows: speed, memory, how both grow"
    )
    commands.add_parser(
        "startup", parents=[common], help="seconds of the import, first add and first search"
    )
    gpu = commands.add_parser(
        "gpu", parents=[common], help="searches on a GPU beside what it allows, and beside torch"
    )
    gpu.add_argument("--only", nargs="+", metavar="NAME", help="only cases named so, in part")
    commands.add_parser(
        "kernels", parents=[common], help="what this machine allows, and each scan kernel beside it"
    )
    return out


def _run_arguments(own: argparse.ArgumentParser) -> None:
    own.add_argument("cases", nargs="?", default="quick", help="a name in cases/, or a .toml file")
    own.add_argument("--datasets", nargs="+", metavar="NAME", help="in place of the file's")
    own.add_argument("--only", nargs="+", metavar="NAME", help="only systems named so, in part")
    own.add_argument("--tests", nargs="*", metavar="PATH", help="these first, not the file's")
    own.add_argument("--out", type=Path, metavar="JSONL", help="default: results/run[-LEVEL].jsonl")
    own.add_argument("--again", action="store_true", help="also what the file has")
    own.add_argument("--cpu", type=cpus, help="the CPUs to run on, as 2,3; the last by default")
    own.add_argument("--level", choices=machine.LEVELS, help="hold us and FAISS to such a CPU")


def measure(chosen: argparse.Namespace) -> int:
    """The command run; its exit code. FAISS has its level when it is first imported."""
    machine.hold(chosen.level)
    from benchmarks import cases, gate, run

    try:
        plan = run.chosen(cases.read_plan(chosen.cases, chosen.datasets), chosen.only)
        points = run.Run(
            plan, chosen.out or run.results(chosen.level), cpus=chosen.cpu, level=chosen.level,
            tests=chosen.tests, again=chosen.again,
        )()  # fmt: skip
    except gate.RedTests as red:
        print(f"{red}\n\nnothing is measured while its tests fail", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted: the same command goes on where a heat is missing", file=sys.stderr)
        return 130
    print(run.report(points))
    return 0


def draw(chosen: argparse.Namespace) -> None:
    """The command report."""
    from benchmarks import run
    from vqindex.evaluate import latest, read_points, report

    files = chosen.files or [run.RESULTS]
    points = latest(point for path in files for point in read_points(path))
    print(*report.write(points, chosen.out, chosen.title), sep="\n")


def figures(chosen: argparse.Namespace) -> Iterator[tuple[dict[str, Any], str]]:
    """Each record of a command and its table. NumPy is imported here, after pinning."""
    if "dataset" not in chosen:
        module = importlib.import_module(f"benchmarks.{chosen.command}")
        record = module.run(chosen.only) if chosen.command == "gpu" else module.run()
        yield record, module.report(record)
        return
    from benchmarks import data, distortion, retrieval, store

    known = retrieval if chosen.command == "retrieval" else data
    names = chosen.dataset or known.default_names()
    sets = (data.load(name, chosen.queries, chosen.rows, chosen.wide) for name in names)
    if chosen.command == "distortion":
        record = distortion.run(
            sets, seed=chosen.seed, level=chosen.level,
            only=chosen.only, skip_slow=chosen.skip_slow,
        )  # fmt: skip
        yield record, distortion.report(record)
        return
    for dataset in sets:
        if chosen.command == "retrieval":
            record = retrieval.run(dataset, seed=chosen.seed, only=chosen.only)
            text = retrieval.report(record)
        elif chosen.command == "store":
            record = store.run(dataset, rounds=chosen.rounds)
            text = store.report(record)
        else:
            module = importlib.import_module(f"benchmarks.{chosen.command}")
            record = module.run(dataset, seed=chosen.seed)
            text = module.report(record)
        yield {"dataset": data.describe(dataset)} | record, f"{dataset}\n{text}\n"


def main(arguments: list[str] | None = None) -> None:
    """Run one command."""
    options = parser()
    chosen = options.parse_args(arguments)
    try:
        if chosen.command == "run":
            sys.exit(measure(chosen))
        if chosen.command == "report":
            return draw(chosen)
        if chosen.command == "readme":
            from benchmarks import readme

            sys.exit(readme.check() if chosen.check else readme.write())
        if chosen.command == "compare":
            from benchmarks import compare

            print(compare.report(compare.read(chosen.old, chosen.new)))
            return
        machine.pin(chosen.cpu, 1, chosen.level)
    except (ValueError, OSError) as error:
        options.error(str(error))
    for record, text in figures(chosen):
        head = {"command": chosen.command, "time": datetime.now(UTC).isoformat(timespec="seconds")}
        whole = head | {"machine": machine.describe()} | record
        print(json.dumps(whole) if chosen.json else text, flush=True)
        if chosen.save:
            from benchmarks import picture, results

            paths = [results.save(whole)]
            if chosen.command == "distortion":
                paths += picture.save(whole)
            print(f"saved to {', '.join(map(str, paths))}", file=sys.stderr)


if __name__ == "__main__":
    main()
