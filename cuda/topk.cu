// The best k of lists of keys, and what becomes of them in the end: scores and ids.
//
// Shapes     keys (queries, stride) uint64 in, (queries, parts, VQ_KEEP) out; answers (queries, k)
// Bytes      8 for each key, read once; those that cannot be among the best cost nothing more
// Resources  256 threads, 32 registers; 8 VQ_KEEP + 16 KB of shared memory
#include "queue.cuh"

// Arguments as README.md has them. With `counts`, the keys are those that a batch left in buffers:
// `overflowed` 0 takes queries whose buffer held them all, 1 those that were scanned again, and
// sets `counts` to 0 for the next wave; there is one part then.
extern "C" __global__ void __launch_bounds__(VQ_THREADS) vq_merge(
    const u64* keys, i64 stride, i64 length, i64 total, u32* counts, u32 capacity, i32 overflowed,
    const u64* before, const u64* floors, u64* out, i32 k) {
    __shared__ Queue queue;
    i64 query = blockIdx.y;
    i64 first = blockIdx.x * length, last = first + length < total ? first + length : total;
    if (counts) {
        u32 count = counts[query];
        if (overflowed) {
            __syncthreads();  // all have read what the first thread now writes
            if (threadIdx.x == 0) counts[query] = 0;
        } else {
            last = count;
        }
        if ((count > capacity) != (overflowed != 0)) return;
    }
    const u64* known = before && blockIdx.x == 0 ? before + query * VQ_KEEP : 0;
    u64 floor = floors && floors[query] ? floors[query] - 1 : 0;  // that key itself is wanted
    start_queue(queue, known, known && known[k - 1] > floor ? known[k - 1] : floor, k);
    for (i64 top = first; top < last; top += VQ_ROOM) {
        u64 own[VQ_ROOM / VQ_THREADS];  // on their way together
#pragma unroll
        for (int i = 0; i < VQ_ROOM / VQ_THREADS; i++) {
            i64 at = top + i * VQ_THREADS + threadIdx.x;
            own[i] = at < last ? keys[query * stride + at] : 0;
        }
#pragma unroll
        for (int i = 0; i < VQ_ROOM / VQ_THREADS; i++) push(queue, own[i]);
        settle(queue, k, 0, false);
    }
    settle(queue, k, 0, true);
    write_best(queue, out + (query * gridDim.x + blockIdx.x) * VQ_KEEP);
}

extern "C" __global__ void __launch_bounds__(VQ_THREADS) vq_answer(
    const u64* keys, i64 stride, i32 k, const float* alpha, const i64* ids, float* scores,
    i64* found) {
    i64 query = blockIdx.y;
    i32 i = (i32)(blockIdx.x * VQ_THREADS + threadIdx.x);
    if (i >= k) return;
    u64 key = keys[query * stride + i];
    scores[query * k + i] = key ? add(score_of(key), alpha[query]) : float_of(0xff800000);
    found[query * k + i] = key ? ids[rank_of(key)] : -1;
}
