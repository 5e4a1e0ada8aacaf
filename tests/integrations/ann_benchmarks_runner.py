"""A small stand-in for ann-benchmarks' loader of definitions and runner, which are not on PyPI.

It calls an algorithm as theirs do (ann_benchmarks/definitions.py and runner.py of 2023 and later):
configurations by glob, arguments as products, `<module>.module` imported, the constructor called
with base and own arguments, memory asked before and after `fit`, query arguments group by group,
each query timed alone, ids unique, distances computed from the rows, what is found kept in a file
named by all arguments. Rows and queries come as their file has them: float64 of its random sets.
"""

import itertools
import json
import re
import time
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import yaml


@dataclass(frozen=True)
class Definition:
    algorithm: str
    constructor: str
    module: str
    arguments: list[Any]
    query_argument_groups: list[list[Any]]


def definitions(folder: Path, metric: str, dimension: int) -> list[Definition]:
    """Those of every config.yml one level below a folder, as `--definitions` names it.

    Of algorithms of one name the last counts.
    """
    named = {}
    for path in sorted(folder.glob("*/config.yml")):
        by_metric = yaml.safe_load(path.read_text())["float"]
        for algorithm in [*by_metric.get("any", []), *by_metric.get(metric, [])]:
            named[algorithm["name"]] = algorithm
    found = []
    for algorithm in named.values():
        known = {"@metric": metric, "@dimension": dimension, "@count": 10}
        assert algorithm["docker_tag"]
        for group in algorithm["run_groups"].values():
            asked = _product(group["query_args"]) if "query_args" in group else []
            found += [
                Definition(
                    algorithm["name"], algorithm["constructor"], algorithm["module"],
                    [known.get(a, a) for a in [*algorithm["base_args"], *arguments]], asked,
                )
                for arguments in _product(group["args"])
            ]  # fmt: skip
    return found


def file_name(definition: Definition, arguments: list[Any]) -> str:
    """Where theirs keeps what was found."""
    text = json.dumps(definition.arguments + arguments, sort_keys=True)
    words = re.sub(r"\W+", "_", text).strip("_")
    return f"{definition.algorithm}/{words}.hdf5"


def _product(lists: list[Any]) -> list[list[Any]]:
    each = [part if isinstance(part, list) else [part] for part in lists]
    return [list(chosen) for chosen in itertools.product(*each)]


def run(
    definition: Definition, train: Any, test: Any, distance: str, *, count: int, batch: bool
) -> list[dict[str, Any]]:
    """Attributes and found ids and distances of every group of query arguments."""
    module = import_module(f"{definition.module}.module")
    algo = getattr(module, definition.constructor)(*definition.arguments)
    results = []
    try:
        before = algo.get_memory_usage()
        algo.fit(train)
        index_size = algo.get_memory_usage() - before
        for arguments in definition.query_argument_groups or [[]]:
            if arguments:
                algo.set_query_arguments(*arguments)
            answers = _batch(algo, test, count) if batch else _one_by_one(algo, test, count)
            assert all(len(ids) == len(set(ids)) <= count for _, ids in answers)
            results.append({
                "name": str(algo),
                "index_size": index_size,
                "best_search_time": sum(taken for taken, _ in answers) / len(test),
                "candidates": sum(len(ids) for _, ids in answers) / len(test),
                "distances": [_distances(distance, train[np.asarray(ids, int)], query)
                              for query, (_, ids) in zip(test, answers, strict=True)],
            } | algo.get_additional())  # fmt: skip
    finally:
        algo.done()
    return results


def _one_by_one(algo: Any, test: Any, count: int) -> list[tuple[float, Any]]:
    answers = []
    for query in test:
        start = time.time()
        ids = algo.query(query, count)
        answers.append((time.time() - start, ids))
    return answers


def _batch(algo: Any, test: Any, count: int) -> list[tuple[float, Any]]:
    start = time.time()
    algo.batch_query(test, count)
    taken = time.time() - start
    return [(taken / len(test), ids) for ids in algo.get_batch_results()]


def _distances(distance: str, rows: Any, query: Any) -> Any:
    if distance == "euclidean":
        return np.linalg.norm(rows - query, axis=1)
    return 1 - rows @ query / np.linalg.norm(rows, axis=1) / np.linalg.norm(query)
