"""The store's figures are of everything, and its table names them."""

from benchmarks import store
from vqindex.datasets import synthetic


def test_figures(monkeypatch):
    monkeypatch.setattr(store, "SETTINGS", store.SETTINGS | {"seconds": 0.05, "rounds": 1})
    record = store.run(synthetic(4500, 8, 20, "cosine", k=10), rounds=1)
    plain, ours = record["adding"]
    assert plain["ratio"] == 1
    assert ours["ratio"] == ours["seconds"] / plain["seconds"]
    exact, rough = (row["recall"] for row in record["asking"] if row["recall"] is not None)
    assert exact > 0.99 >= rough > 0.3
    text = store.report(record)
    assert "SQLite alone" in text
    assert "one by one, by codes alone" in text
