"""ann-benchmarks' runner finds, builds and asks our definitions as they are shipped."""

from pathlib import Path

import numpy as np
import pytest

import vqindex
from vqindex.datasets import synthetic
from vqindex.errors import SpecError
from vqindex.integrations.ann_benchmarks.module import VQIndex

pytest.importorskip("yaml")
from tests.integrations import ann_benchmarks_runner as runner

FOLDER = Path(vqindex.__file__).parent / "integrations"
COUNT = 10


@pytest.fixture(scope="module", params=["euclidean", "angular"])
def data(request):
    metric = {"euclidean": "l2", "angular": "cosine"}[request.param]
    return request.param, synthetic(2000, 20, 25, metric, k=COUNT)


def recall(result, data, distance):
    """As ann-benchmarks has it: within the distance of the last true neighbour, plus 0.001."""
    last = np.sqrt(data.distances[:, -1]) if distance == "euclidean" else data.distances[:, -1]
    pairs = zip(result["distances"], last, strict=True)
    return np.mean([(found <= bound + 1e-3).sum() / COUNT for found, bound in pairs])


def test_definitions_cover_flat_and_lists():
    found = runner.definitions(FOLDER, "angular", 20)
    assert {each.algorithm for each in found} == {"vqindex"}
    assert {"IVF" in each.arguments[2] for each in found} == {False, True}
    assert all(each.arguments[:2] == ["angular", 20] for each in found)
    assert all(vqindex.index_factory(each.arguments[2]) is not None for each in found)


def test_no_result_takes_the_place_of_another():
    names = [
        runner.file_name(each, arguments)
        for each in runner.definitions(FOLDER, "angular", 20)
        for arguments in each.query_argument_groups or [[]]
    ]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.parametrize("spec", ["EDEN4", "IVF,SAQ4", "IVF,EDEN4,Rerank(f16)"])
def test_a_definition_is_run(data, spec, batch):
    distance, dataset = data
    definitions = runner.definitions(FOLDER, distance, dataset.d)
    (definition,) = [each for each in definitions if each.arguments[2] == spec]
    base, queries = (x.astype(np.float64) for x in (dataset.base, dataset.queries))
    results = runner.run(definition, base, queries, distance, count=COUNT, batch=batch)
    assert len(results) == max(len(definition.query_argument_groups), 1)
    assert len({result["name"] for result in results}) == len(results)
    shares = [recall(result, dataset, distance) for result in results]
    assert max(shares) > (0.98 if "Rerank" in spec else 0.8)
    if "IVF" in spec:
        assert min(shares) < max(shares)
    assert all(result["candidates"] == COUNT for result in results)
    assert all(result["dist_comps"] > 0 for result in results)
    size = 1024 * results[0]["index_size"]
    assert 2000 * 20 // 4 < size < 2000 * 20 * 40


def test_fewer_rows_than_are_asked_for_are_not_padded():
    algo = VQIndex("euclidean", 4, "EDEN4")
    algo.fit(np.eye(4, dtype=np.float32))
    assert sorted(algo.query(np.zeros(4, np.float32), 10)) == [0, 1, 2, 3]
    algo.batch_query(np.zeros((2, 4), np.float32), 10)
    assert [sorted(ids) for ids in algo.get_batch_results()] == [[0, 1, 2, 3]] * 2
    algo.done()
    assert algo.get_memory_usage() == 0


def test_wrong_metrics_and_arguments_are_named():
    with pytest.raises(SpecError, match="euclidean, angular; got 'hamming'"):
        VQIndex("hamming", 4, "EDEN4")
    algo = VQIndex("angular", 4, "EDEN4,Rerank(f16)")
    with pytest.raises(ValueError, match="call fit first"):
        algo.query(np.ones(4, np.float32), 1)
    algo.fit(np.eye(4, dtype=np.float32))
    with pytest.raises(SpecError, match=r"takes oversample; got \(1, 2\)"):
        algo.set_query_arguments(1, 2)
