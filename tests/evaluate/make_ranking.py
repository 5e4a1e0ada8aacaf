"""Make ranking.json again, by pytrec-eval and scikit-learn, which tests do not need:

pip install pytrec-eval-terrier scikit-learn && python tests/evaluate/make_ranking.py
"""

import json
from pathlib import Path

import numpy as np
import pytrec_eval
from sklearn.metrics import average_precision_score, ndcg_score

CASES, QUERIES, ROWS, FOUND = 12, 5, 40, 20


def trec(found, gains, k):
    """trec_eval's means over the queries that have a relevant row."""
    judged = [i for i, own in enumerate(gains) if any(gain > 0 for gain in own.values())]
    run = {str(i): {str(row): float(-place) for place, row in enumerate(found[i])} for i in judged}
    qrels = {str(i): {str(row): gain for row, gain in gains[i].items()} for i in judged}
    asked = {f"ndcg_cut.{k}", f"map_cut.{k}", f"success.{k}", "recip_rank"}
    done = pytrec_eval.RelevanceEvaluator(qrels, asked).evaluate(run).values()

    def mean(name):
        return float(np.mean([one[name] for one in done]))

    cut = [one["recip_rank"] * (one["recip_rank"] >= 1 / k) for one in done]
    return {
        "ndcg": mean(f"ndcg_cut_{k}"), "mean_average_precision": mean(f"map_cut_{k}"),
        "hit_rate": mean(f"success_{k}"), "mrr": float(np.mean(cut)),
    }  # fmt: skip


def sklearn(order, gains):
    """scikit-learn's figures of every row ranked: nDCG at several k, average precision of all."""
    scores, truth = np.empty((1, ROWS)), np.zeros((1, ROWS))
    scores[0, order] = -np.arange(ROWS)
    truth[0, list(gains)] = list(gains.values())
    return {
        "ndcg": {str(k): float(ndcg_score(truth, scores, k=k)) for k in (1, 5, 10, ROWS)},
        "average_precision": float(average_precision_score(truth[0] > 0, scores[0])),
    }


def case(rng):
    """Some queries; rows are judged at random, one query's as not relevant."""
    found = np.stack([rng.permutation(ROWS)[:FOUND] for _ in range(QUERIES)])
    gains = [
        {int(i): int(rng.integers(0, 4)) for i in rng.choice(ROWS, rng.integers(1, 15), False)}
        for _ in range(QUERIES)
    ]
    gains[-1] = dict.fromkeys(gains[-1], 0)
    gains[0][int(found[0, 1])] = 2
    order = rng.permutation(ROWS)
    return {
        "found": found.tolist(),
        "gains": [list(map(list, own.items())) for own in gains],
        "trec_eval": {str(k): trec(found, gains, k) for k in (1, 3, 10, 20)},
        "order": order.tolist(),
        "scikit-learn": sklearn(order, gains[0]),
    }


if __name__ == "__main__":
    rng = np.random.default_rng(0)
    text = json.dumps([case(rng) for _ in range(CASES)], separators=(",", ":"))
    Path(__file__).with_name("ranking.json").write_text(text.replace('{"found', '\n{"found') + "\n")
