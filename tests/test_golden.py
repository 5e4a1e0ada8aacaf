"""Files of every format version there was are read, and mean what they meant."""

import json
from pathlib import Path

import numpy as np
import pytest

import vqindex as vq

FOLDER = Path(__file__).parent / "golden"
NAMES = sorted(path.stem for path in FOLDER.glob("*.vqi"))


def test_there_are_files_of_the_first_version():
    assert len([name for name in NAMES if name.startswith("v1-")]) == 5


@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_a_file_answers_as_on_the_day_it_was_written(name, mmap):
    path = FOLDER / f"{name}.vqi"
    expected = json.loads((FOLDER / f"{name}.json").read_text())
    index = vq.load(path, mmap=mmap)
    for key in ("spec", "metric", "seed"):
        assert getattr(index, key) == expected[key]
    assert index.is_fitted == expected["fitted"]
    assert index.settings["stages"] == "off"
    assert index.ids.tolist() == expected["index_ids"]

    q = np.array(expected["queries"])
    batch = index.search(q, k=10)
    assert batch.ids.tolist() == expected["ids"]
    for kind in ("scores", "distances"):
        np.testing.assert_array_equal(getattr(batch, kind), np.float32(expected[kind]))
    for i, query in enumerate(q):
        one = index.search(query, k=10)
        assert one.ids.tolist() == expected["ids"][i]
        np.testing.assert_array_equal(one.scores, np.float32(expected["scores"][i]))
    rows = index.reconstruct(index.ids[:3])
    np.testing.assert_array_equal(rows, np.float32(expected["reconstructed"]))


@pytest.mark.parametrize("name", NAMES)
def test_a_file_can_be_inspected_verified_and_added_to(name):
    path = FOLDER / f"{name}.vqi"
    expected = json.loads((FOLDER / f"{name}.json").read_text())
    vq.verify(path)
    about = vq.inspect(path)
    assert about["version"] == int(name.split("-")[0].removeprefix("v"))
    assert (about["n"], about["dim"]) == (38, 20)
    assert about["created_by"].startswith("vqindex ")
    assert vq.load(path).add(np.ones((1, 20))).tolist() == [expected["next_id"]]
