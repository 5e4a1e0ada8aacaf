// Scores of scalar codes with one query, and the best of them: EMPTY, SIGNS, PAIRS, NIBBLES,
// LEVELS16 and BYTES, several segments of different kinds in one pass.
//
// Shapes     codes (blocks, chunks, 32) x 16 bytes a segment; query (row_bytes,) int8;
//            kept (queries, gridDim.x, VQ_KEEP) keys, or after (queries, 32 blocks) float32
// Bytes      16 * chunks a row and segment, each read once, and 4 for each factor: with 4 bits and
//            1,536 dimensions 768 + 4. A query's entries are read once by each block.
// Work       a dimension takes 1.4 instructions of 4 bits, 0.5 of 1, 1 of 2, 0.25 of 8
// Resources  256 threads, at most 64 registers; 16 KB for a query, 8 VQ_KEEP + 16 KB for the queue
#include "scan.cuh"

#define VQ_WORDS 4096  // of a query in shared memory: all of it, or so many at a time

VQ_DEVICE i32 raw_nibbles(uint4 c, const uint4* query, u32 t0, u32 t1, i32 raw) {
    u32 low, high;
    uint4 a = query[0], b = query[1];
    decode_nibbles(c.x, t0, t1, low, high);
    raw = dot4(high, a.y, dot4(low, a.x, raw));
    decode_nibbles(c.y, t0, t1, low, high);
    raw = dot4(high, a.w, dot4(low, a.z, raw));
    decode_nibbles(c.z, t0, t1, low, high);
    raw = dot4(high, b.y, dot4(low, b.x, raw));
    decode_nibbles(c.w, t0, t1, low, high);
    return dot4(high, b.w, dot4(low, b.z, raw));
}

VQ_DEVICE i32 raw_levels16(uint4 c, const uint4* query, const u32* t, i32 raw) {
    u32 low, high;
    uint4 a = query[0], b = query[1];
    decode_levels16(c.x, t, low, high);
    raw = dot4(high, a.y, dot4(low, a.x, raw));
    decode_levels16(c.y, t, low, high);
    raw = dot4(high, a.w, dot4(low, a.z, raw));
    decode_levels16(c.z, t, low, high);
    raw = dot4(high, b.y, dot4(low, b.x, raw));
    decode_levels16(c.w, t, low, high);
    return dot4(high, b.w, dot4(low, b.z, raw));
}

VQ_DEVICE i32 raw_bytes(uint4 c, const uint4* query, i32 raw) {
    uint4 a = query[0];
    return dot4(c.w, a.w, dot4(c.z, a.z, dot4(c.y, a.y, dot4(c.x, a.x, raw))));
}

// Bit k of each byte of a word stands for 2^k: sums of eight kinds, each a multiple of its own.
VQ_DEVICE void add_plane(u32 bits, const uint4* query, i32 sums[8]) {
    uint4 a = query[0], b = query[1];
    sums[0] = dot4_mixed(bits & 0x01010101u, a.x, sums[0]);
    sums[1] = dot4_mixed(bits & 0x02020202u, a.y, sums[1]);
    sums[2] = dot4_mixed(bits & 0x04040404u, a.z, sums[2]);
    sums[3] = dot4_mixed(bits & 0x08080808u, a.w, sums[3]);
    sums[4] = dot4_mixed(bits & 0x10101010u, b.x, sums[4]);
    sums[5] = dot4_mixed(bits & 0x20202020u, b.y, sums[5]);
    sums[6] = dot4_mixed(bits & 0x40404040u, b.z, sums[6]);
    sums[7] = dot4_mixed(bits & 0x80808080u, b.w, sums[7]);
}

VQ_DEVICE i32 sum_of_plane(const i32 sums[8]) {
    i32 total = 0;
#pragma unroll
    for (int k = 0; k < 8; k++) total += sums[k] >> k;
    return total;
}

struct Planes {
    i32 negative, mixed;
};

VQ_DEVICE Planes signs_planes(const uint4* codes, i32 chunks, const uint4* query) {
    i32 sums[8] = {0, 0, 0, 0, 0, 0, 0, 0};
#pragma unroll 2
    for (i32 c = 0; c < chunks; c++, codes += 32, query += 8) {
        uint4 x = load_codes(codes);
        add_plane(x.x, query, sums);
        add_plane(x.y, query + 2, sums);
        add_plane(x.z, query + 4, sums);
        add_plane(x.w, query + 6, sums);
    }
    return {sum_of_plane(sums), 0};
}

VQ_DEVICE Planes pairs_planes(const uint4* codes, i32 chunks, const uint4* query) {
    i32 negative[8] = {0, 0, 0, 0, 0, 0, 0, 0}, mixed[8] = {0, 0, 0, 0, 0, 0, 0, 0};
#pragma unroll 2
    for (i32 c = 0; c < chunks; c++, codes += 32, query += 4) {
        uint4 x = load_codes(codes);
        add_plane(x.x, query, negative);
        add_plane(x.y, query + 2, negative);
        add_plane(x.z, query, mixed);
        add_plane(x.w, query + 2, mixed);
    }
    return {sum_of_plane(negative), sum_of_plane(mixed)};
}

