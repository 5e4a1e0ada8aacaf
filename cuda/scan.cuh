// One query against all rows of some blocks: a lane takes a row, a warp a block of 32, a block of
// threads 8 of them at a time. What a segment adds is up to a family of kinds:
//
//     family.begin(scan)               all threads: prepare what stays for the whole scan
//     family.part(segment, s, block, here)   all threads: the part of this lane's row
//
// `here` is false where the warp has no block, or none of its rows takes part.
#ifndef VQ_SCAN
#define VQ_SCAN

#include "program.cuh"
#include "queue.cuh"

#define VQ_TURNS 4  // rows of a thread between two looks at the queue
static_assert(VQ_TURNS * VQ_THREADS <= VQ_ROOM, "a queue must hold the rows of all turns");

struct Scan {
    const Stored* stored;
    i32 first, last;  // segments
    const i8* entries;  // of this query
    const float* half;
    const float* gamma;
    i32 padded;
    const float* shares;  // of this query
    const i64* blocks;
    const u32* masks;
    i64 start, stop;  // of those
    const float* before;  // of this query, or 0
    float* after;
    u64* kept;
    i32 k;
    u64* floors;
    i32 query;

    VQ_DEVICE float half_of(i32 s) const { return half[(i64)s * padded + query]; }
    VQ_DEVICE float gamma_of(i32 s) const { return gamma[(i64)s * padded + query]; }
    // The sum of a query's int8 entries: half of it is exact.
    VQ_DEVICE i32 sum_of(i32 s) const { return (i32)multiply(half_of(s), 2.0f); }
};

template <class Family>
VQ_DEVICE void scan_rows(const Scan& scan, Family& family, Queue& queue) {
    const Stored& stored = *scan.stored;
    u32 lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    i64 step = (i64)gridDim.x * 8;
    start_queue(queue, 0, scan.floors ? *(volatile u64*)scan.floors : 0, scan.k);
    family.begin(scan);
    i32 turn = VQ_TURNS - 1;  // the first look is early
    for (i64 top = scan.start + (i64)blockIdx.x * 8; top < scan.stop; top += step) {
        __syncwarp();  // a family's products are of whole warps
        i64 at = top + warp, place = 32 * (at - scan.start) + lane, block = 0;
        u32 mask = 0;
        if (at < scan.stop) {
            block = block_of(scan.blocks, at);
            mask = mask_of(stored, scan.masks, at, block);
        }
        i64 row = 32 * block + lane;
        float score = scan.before && at < scan.stop ? scan.before[place] : -0.0f;
        for (i32 s = scan.first; s < scan.last; s++) {
            const Segment& segment = stored.segments[s];
            float part = family.part(segment, s, block, mask != 0);
            if (mask != 0) score = add(score, scaled(segment, row, part));
        }
        if (scan.after) {
            if (at < scan.stop) scan.after[place] = score;
            continue;
        }
        u64 key = 0;
        if (mask >> lane & 1) {
            score = finished(stored, row, score, share_at(stored, scan.shares, block));
            key = score_of(queue.floor) <= score || queue.floor == 0
                      ? key_of(score, rank_at(stored, row))
                      : 0;
        }
        push(queue, key);
        if (++turn == VQ_TURNS) {
            settle(queue, scan.k, scan.floors, false);
            turn = 0;
        }
    }
    if (scan.after) return;
    settle(queue, scan.k, scan.floors, true);
    write_best(queue, scan.kept);
}

// The arguments of every scan, in the order README.md gives; `type` is what entries are.
#define VQ_SCAN_ARGUMENTS                                                                    \
    const Stored *stored, i32 first, i32 last, const void *entries, i64 row_bytes,           \
        const float *half, const float *gamma, i32 padded, const float *shares, i32 lists,   \
        const i64 *blocks, const u32 *masks, i64 nblocks, const float *before, float *after, \
        u64 *kept, i32 k, u64 *floors, const u32 *counts, u32 capacity, const i64 *starts

#define VQ_SCAN_OF_QUERY                                                            \
    i32 query = (i32)blockIdx.y;                                                    \
    if (counts && counts[query] <= capacity) return;                                \
    Scan scan = {                                                                   \
        stored, first, last, (const i8*)entries + query * row_bytes, half, gamma,   \
        padded, shares ? shares + (i64)query * lists : 0, blocks, masks,            \
        starts ? starts[query] : 0, starts ? starts[query + 1] : nblocks,           \
        before ? before + query * 32 * nblocks : 0,                                 \
        after ? after + query * 32 * nblocks : 0,                                   \
        kept ? kept + ((i64)query * gridDim.x + blockIdx.x) * VQ_KEEP : 0, k,       \
        floors ? floors + query : 0, query};

#endif
