#!/usr/bin/env bash
# What only a GPU can show, in under eight minutes and one JSON: the environment, correctness against
# the CPU, speeds beside the card's own ceilings and torch, and the sanitizer's findings.
#
#     cuda/run_on_gpu.sh [OUT.json]        PYTHON names the interpreter, python3 unless set;
#                                          WHEELS, a folder of wheels to use before what it has;
#                                          SECONDS_IN_ALL, 460 unless set
#
# Needs NumPy, Numba, pytest, hypothesis, torch and cuda-core 1. Those that do not import, but for
# torch, are installed if there is a network, for this run alone and without what they need besides:
# nothing takes the place of what is there. What is still missing is named. Each step is a process of
# its own with a limit: none can stop the others, and the JSON is written anew after each. Exit code: 0
# if all ran and was right.
set -uo pipefail
cd "$(dirname "$0")/.."
out=$(realpath -m "${1:-gpu.json}")
mkdir -p "$(dirname "$out")"
python=${PYTHON:-python3}
in_all=${SECONDS_IN_ALL:-460}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export VQINDEX_CACHE_DIR=${VQINDEX_CACHE_DIR:-$work/cache}
export PYTHONPATH=$PWD:$work/site PYTHONUNBUFFERED=1 PIP_DISABLE_PIP_VERSION_CHECK=1
export PATH=$PATH:/usr/local/cuda/bin
missing=

# step NAME LIMIT COMMAND...: run it, and keep its exit code, its time and what it says. What is left
# of all seconds bounds it, less some for the report.
step() {
    local name=$1 limit=$2 start=$SECONDS left=$((in_all - SECONDS - 5))
    shift 2
    [ "$left" -lt "$limit" ] && limit=$left
    [ "$limit" -lt 5 ] && return
    timeout --kill-after=5 "$limit" "$@" >"$work/$name.log" 2>&1 </dev/null
    echo "$? $((SECONDS - start))" >"$work/$name.end"
    echo "== $name: exit code $(cut -d' ' -f1 "$work/$name.end"), $((SECONDS - start)) s"
    tail -n 3 "$work/$name.log" | cut -c1-300
    report >/dev/null
}

report() { "$python" -m benchmarks.on_gpu "$work" "$out" "$missing"; }

# need NAME...: those that cannot be imported, are of a version that is too old, or lack a library.
need() {
    local name
    for name in "$@"; do
        timeout 60 "$python" -c "
import importlib, sys
from importlib import metadata
module = importlib.import_module(sys.argv[1])
if sys.argv[1] == 'cuda.core' and int(metadata.version('cuda-core').split('.')[0]) < 1:
    sys.exit('it is too old')
if sys.argv[1] == 'cuda.bindings.nvrtc':
    module.nvrtcVersion()" "$name" >"$work/need-$name.log" 2>&1 || echo "$name"
    done
}

gpu_tests=tests/indexes/test_device_gpu.py coding_tests=tests/kernels/gpu/test_encode.py
mapfile -t tests < <(grep -Ho '^def test_\w*' "$gpu_tests" "$coding_tests" | sed 's/:def /::/')
mapfile -t cases < <(sed -n 's/^name = "\(.*\)"/\1/p' benchmarks/gpu.toml)
tools=(memcheck racecheck initcheck synccheck)
command -v compute-sanitizer >/dev/null || tools=()
{
    printf '%s\n' environment driver compile cpu-one cpu-many "${tests[@]##*::}"
    printf 'speed-%s\n' "${!cases[@]}"
    printf '%s\n' memcheck racecheck initcheck synccheck
} >"$work/wanted"
if ! timeout 60 "$python" -c "
import ctypes, sys
try:
    cuda, count = ctypes.CDLL('libcuda.so.1'), ctypes.c_int(0)
except OSError as error:
    sys.exit(f'there is no driver of NVIDIA ({error})')
if cuda.cuInit(0) or cuda.cuDeviceGetCount(ctypes.byref(count)) or not count.value:
    sys.exit('the driver of NVIDIA finds none')" >"$work/no_gpu" 2>&1; then
    report >/dev/null
    echo "There is no GPU to run on: $(tail -n 1 "$work/no_gpu"). Nothing was run; $out says so."
    exit 1
fi
rm "$work/no_gpu"

