"""Which dictionary entries answer the questions of the WordNet sets: those that they come from.

A question is a usage example of WordNet, a document an entry, "word, synonym: gloss" without its
examples; relevant to an example are the entries that give it. WordNet's own files tell:

    python -m benchmarks.relevant WORDNET TEXTS > benchmarks/relevant.json

WORDNET is the folder of data.noun and the like of WordNet 3.0 (Debian's wordnet-base has it in
/usr/share/wordnet), TEXTS the texts of the large set, {"train": [...], "test": [...]}.
"""

import gzip
import json
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from vqindex import datasets

LARGE = "wordnet-minilm-384-angular"
_FILE = Path(__file__).with_suffix(".json")
_EXAMPLE = re.compile(r'"([^"]*)"')
_WITHOUT = re.compile(r'\s*;?\s*"[^"]*"')
_MARKER = re.compile(r"\((?:a|p|ip)\)$")  # where an adjective may stand


def judged() -> dict[str, list[list[int]]]:
    """By the name of a set, the relevant rows of each of its queries; some have none."""
    found: dict[str, list[list[int]]] = json.loads(_FILE.read_text(encoding="utf-8"))
    return found


def entries(lines: Iterable[str]) -> Iterator[tuple[str, list[str]]]:
    """The text of each entry of a WordNet data file, and its examples."""
    for line in lines:
        if line.startswith("  "):  # the licence
            continue
        head, _, gloss = line.partition(" | ")
        fields = head.split()
        words = fields[4 : 4 + 2 * int(fields[3], 16) : 2]
        names = ", ".join(_MARKER.sub("", word).replace("_", " ") for word in words)
        meaning = _WITHOUT.sub("", gloss).strip().strip(";").strip()
        yield f"{names}: {meaning}", [example.strip() for example in _EXAMPLE.findall(gloss)]


def relevant(
    sources: Mapping[str, set[str]], documents: Sequence[str], questions: Sequence[str]
) -> list[list[int]]:
    """The rows of documents that each question comes from.

    sources  the texts of the entries by example
    """
    rows = defaultdict(list)
    for row, text in enumerate(documents):
        rows[text].append(row)
    return [
        sorted(row for text in sources.get(question, ()) for row in rows.get(text, ()))
        for question in questions
    ]


def main(wordnet: str, texts: str) -> None:
    """Print the relevant rows of both sets as JSON, a line each."""
    sources = defaultdict(set)
    for path in sorted(Path(wordnet).glob("data.*")):
        for text, examples in entries(path.read_text(encoding="latin-1").splitlines()):
            for example in examples:
                sources[example].add(text)
    large = json.loads(gzip.decompress(Path(texts).read_bytes()))
    found = {
        LARGE: relevant(sources, large["train"], large["test"]),
        "sample": relevant(sources, *datasets.sample_texts()),
    }
    lines = [f"{json.dumps(name)}: {json.dumps(rows)}" for name, rows in found.items()]
    print("{\n" + ",\n".join(lines) + "\n}")


if __name__ == "__main__":
    main(*sys.argv[1:])
