"""The command line's `vqindex store`: documents as JSON lines, in and out.

    {"id": "a", "text": "...", "metadata": {"year": 1999}, "vector": [0.1, 0.2]}

All but the id may be left out. Each command returns what it found, as data and as text.
"""

import argparse
import importlib
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from vqindex.arrays import METRICS
from vqindex.errors import DocumentError, FilterError, SpecError
from vqindex.progress import Progress
from vqindex.store.documents import Hit
from vqindex.store.store import VectorStore

Found = tuple[dict[str, Any], str]
_KEYS = {"id", "text", "metadata", "vector"}


def arguments(parser: argparse.ArgumentParser) -> None:
    """The commands of `vqindex store` and their arguments."""
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(run: Callable[[argparse.Namespace], Found], about: str) -> Any:
        new = commands.add_parser(run.__name__.strip("_"), help=about, description=about)
        new.add_argument("folder", type=Path, metavar="FOLDER")
        new.add_argument("--json", action="store_true", help="print one JSON document")
        new.set_defaults(run=run)
        return new

    new = command(_create, "make an empty store")
    new.add_argument("--metric", choices=METRICS, default="cosine", help="default: cosine")
    new.add_argument("--originals", choices=("f32", "f16"), default="f32", help="default: f32")
    new.add_argument("--spec", help="factory string of its index; default: chosen as it grows")
    new = command(_add, "add documents, one in each line")
    new.add_argument("input", nargs="?", default="-", metavar="JSONL", help="default: read them")
    new.add_argument("--upsert", action="store_true", help="replace documents that are there")
    new.add_argument("--batch", type=_count, default=1000, help="written together, default 1000")
    _embed(new)
    about = "on standard error; default: where that is a terminal"
    new.add_argument(
        "--progress", action=argparse.BooleanOptionalAction, default=sys.stderr.isatty(), help=about
    )
    new = command(_search, "find the documents nearest to each question, one in each line")
    new.add_argument("input", nargs="?", default="-", metavar="JSONL",
                     help='{"vector": [...]} or {"text": "..."}; default: read them')  # fmt: skip
    new.add_argument("-k", type=_count, default=10, help="documents, default 10")
    new.add_argument("--where", type=_where, metavar="JSON", help="only documents that pass")
    new.add_argument("--threshold", type=float, help="only documents with such a score")
    _embed(new)
    new = command(_delete, "remove documents")
    new.add_argument("ids", nargs="*", metavar="ID")
    new.add_argument("--where", type=_where, metavar="JSON", help="those that pass")
    command(_info, "what a store holds, and the bytes it takes")
    command(_verify, "read everything, and hold it against each other")


def _embed(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--embed", type=_function, metavar="MODULE:FUNCTION", help="makes vectors of texts"
    )


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"must be an integer >= 1, got {text!r}")
    return int(text)


def _where(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"must be JSON: {error}") from error


def _function(text: str) -> Any:
    module, _, name = text.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise argparse.ArgumentTypeError(f"must be module:function: {error}") from error


def _create(args: argparse.Namespace) -> Found:
    if (args.folder / "documents.db").exists():
        raise SpecError(f"{args.folder} holds a store already.")
    with VectorStore(
        args.folder, metric=args.metric, originals=args.originals, spec=args.spec
    ) as store:
        return _shown({"folder": str(args.folder), "metric": store.metric})


def _add(args: argparse.Namespace) -> Found:
    written, last, size = 0, 0, Path(args.input).stat().st_size if args.input != "-" else 0
    with _opened(args) as store, _told(lambda: (written, last)):
        tell = Progress(args.progress and size > 0, size, "add")
        lines = _lines(args.input)
        while part := list(islice(lines, args.batch)):
            documents = [_document(number, one) for number, one, _ in part]
            columns: dict[str, list[Any]] = {
                key: [one.get(key) for one in documents] for key in _KEYS
            }
            vectors = columns["vector"]
            write = store.upsert if args.upsert else store.add
            written += write(
                columns["id"],
                None if all(vector is None for vector in vectors) else vectors,
                columns["text"],
                columns["metadata"],
            )
            last = part[-1][0]
            tell(min(part[-1][2], size - 1))
        tell(size)
        return _shown({"written": written, "documents": len(store)})


@contextmanager
def _told(stored: Callable[[], tuple[int, int]]) -> Iterator[None]:
    """Where adding fails, say how many documents were stored before, and up to which line."""
    try:
        yield
    except Exception:
        written, last = stored()
        some = f"{written} documents, those of lines 1 to {last}, and none after them"
        print(f"vqindex: stored before this failed: {some if written else 0}", file=sys.stderr)
        raise


def _search(args: argparse.Namespace) -> Found:
    rows = []
    with _opened(args, read_only=True) as store:
        for number, question, _ in _lines(args.input):
            if not isinstance(question, dict) or len(question.keys() & {"vector", "text"}) != 1:
                raise DocumentError(f'line {number}: a question has a "vector" or a "text".')
            query = question["vector"] if "vector" in question else question["text"]
            if not isinstance(query, str | list):
                raise DocumentError(f"line {number}: got {query!r} for a question.")
            hits = store.search(query, args.k, args.where, threshold=args.threshold)
            rows += [{"query": number, **_row(hit)} for hit in hits]
    return {"hits": rows}, "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)


def _row(hit: Hit) -> dict[str, Any]:
    document = hit.document
    return {
        "id": document.id, "score": hit.score, "distance": hit.distance,
        "text": document.text, "metadata": document.metadata,
    }  # fmt: skip


def _delete(args: argparse.Namespace) -> Found:
    if not args.ids and args.where is None:
        raise FilterError("delete needs ids or --where.")
    with _opened(args) as store:
        gone = store.remove(args.ids or None, args.where)
        return _shown({"deleted": gone, "documents": len(store)})


def _info(args: argparse.Namespace) -> Found:
    with _opened(args, read_only=True) as store:
        return _shown(store.info())


def _verify(args: argparse.Namespace) -> Found:
    with _opened(args, read_only=True) as store:
        store.verify()
    return {"folder": str(args.folder), "ok": True}, f"{args.folder}: whole"


def _opened(args: argparse.Namespace, read_only: bool = False) -> VectorStore:
    """A store that must be there already."""
    VectorStore(args.folder, read_only=True).close()
    return VectorStore(args.folder, read_only=read_only, embed=getattr(args, "embed", None))


def _lines(name: str) -> Iterator[tuple[int, Any, int]]:
    """The number of each line, what it says, and how many bytes have been read."""
    file = sys.stdin.buffer if name == "-" else open(name, "rb")  # noqa: SIM115
    read = 0
    with file:
        for number, line in enumerate(file, 1):
            read += len(line)
            if line.strip():
                try:
                    yield number, json.loads(line), read
                except (ValueError, RecursionError) as error:
                    raise DocumentError(f"line {number} is not JSON: {error}") from error


def _document(number: int, one: Any) -> dict[str, Any]:
    if not isinstance(one, dict) or "id" not in one or not one.keys() <= _KEYS:
        raise DocumentError(
            f'line {number}: a document has an "id" and may have "text", "metadata" and "vector".'
        )
    return one


def _shown(payload: dict[str, Any]) -> Found:
    return payload, "\n".join(f"{name}: {value}" for name, value in payload.items())