// What some chunks of a row add to its raw sum, but for what planes have in common.
VQ_DEVICE i32 raw_of_chunks(
    const Segment& segment, const uint4* codes, i32 chunks, const uint4* query) {
    u32 t0 = segment.table[0], t1 = segment.table[1];
    i32 raw = 0;
    if (segment.kind == VQ_NIBBLES) {
#pragma unroll 4
        for (i32 c = 0; c < chunks; c++) {
            raw = raw_nibbles(load_codes(codes + 32 * c), query + 2 * c, t0, t1, raw);
        }
    } else if (segment.kind == VQ_BYTES) {
#pragma unroll 4
        for (i32 c = 0; c < chunks; c++) {
            raw = raw_bytes(load_codes(codes + 32 * c), query + c, raw);
        }
    } else if (segment.kind == VQ_LEVELS16) {
        u32 table[4] = {t0, t1, segment.table[2], segment.table[3]};
#pragma unroll 4
        for (i32 c = 0; c < chunks; c++) {
            raw = raw_levels16(load_codes(codes + 32 * c), query + 2 * c, table, raw);
        }
    } else if (segment.kind == VQ_SIGNS) {
        Planes sums = signs_planes(codes, chunks, query);
        raw = raw_of_planes((i8)t0, (i8)t0, 0, sums.negative, 0);
    } else if (segment.kind == VQ_PAIRS) {
        Planes sums = pairs_planes(codes, chunks, query);
        raw = raw_of_planes((i8)t0, (i8)(t0 >> 8), 0, sums.negative, sums.mixed);
    }
    return raw;
}

struct Scalar {
    const Scan* scan;
    u32* words;  // (VQ_WORDS,) in shared memory
    bool whole;  // whether they hold all segments

    // Put words of chunks first..last-1 of a segment in their place. All threads take part.
    VQ_DEVICE void stage(const Segment& segment, i32 first, i32 last, u32* to) const {
        i32 words_each = words_of(segment.kind), total = (last - first) * words_each;
        for (i32 w = (i32)threadIdx.x; w < total; w += VQ_THREADS) {
            const i8* entries = scan->entries + segment.entries;
            to[w] = word_at(segment, entries, first + w / words_each, w % words_each);
        }
    }

    VQ_DEVICE i64 start_of(i32 s) const {
        i64 start = 0;
        for (i32 i = scan->first; i < s; i++) {
            const Segment& segment = scan->stored->segments[i];
            start += (i64)segment.chunks * words_of(segment.kind);
        }
        return start;
    }

    VQ_DEVICE void begin(const Scan& own) {
        scan = &own;
        whole = start_of(own.last) <= VQ_WORDS;
        if (!whole) return;
        for (i32 s = own.first; s < own.last; s++) {
            const Segment& segment = own.stored->segments[s];
            stage(segment, 0, segment.chunks, words + start_of(s));
        }
        __syncthreads();
    }

    VQ_DEVICE float part(const Segment& segment, i32 s, i64 block, bool here) const {
        const uint4* codes = segment.codes + (block * segment.chunks * 32 + threadIdx.x % 32);
        u32 raw = 0;  // wraps where the parts of planes do: the whole fits
        if (whole) {
            const uint4* query = (const uint4*)(words + start_of(s));
            if (here) raw = (u32)raw_of_chunks(segment, codes, segment.chunks, query);
        } else if (segment.kind != VQ_EMPTY) {
            i32 most = VQ_WORDS / words_of(segment.kind);
            for (i32 first = 0; first < segment.chunks; first += most) {
                i32 last = first + most < segment.chunks ? first + most : segment.chunks;
                __syncthreads();
                stage(segment, first, last, words);
                __syncthreads();
                const uint4* at = codes + (i64)first * 32;
                if (here) {
                    raw += (u32)raw_of_chunks(segment, at, last - first, (const uint4*)words);
                }
            }
        }
        u32 t = segment.kind == VQ_SIGNS || segment.kind == VQ_PAIRS ? segment.table[0] : 0;
        raw += (u32)(i32)(i8)t * (u32)scan->sum_of(s);
        return part_of((i32)raw, scan->half_of(s), scan->gamma_of(s));
    }
};

extern "C" __global__ void __launch_bounds__(VQ_THREADS, 4) vq_scan_scalar(VQ_SCAN_ARGUMENTS) {
    __shared__ Queue queue;
    __shared__ __align__(16) u32 words[VQ_WORDS];
    VQ_SCAN_OF_QUERY
    Scalar family = {&scan, words, false};
    scan_rows(scan, family, queue);
}
