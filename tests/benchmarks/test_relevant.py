from benchmarks import relevant
from vqindex import datasets

LINES = [
    "  1 This software and database is being provided to you",
    "00001740 00 a 02 able(p) 0 fit_for 1 002 = 05200169 n 0000 ! 00002098 a 0101 | (usually "
    'followed by `to\') having the means; "able to swim"; "was able to program"  ',
    '00002098 30 v 01 bray 0 000 01 + 02 00 | laugh loudly; "he brayed" - Anon.  ',
]


def test_entries_have_their_words_their_meaning_and_their_examples():
    assert list(relevant.entries(LINES)) == [
        ("able, fit for: (usually followed by `to') having the means",
         ["able to swim", "was able to program"]),
        ("bray: laugh loudly - Anon.", ["he brayed"]),
    ]  # fmt: skip


def test_relevant_are_all_rows_of_the_entries_that_give_an_example():
    sources = {"a cold day": {"cold: not warm", "day: 24 hours"}, "lost": {"gone: away"}}
    documents = ["day: 24 hours", "cold: not warm", "day: 24 hours"]
    found = relevant.relevant(sources, documents, ["lost", "a cold day", "unknown"])
    assert found == [[], [0, 1, 2], []]


def test_what_is_judged_of_the_sample_fits_its_texts():
    documents, questions = datasets.sample_texts()
    rows = relevant.judged()["sample"]
    assert len(rows) == len(questions)
    pairs = {questions[i]: [documents[row] for row in own] for i, own in enumerate(rows) if own}
    assert len(pairs) == 58
    shared = [
        any(word[:4] in question.casefold() for entry in entries for word in names(entry))
        for question, entries in pairs.items()
    ]
    assert sum(shared) >= 0.9 * len(shared)  # an example has the word that it is of, mostly


def names(entry):
    return entry.partition(":")[0].casefold().split(", ")
