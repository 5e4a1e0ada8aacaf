"""The command line: vqindex demo | bench | build | search | info | verify | warmup |
config.

Results go to standard output, as text or with --json as one JSON document; progress and errors go
to standard error. Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.
"""

import argparse
import json
import os
import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import vqindex as vq
from vqindex import bench, demo
from vqindex.arrays import METRICS
from vqindex.config import show_config, warmup
from vqindex.datasets import read_vectors
from vqindex.errors import CorruptFileError, DtypeError, SpecError
from vqindex.evaluate import recall
from vqindex.progress import Progress

Payload = dict[str, Any]
QUERIES = 1 << 14  # read and searched at a time
_VECTORS = "a file of vectors: .npy .fvecs .bvecs .fbin ..., or file.hdf5:name"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; `arguments` are those of the process if None."""
    args = _parser().parse_args(arguments)
    try:
        payload, text = args.run(args)
        print(json.dumps(_plain(payload)) if args.json else text, flush=True)
        return 0
    except KeyboardInterrupt:
        print("vqindex: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader has had enough; Python would complain once more at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except SpecError as error:
        print(f"vqindex: {error}", file=sys.stderr)
        return 2
    except (ValueError, DtypeError, OSError, ImportError, MemoryError) as error:
        print(f"vqindex: {error or type(error).__name__}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("vqindex", description="Vector search on quantized codes.")
    parser.add_argument("--version", action="version", version=f"vqindex {vq.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(run: Callable[[argparse.Namespace], tuple[Payload, str]], about: str) -> Any:
        name = run.__name__.removeprefix("_")
        new = commands.add_parser(name, help=about, description=about)
        new.add_argument("--json", action="store_true", help="print JSON and nothing else")
        new.set_defaults(run=run)
        return new

    _demo_arguments(command(_demo, "compare with FAISS on a dataset: tables and pictures"))
    _bench_arguments(command(_bench, "your own data: which index to take, and what it gives"))
    _build_arguments(command(_build, "build an index from a file of vectors and save it"))
    _search_arguments(command(_search, "find the nearest rows of every query in a file"))
    for run, about in (
        (_info, "what a file says of its index"),
        (_verify, "check every byte of an index file"),
    ):
        command(run, about).add_argument("index", type=Path, metavar="INDEX")
    command(_warmup, "compile every kernel now")
    command(_config, "CPU level, threads, kernel cache and versions")
    return parser


def _demo_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", nargs="?", default="sample", help="a name or an .hdf5 file")
    parser.add_argument(
        "--picture", type=Path, metavar="PNG", help="default: demo/DATASET.png; curves beside it"
    )
    parser.add_argument("--rounds", type=_positive, default=5, help="times speed is measured")
    parser.add_argument("--threads", type=_positive, default=1, help="default: 1")
    parser.add_argument("--seed", type=int, default=0)
    _progress(parser)


def _bench_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--base", required=True, metavar="FILE", help=_VECTORS)
    parser.add_argument("--queries", required=True, metavar="FILE", help="likewise")
    parser.add_argument("--metric", choices=METRICS, default="cosine", help="default: cosine")
    parser.add_argument("--recall", type=float, default=0.95, help="to be reached, default 0.95")
    parser.add_argument("-k", type=_positive, default=10, help="neighbours, default 10")
    parser.add_argument("--specs", nargs="+", metavar="SPEC", help="default: by rows and dimension")
    parser.add_argument("--batch", action="store_true", help="queries come many in a call")
    parser.add_argument("--threads", type=_positive, default=1, help="default: 1")
    parser.add_argument("--rounds", type=_positive, default=5, help="times speed is measured")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("bench"), help="folder of the report")
    _progress(parser)


def _build_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("input", metavar="INPUT", help=_VECTORS)
    parser.add_argument("output", type=Path, metavar="OUTPUT", help="the index, replaced if there")
    parser.add_argument("--spec", default="EDEN4", help="factory string, default EDEN4")
    parser.add_argument("--metric", choices=METRICS, default="cosine", help="default: cosine")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--ids", type=Path, metavar="NPY", help="integers (n,); default: 0 to n - 1"
    )
    parser.add_argument("--threads", type=_positive, help="default: all this process may use")
    _progress(parser)


def _search_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("index", type=Path, metavar="INDEX")
    parser.add_argument("queries", metavar="QUERIES", help=_VECTORS)
    parser.add_argument("-k", type=_positive, default=10, help="neighbours, default 10")
    parser.add_argument("--output", type=Path, metavar="NPZ", help="write arrays ids and distances")
    parser.add_argument("--truth", metavar="FILE", help="true ids (nq, k), to report recall")
    parser.add_argument("--mmap", action="store_true", help="leave the codes in the file")
    parser.add_argument("--threads", type=_positive, help="default: all this process may use")
    _progress(parser)


def _progress(parser: argparse.ArgumentParser) -> None:
    about = "on standard error; default: where that is a terminal"
    shown = sys.stderr.isatty()
    parser.add_argument(
        "--progress", action=argparse.BooleanOptionalAction, default=shown, help=about
    )


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"must be an integer >= 1, got {text!r}")
    return int(text)


def _demo(args: argparse.Namespace) -> tuple[Payload, str]:
    picture = args.picture or Path("demo", f"{Path(args.dataset).stem}.png")
    result = demo.run(
        args.dataset, picture=picture, rounds=args.rounds, threads=args.threads, seed=args.seed,
        progress=args.progress,
    )  # fmt: skip
    return asdict(result), str(result)


def _bench(args: argparse.Namespace) -> tuple[Payload, str]:
    def tell(kind: str, label: str) -> None:
        if args.progress and kind not in ("ask", "round"):
            print(f"{kind}: {label}", file=sys.stderr)

    found = bench.run(
        read_vectors(args.base), read_vectors(args.queries), metric=args.metric,
        recall=args.recall, k=args.k, specs=args.specs, batch=args.batch, threads=args.threads,
        rounds=args.rounds, seed=args.seed, folder=args.output, name=Path(args.base).stem,
        command=shlex.join(["vqindex", *sys.argv[1:]]), tell=tell,
    )  # fmt: skip
    return asdict(found) | {"code": found.code}, str(found)


def _build(args: argparse.Namespace) -> tuple[Payload, str]:
    index = vq.index_factory(args.spec, metric=args.metric, seed=args.seed)
    vectors = read_vectors(args.input)
    ids = None if args.ids is None else _read_ids(args.ids)
    start = time.perf_counter()
    index.add(vectors, ids, threads=args.threads, progress=args.progress)
    index.save(args.output)
    return _shown({
        "index": args.output,
        "spec": index.spec,
        "metric": index.metric,
        "n": len(index),
        "dim": index.dim,
        "bytes_per_row": index.bytes_per_row,
        "file_bytes": args.output.stat().st_size,
        "seconds": time.perf_counter() - start,
    })  # fmt: skip


def _read_ids(path: Path) -> NDArray[Any]:
    try:
        return np.asarray(np.load(path, allow_pickle=False))
    except (ValueError, EOFError) as error:
        raise CorruptFileError(f"{path} is not a whole .npy file: {error}") from error


def _search(args: argparse.Namespace) -> tuple[Payload, str]:
    index, queries = vq.load(args.index, mmap=args.mmap), read_vectors(args.queries)
    truth = None if args.truth is None else read_vectors(args.truth).astype(np.int64)
    tell = Progress(args.progress, len(queries), "search")
    start = time.perf_counter()
    parts = []
    for first in range(0, max(len(queries), 1), QUERIES):
        chunk = queries[first : first + QUERIES]
        parts.append(index.search(chunk, args.k, threads=args.threads))
        tell(first + len(chunk))
    ids = np.concatenate([part.ids for part in parts])
    distances = np.concatenate([part.distances for part in parts])
    summary: Payload = {"nq": len(ids), "k": args.k, "seconds": time.perf_counter() - start}
    if truth is not None:
        summary["recall"] = recall(ids, truth, args.k)
    if args.output is not None:
        with args.output.open("wb") as file:
            np.savez(file, ids=ids, distances=distances)
        return _shown(summary | {"output": args.output})
    lines = [
        f"{i}: " + " ".join(f"{row} ({x:.6g})" for row, x in zip(*found, strict=True))
        for i, found in enumerate(zip(ids.tolist(), distances.tolist(), strict=True))
    ]
    return summary | {"ids": ids, "distances": distances}, "\n".join([*lines, *_lines(summary)])


def _info(args: argparse.Namespace) -> tuple[Payload, str]:
    return _shown(vq.inspect(args.index))


def _verify(args: argparse.Namespace) -> tuple[Payload, str]:
    vq.verify(args.index)
    return {"index": args.index, "ok": True}, f"{args.index}: whole"


def _warmup(args: argparse.Namespace) -> tuple[Payload, str]:
    return _shown({"seconds": warmup(), "kernel_cache": show_config()["kernel_cache"]})


def _config(args: argparse.Namespace) -> tuple[Payload, str]:
    return _shown(show_config())


def _shown(payload: Payload) -> tuple[Payload, str]:
    return payload, "\n".join(_lines(payload))


def _lines(payload: Mapping[str, Any], indent: str = "") -> list[str]:
    out = []
    for name, value in payload.items():
        if isinstance(value, Mapping) and any(isinstance(v, Mapping) for v in value.values()):
            out += [f"{indent}{name}:", *_lines(value, indent + "  ")]
        elif isinstance(value, Mapping):
            out.append(f"{indent}{name}: " + ", ".join(f"{k} {v}" for k, v in value.items()))
        else:
            shown = f"{value:.4g}" if isinstance(value, float) else value
            out.append(f"{indent}{name}: {shown}")
    return out


def _plain(value: Any) -> Any:
    """What JSON knows: no arrays, no paths, null for the distance of a row that is not there."""
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return str(value) if isinstance(value, os.PathLike) else value
