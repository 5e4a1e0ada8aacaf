// The best rows of each query scored once more, by originals in float32 or float16.
//
// Sixteen lanes take a row: lane i sums dimensions i, i + 16, and so on, then halves are added first,
// as vq_scan_decoded and the CPU do. So a row has the score that a search of originals gives it.
//
// Shapes     keys (queries, stride), of which `some` count, 0 for none; slots (rows,) the row of each
//            rank, or 0 where they are the same; entries as README.md has them; codes of FLOATS and
//            HALVES; out (queries, some) keys by the new scores, in the order of the old
// Bytes      8 for each key read and written; 4 or 2 for each dimension of a row, in pieces of 16
//            bytes: a memory sector is read for every second half of it
// Work       2 operations a dimension of a row
// Resources  256 threads, at most 80 registers; no shared memory
#include "program.cuh"

#define VQ_THREADS 256
#define VQ_LANES 16

template <int KIND>
VQ_DEVICE float lane_dot(const Segment& segment, i64 row, const float* query, i32 lane) {
    constexpr i32 EACH = KIND == VQ_FLOATS ? 4 : 8;  // entries of a piece
    const uint4* codes = segment.codes + (row / 32 * segment.chunks * 32 + row % 32);
    i32 dims = segment.dims < EACH * segment.chunks ? segment.dims : EACH * segment.chunks;
    float total = 0;
#pragma unroll 8
    for (i32 j = lane; j < dims; j += VQ_LANES) {
        const u32* piece = (const u32*)(codes + j / EACH * 32);
        float x = KIND == VQ_FLOATS ? float_of(piece[j % 4])
                                    : half_to_float((u16)(piece[j % 8 / 2] >> 16 * (j % 2)));
        total = add(total, multiply(x, query[j]));
    }
    return total;
}

extern "C" __global__ void __launch_bounds__(VQ_THREADS, 2) vq_rerank(
    const Stored* stored, const void* entries, i64 row_bytes, const u64* keys, i64 stride,
    i32 some, const u32* slots, u64* out) {
    i64 query = blockIdx.y;
    i32 at = (i32)(blockIdx.x * (VQ_THREADS / VQ_LANES) + threadIdx.x / VQ_LANES);
    i32 lane = (i32)threadIdx.x % VQ_LANES;
    u64 key = at < some ? keys[query * stride + at] : 0;
    i64 row = key == 0 ? 0 : slots ? slots[rank_of(key)] : rank_of(key);
    float score = -0.0f;
    for (i32 s = 0; s < stored->count; s++) {
        const Segment& segment = stored->segments[s];
        const i8* share = (const i8*)entries + query * row_bytes + segment.entries;
        float part = 0;
        if (key && segment.kind == VQ_FLOATS) {
            part = lane_dot<VQ_FLOATS>(segment, row, (const float*)share, lane);
        } else if (key && segment.kind == VQ_HALVES) {
            part = lane_dot<VQ_HALVES>(segment, row, (const float*)share, lane);
        }
        score = add(score, scaled(segment, row, sum_lanes(part)));
    }
    if (at >= some || lane != 0) return;
    score = finished(*stored, row, score, 0);
    out[query * some + at] = key && score == score ? key_of(score, rank_of(key)) : 0;
}
