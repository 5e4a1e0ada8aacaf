"""Operating points as a contest of several libraries on two sets would give, made up."""

import math

from vqindex.evaluate import Latency, OperatingPoint, Speed

HOSTILE = "</script><script>window.hacked = 1</script><img src=x onerror='hacked = 1'> \"&amp; $1"

SYSTEMS = [  # library, and each of its indexes with bytes a row, seconds to build, and speed
    ("vqindex", [
        ("IVF1024,EDEN4,Rerank(f16)", 978, 4.1, 9000), ("EDEN4", 206, 0.2, 6500),
        ("IVF1024,EDEN4", 212, 4.0, 11000), ("IVF1024,EDEN2", 116, 3.8, 14000),
    ]),
    ("FAISS", [
        ("IVF1024,PQ192x4fs,RFlat", 1640, 14.0, 8200), ("HNSW32", 1800, 60.0, 12000),
        ("IVF1024,RaBitQfs4", 215, 11.0, 5200),
    ]),
    ("turbovec", [("4 bit", 196, 0.8, 7000)]),
    ("rabitqlib", [("IVF1024,RaBitQ5", 270, 9.0, 9500), ("HNSW,RaBitQ5", 520, 75.0, 13000)]),
    ("ScaNN", [("tree,AH2", 1730, 21.0, 10000)]),
    ("SVS", [("Vamana,LVQ4x8", 870, 95.0, 15000)]),
    ("hnswlib", [("M16", 1700, 70.0, 9000)]),
    ("usearch", [("M16,f16", 950, 45.0, 8000)]),
]  # fmt: skip
SETS = [("wordnet-minilm-384-angular", 100_000, 384, "cosine", 1.0),
        ("photo-sift-128-euclidean", 90_000, 128, "l2", 1.7)]  # fmt: skip
MACHINE = {"cpu": "A made-up CPU", "cpu_level": "avx512", "cpu_flags": ["avx2", "avx512f"],
           "versions": {"numpy": "2.4.6"}, "commit": "0123456789ab", "load": 0.5}  # fmt: skip


def point(**changed):
    """One point, with some fields changed."""
    fields = {
        "dataset": "sample", "dataset_hash": "ab" * 32, "n": 10_000, "dim": 384,
        "metric": "cosine", "system": "vqindex", "version": "0.1.0", "spec": "EDEN4",
        "parameters": {}, "threads": 1, "batch": 1, "k": 10,
        "recall": {"1": 0.94, "10": 0.95, "100": 0.96},
        "recall_by_distance": {"1": 0.95, "10": 0.96, "100": 0.97},
        "qps": Speed(best=1100.0, median=1000.0, low=900.0, high=1050.0, rounds=5),
        "latency": Latency(p50=0.001, p95=0.0012, p99=0.0015, p999=0.003),
        "build_s": 0.25, "train_s": 0.0, "bytes_per_row": 206, "file_bytes": 2_100_000,
        "peak_bytes": 9_000_000, "stages": {}, "seed": 0, "machine": MACHINE,
        "command": "python -m benchmarks run sample --only EDEN4", "failed": None,
        "when": "2026-01-01T00:00:00+00:00",
    }  # fmt: skip
    return OperatingPoint(**(fields | changed))


def failed(**changed):
    """A point that has no figures."""
    figures = ("qps", "latency", "build_s", "train_s", "bytes_per_row", "file_bytes", "peak_bytes")
    nothing = dict.fromkeys(figures) | {"recall": {}, "recall_by_distance": {}}
    return point(**(nothing | {"failed": "MemoryError: too large"} | changed))


def contest():
    """All systems on both sets with one and two threads, one query a call and a thousand."""
    name, n = SETS[0][:2]
    points = [failed(dataset=name, dataset_hash="384", n=n, system="SVS", spec="Vamana,LeanVec4x8")]
    for name, n, dim, metric, ease in SETS:
        about = {
            "dataset": name, "dataset_hash": str(dim), "n": n, "dim": dim, "metric": metric,
        }  # fmt: skip
        for threads in (1, 2):
            for system, indexes in SYSTEMS:
                for spec, size, build_s, speed in indexes:
                    points += _sweep(
                        about | {
                            "system": system, "spec": spec, "threads": threads,
                            "build_s": build_s / threads, "train_s": 0.6 * build_s / threads,
                            "bytes_per_row": size * dim / 384, "file_bytes": int(1.02 * n * size),
                            "peak_bytes": 3 * n * size,
                            "command": f"python -m benchmarks run {name} --threads {threads}",
                        },
                        speed * ease,
                    )  # fmt: skip
    return points


def _sweep(about, speed):
    """Points of one index: what it finds grows as its speed falls."""
    found = []
    whole = about["spec"] in ("EDEN4", "4 bit")  # looks at every row
    for i in [4] if whole else range(1, 9):
        recall = 1 - 0.45 * math.exp(-0.55 * i) - (0.03 if about["bytes_per_row"] < 220 else 0.001)
        for batch in (1, 1000):
            rate = 1.8 * speed * 1.6**-i * (1.7 if batch > 1 else 0.8) * about["threads"]
            late = Latency(p50=1 / rate, p95=1.2 / rate, p99=1.5 / rate, p999=3 / rate)
            qps = Speed(best=1.1 * rate, median=rate, low=0.9 * rate, high=1.05 * rate, rounds=5)
            near = min(recall + 0.01, 1)
            found.append(
                point(
                    **about, parameters={} if whole else {"nprobe": 2**i}, batch=batch,
                    recall={"1": recall - 0.01, "10": recall, "100": recall - 0.02},
                    recall_by_distance={"1": recall, "10": near, "100": recall},
                    qps=qps, latency=late if batch == 1 else None,
                )
            )  # fmt: skip
    return found