if [ -n "${WHEELS:-}" ]; then
    step wheels 60 "$python" -m pip install -q --no-index --no-deps --no-compile --no-cache-dir \
        --target "$work/site" "$WHEELS"/*.whl
fi
declare -A wheels=( # of what is imported
    [numpy]=numpy [numba]="numba llvmlite" [torch]=
    [pytest]="pytest pluggy iniconfig packaging pygments" [hypothesis]="hypothesis sortedcontainers"
    [cuda.core]="cuda-core>=1,<2 cuda-pathfinder"
    [cuda.bindings.nvrtc]="cuda-bindings==13.* cuda-pathfinder nvidia-cuda-nvrtc==13.*"
)
packages=(numpy numba pytest hypothesis torch cuda.core cuda.bindings.nvrtc)
missing=$(need "${packages[@]}" | tr '\n' ' ')
for name in $missing; do
    read -ra own <<<"${wheels[$name]}"
    [ ${#own[@]} = 0 ] || timeout 60 "$python" -m pip install -q --no-deps --retries 0 --timeout 5 \
        --target "$work/site" "${own[@]}" >/dev/null 2>&1 || break # there is no network
done
[ -n "$missing" ] && missing=$(need "${packages[@]}" | tr '\n' ' ')
for name in $missing; do
    echo "missing, and not to be installed here: $name: $(tail -n 1 "$work/need-$name.log")"
done

options=(-m gpu -p no:cacheprovider -W ignore --tb=short -r fE)

step environment 60 "$python" -c "
import importlib.metadata as m, json, shutil, vqindex
names = 'torch', 'cuda-bindings', 'cuda-pathfinder', 'nvidia-cuda-nvrtc', 'pytest', 'hypothesis'
have = {d.metadata['Name'].lower(): d.version for d in m.distributions() if d.metadata['Name']}
tools = {name: shutil.which(name) for name in ('nvcc', 'compute-sanitizer', 'g++')}
print(json.dumps(vqindex.show_config() | {'also': {n: have.get(n) for n in names}, 'tools': tools}))"
step driver 20 nvidia-smi

# Machine code for the GPU and, meanwhile, the CPU's kernels that answers are compared with: that of
# one query takes longer than all others.
cpu="
import runpy, sys
test = runpy.run_path('$gpu_tests')
for spec in [*test['SPECS'], 'IVF30,EDEN4', 'PCA,EDEN4']:
    index = test['filled'](spec)
    for nq in map(int, sys.argv[1:]):
        index.search(test['vectors'](nq, 72), 10, stages='off')
        index.search(test['vectors'](nq, 72), 10, index.ids % 3 == 0, stages='off')
print('CPU kernels are compiled')"
step compile 120 "$python" -m vqindex.kernels.gpu.warm &
step cpu-one 180 "$python" -c "$cpu" 1 &
step cpu-many 150 "$python" -c "$cpu" 9 97 &
wait

# Each test has a process of its own: an error of the GPU is the end of all that runs in one.
for test in "${tests[@]}"; do
    case $test in
        *memory*) ;; # asks how much is free, and so runs alone
        *) step "${test##*::}" 150 "$python" -m pytest "${options[@]}" "$test" & ;;
    esac
    while [ "$(jobs -rp | wc -l)" -ge 4 ]; do sleep 0.2; done
done
wait
for test in "${tests[@]}"; do
    [[ $test == *memory* ]] && step "${test##*::}" 60 "$python" -m pytest "${options[@]}" "$test"
done

for i in "${!cases[@]}"; do
    step "speed-$i" 60 "$python" -m benchmarks gpu --json --only "${cases[i]}"
done

few="(test_odd_shapes and 33-65-16) or test_tensors[EDEN4] or (test_lists and not Rerank) or \
(test_codecs and l2 and (PQ8x4 or F16 or TCQ2 or NUQ4)) or (test_codes and l2 and TQprod3)"
# Calls that fail are no find: cuda-core makes some to learn what there is, and so does torch.
for tool in "${tools[@]}"; do
    step "$tool" 120 compute-sanitizer --tool "$tool" --report-api-errors no --error-exitcode 9 \
        "$python" -m pytest "${options[@]}" "$gpu_tests" "$coding_tests" -k "$few" &
done
wait
report
