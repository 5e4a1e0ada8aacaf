#!/usr/bin/env bash
# What only a GPU can show, in under eight minutes and one JSON: the environment, correctness against
# the CPU, the sanitizer's findings, and speeds beside the card's own ceilings and torch.
#
#     cuda/run_on_gpu.sh [OUT.json]        PYTHON names the interpreter, python3 unless set
#
# Needs NumPy, Numba, pytest, hypothesis, torch and cuda-core; those that are missing are installed if
# there is a network, and named if there is none. Exit code: 0 if all that ran was right.
set -uo pipefail
cd "$(dirname "$0")/.."
out=$(realpath -m "${1:-gpu.json}")
python=${PYTHON:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PYTHONPATH=$PWD PYTHONUNBUFFERED=1
export VQINDEX_CACHE_DIR=${VQINDEX_CACHE_DIR:-$work/cache}

# step NAME SECONDS COMMAND...: run it, and keep its exit code, its time and the end of what it says.
step() {
    local name=$1 limit=$2 start=$SECONDS
    shift 2
    echo "== $name"
    timeout --kill-after=10 "$limit" "$@" >"$work/$name.log" 2>&1
    echo "$? $((SECONDS - start))" >"$work/$name.end"
    tail -n 3 "$work/$name.log"
}

need() {
    "$python" - "$@" <<'END'
import importlib.util, sys
print(*(name for name in sys.argv[1:] if importlib.util.find_spec(name) is None))
END
}

missing=$(need numpy numba pytest hypothesis torch cuda)
for name in $missing; do
    package=$name
    [ "$name" = cuda ] && package="cuda-core[cu13]"
    timeout 60 "$python" -m pip install -q --retries 0 "$package" >/dev/null 2>&1
done
missing=$(need numpy numba pytest hypothesis torch cuda)
[ -n "$missing" ] && echo "missing, and not to be installed here: $missing"

step environment 60 "$python" - <<'END'
import json, vqindex
print(json.dumps(vqindex.show_config()))
END
step driver 20 nvidia-smi
tests=(-m gpu -p no:cacheprovider -W ignore::FutureWarning -W ignore::UserWarning
    -W ignore::DeprecationWarning tests/indexes tests/kernels)
step correctness 170 "$python" -m pytest "${tests[@]}"
if command -v compute-sanitizer >/dev/null; then
    for tool in memcheck racecheck initcheck synccheck; do
        step "$tool" 30 compute-sanitizer --tool "$tool" --error-exitcode 9 \
            "$python" -m pytest "${tests[@]}" -k "odd_shapes and EDEN4 and 33-65-16"
    done
fi
step speed 150 "$python" -m benchmarks gpu --json

"$python" - "$work" "$out" "$missing" <<'END'
import json, sys
from pathlib import Path

work, out = map(Path, sys.argv[1:3])
record = {"missing": sys.argv[3].split(), "steps": {}}
for end in sorted(work.glob("*.end"), key=lambda path: path.stat().st_mtime):
    code, seconds = map(int, end.read_text().split())
    said = end.with_suffix(".log").read_text(errors="replace").strip()
    step = record["steps"][end.stem] = {"code": code, "seconds": seconds}
    try:
        step["record"] = json.loads(said.splitlines()[-1])
    except (IndexError, ValueError):
        step["said"] = said[-6000:]
wanted = ["environment", "driver", "correctness", "memcheck", "racecheck", "initcheck", "synccheck",
          "speed"]
record["not_run"] = [name for name in wanted if name not in record["steps"]]
record["right"] = all(step["code"] == 0 for step in record["steps"].values())
out.write_text(json.dumps(record, indent=1) + "\n")
print(f"{out}: {'all right' if record['right'] else 'see what failed'}")
sys.exit(not record["right"])
END
