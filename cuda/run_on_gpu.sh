#!/usr/bin/env bash
# What only a GPU can show, in under eight minutes and one JSON: the environment, correctness against
# the CPU, the sanitizer's findings, and speeds beside the card's own ceilings and torch.
#
#     cuda/run_on_gpu.sh [OUT.json]        PYTHON names the interpreter, python3 unless set;
#                                          WHEELS, a folder of wheels to use besides what it has
#
# Needs NumPy, Numba, pytest, hypothesis, torch and cuda-core; those that are missing are installed if
# there is a network, for this run alone, and named if there is none. The JSON is written anew after
# each step, so that it is there whenever this is ended. Exit code: 0 if all that ran was right.
set -uo pipefail
cd "$(dirname "$0")/.."
out=$(realpath -m "${1:-gpu.json}")
python=${PYTHON:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export VQINDEX_CACHE_DIR=${VQINDEX_CACHE_DIR:-$work/cache}
export PYTHONPATH=$PWD:$work/site PYTHONUNBUFFERED=1
if [ -n "${WHEELS:-}" ]; then
    "$python" -m pip install -q --no-index --no-deps --no-compile --target "$work/site" "$WHEELS"/*.whl
fi

# step NAME SECONDS COMMAND...: run it, and keep its exit code, its time and the end of what it says.
step() {
    local name=$1 limit=$2 start=$SECONDS
    shift 2
    echo "== $name"
    timeout --kill-after=10 "$limit" "$@" >"$work/$name.log" 2>&1
    echo "$? $((SECONDS - start))" >"$work/$name.end"
    tail -n 3 "$work/$name.log"
    report >/dev/null
}

report() {
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
    if code:
        step["said"] = said[-6000:]
wanted = ["environment", "driver", "correctness", "memcheck", "racecheck", "initcheck", "synccheck",
          "speed"]
record["not_run"] = [name for name in wanted if name not in record["steps"]]
shown = record["steps"].get("environment", {}).get("record", {})
record["right"] = bool(shown.get("gpu")) and all(s["code"] == 0 for s in record["steps"].values())
out.write_text(json.dumps(record, indent=1) + "\n")
print(f"{out}: {'all right' if record['right'] else 'see what failed'}")
sys.exit(not record["right"])
END
}

need() {
    "$python" - "$@" <<'END'
import importlib.util, sys

def there(name):
    try:
        return importlib.util.find_spec(name) is not None
    except ImportError:  # of the package that it is in
        return False

print(*(name for name in sys.argv[1:] if not there(name)))
END
}

missing=$(need numpy numba pytest hypothesis torch cuda.core)
for name in $missing; do
    package=$name
    [ "$name" = cuda.core ] && package="cuda-core[cu13]"
    timeout 60 "$python" -m pip install -q --retries 0 --target "$work/site" "$package" >/dev/null 2>&1
done
missing=$(need numpy numba pytest hypothesis torch cuda.core)
[ -n "$missing" ] && echo "missing, and not to be installed here: $missing"

step environment 30 "$python" - <<'END'
import json, vqindex
print(json.dumps(vqindex.show_config()))
END
step driver 10 nvidia-smi
options=(-m gpu -p no:cacheprovider -W ignore::FutureWarning -W ignore::UserWarning
    -W ignore::DeprecationWarning)
step correctness 170 "$python" -m pytest "${options[@]}" tests/indexes tests/kernels
step speed 150 "$python" -m benchmarks gpu --json
if command -v compute-sanitizer >/dev/null; then
    for tool in memcheck racecheck initcheck synccheck; do
        step "$tool" 30 compute-sanitizer --tool "$tool" --error-exitcode 9 \
            "$python" -m pytest "${options[@]}" tests/indexes/test_device_gpu.py \
            -k "odd_shapes and EDEN4 and 33-65-16"
    done
fi
report
