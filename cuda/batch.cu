// Scores of scalar codes with many queries by tensor cores, and the rows that may be among the best.
//
// Rows are the left operand, decoded from 16 bytes of codes straight into the registers that
// mma.sync m16n8k32 takes them from; queries are the right one, arranged once so that a lane finds
// its share of two steps in 16 bytes of shared memory. The order of dimensions within a row is the
// order in which codes decode, for both alike. A warp takes 32 rows and all queries of a tile;
// scores meet each query's k-th best so far, and only rows that pass leave the registers.
//
// Shapes     codes (blocks, chunks, 32) x 16 bytes a segment; arranged (tiles, units, VQ_QUERIES,
//            16) words; buffer (queries, capacity) keys. Of CODEWORDS, decoded by spread.cu, as BYTES
//            of the wave's blocks alone
// Bytes      16 * chunks a row and segment for each tile of queries, mostly out of the L2 cache where
//            tiles run side by side; 64 a unit and query for each block of threads
// Work       a row of d dimensions takes d * VQ_QUERIES / 4,096 mma and 1.2 instructions a
//            dimension to decode 4 bits, for 32 lanes
// Resources  256 threads; VQ_QUERIES accumulators, twice as many of several segments, and up to 150
//            registers more; dynamic shared memory 64 * VQ_QUERIES for each unit that is held
#include "program.cuh"

#ifndef VQ_KIND
#define VQ_KIND VQ_NIBBLES  // of the only segment; VQ_EMPTY: any number of segments of any kinds
#endif
#ifndef VQ_QUERIES
#define VQ_QUERIES 64  // of a tile: 8, 32, 64 or, of one segment, 96
#endif
#define VQ_THREADS 256
#define VQ_TILES (VQ_QUERIES / 8)
#define VQ_MANY (VQ_KIND == VQ_EMPTY)
#define VQ_BLOCKS (VQ_QUERIES * (1 + VQ_MANY) >= 32 ? 1 : 2)  // of a multiprocessor
#define VQ_AHEAD (VQ_BLOCKS == 1 && VQ_QUERIES * (1 + VQ_MANY) <= 64 ? 2 : 1)  // loads on their way
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 1200
#define VQ_UNROLLED 1  // of the units of a step: more would spill
#else
#define VQ_UNROLLED 2
#endif

#ifdef __CUDACC__
#define VQ_DYNAMIC(type, name) extern __shared__ type name[]
#define VQ_FENCE asm volatile("" ::: "memory")  // loads of later tiles would take registers now
#else
#define VQ_FENCE
#endif

static_assert(VQ_QUERIES * (1 + VQ_MANY) <= 128, "sums must stay in registers");

// c += a * b: 16 rows by 32 int8, by 32 int8 of 8 queries.
VQ_DEVICE void multiply_add(i32 c[4], const u32 a[4], u32 b0, u32 b1) {
#ifdef __CUDACC__
    asm("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#else
    emulated_mma(c, a, b0, b1, [](u32 x, u32 y) { return dot4(x, y, 0); });
#endif
}

// Units of four chunks of a kind, 64 dimensions each.
VQ_DEVICE i32 units_of(i32 kind) { return words_of(kind) / 4; }

VQ_DEVICE i32 units_of(const Segment& segment) {
    return (pieces_of(segment) + 3) / 4 * units_of(segment.kind);
}

VQ_DEVICE i32 units_of(const Stored& stored) {
    i32 units = 0;
    for (i32 s = 0; s < stored.count; s++) units += units_of(stored.segments[s]);
    return units;
}

// Queries in the order in which lanes meet codes: word 4 t + i of a unit is the one that lane t of
// four meets at group 4 * (unit within four chunks) + i of its chunk.
extern "C" __global__ void __launch_bounds__(VQ_THREADS) vq_arrange(
    const Stored* stored, const i8* entries, i64 row_bytes, i32 nq, u32* out) {
    i32 unit = (i32)blockIdx.y, units = units_of(*stored), s = 0;
    while (unit >= units_of(stored->segments[s])) unit -= units_of(stored->segments[s++]);
    const Segment& segment = stored->segments[s];
    i32 each = units_of(segment.kind);
    out += ((i64)blockIdx.x * units + blockIdx.y) * VQ_QUERIES * 16;
    for (i32 w = (i32)threadIdx.x; w < VQ_QUERIES * 16; w += VQ_THREADS) {
        i64 query = (i64)blockIdx.x * VQ_QUERIES + w / 16;
        i32 chunk = unit / each * 4 + w / 4 % 4, word = unit % each * 4 + w % 4;
        const i8* from = entries + query * row_bytes + segment.entries;
        out[w] = query < nq ? word_at(segment, from, chunk, word) : 0;
    }
}

// The levels t of four groups of a kind's codes: groups 4 * unit and on of the first word or two.
VQ_DEVICE void decode(i32 kind, const u32 table[4], uint4 c, i32 unit, u32 out[4]) {
    if (kind == VQ_NIBBLES) {
        decode_nibbles(unit ? c.z : c.x, table[0], table[1], out[0], out[1]);
        decode_nibbles(unit ? c.w : c.y, table[0], table[1], out[2], out[3]);
    } else if (kind == VQ_LEVELS16) {
        decode_levels16(unit ? c.z : c.x, table, out[0], out[1]);
        decode_levels16(unit ? c.w : c.y, table, out[2], out[3]);
    } else if (kind == VQ_SIGNS) {
#pragma unroll
        for (int i = 0; i < 4; i++) out[i] = spread_bits(c.x, 4 * unit + i) ^ table[0];
    } else if (kind == VQ_PAIRS) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
            u32 sign = spread_bits(c.x, 4 * unit + i);
            u32 large = spread_bits(c.z, 4 * unit + i) ^ sign;
            out[i] = sign ^ table[0] ^ (large & table[1]);
        }
    } else {
        out[0] = c.x, out[1] = c.y, out[2] = c.z, out[3] = c.w;
    }
}

// Put the words that `decode` takes next in the place of the first.
VQ_DEVICE uint4 advance(i32 kind, uint4 c) {
    return kind == VQ_SIGNS ? make_uint4(c.y, c.z, c.w, 0) : make_uint4(c.y, 0, c.w, 0);
}

// The table as `decode` takes it: of planes t four times, and what another magnitude changes.
VQ_DEVICE void spread_table(const Segment& segment, u32 out[4]) {
    for (int i = 0; i < 4; i++) out[i] = segment.table[i];
    if (segment.kind == VQ_SIGNS || segment.kind == VQ_PAIRS) {
        u32 t = segment.table[0];
        out[0] = four(t);
        out[1] = four(t ^ t >> 8);
    }
}

struct Sums {
    i32 of[2][VQ_TILES][4];  // halves of a block, tiles of 8 queries; see Cell
};

// A lane's sums belong to four rows of a block, and to two queries of each eight.
struct Cell {
    u32 group, in_group;
    VQ_DEVICE i32 row(int i) const { return 8 * i + (i32)group; }
    VQ_DEVICE i32 query(int tile, int j) const { return 8 * tile + 2 * (i32)in_group + j; }
};

// A segment's codes of one block.
struct Rows {
    const uint4* codes;
    i32 chunks;
};

// 16 bytes of four rows each, zeros beyond the last chunk.
VQ_DEVICE void load_rows(const Rows& rows, i32 chunk, uint4 out[4]) {
    bool there = chunk < rows.chunks;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        out[i] = there ? load_codes(rows.codes + chunk * 32LL + 8 * i) : make_uint4(0, 0, 0, 0);
    }
}

// Add 64 dimensions of 32 rows and all queries.
VQ_DEVICE void add_unit(Sums& sums, const u32 levels[4][4], const uint4* queries) {
#pragma unroll
    for (int t = 0; t < VQ_TILES; t++) {
        uint4 b = queries[t * 32];
#pragma unroll
        for (int h = 0; h < 2; h++) {
            const u32 *low = levels[2 * h], *high = levels[2 * h + 1];
            u32 a[4] = {low[0], high[0], low[1], high[1]};
            multiply_add(sums.of[h][t], a, b.x, b.y);
            u32 more[4] = {low[2], high[2], low[3], high[3]};
            multiply_add(sums.of[h][t], more, b.z, b.w);
        }
    }
}

// Add what units first..last-1 of a segment give; `queries` holds those units.
template <int KIND>
VQ_DEVICE void add_units(
    Sums& sums, const Segment& segment, Rows rows, i32 first, i32 last, const uint4* queries,
    Cell cell) {
    constexpr i32 EACH = KIND == VQ_SIGNS ? 8 : KIND == VQ_PAIRS ? 4 : KIND == VQ_BYTES ? 1 : 2;
    constexpr i32 STEP = EACH < 2 ? EACH : 2;
    [[maybe_unused]] constexpr i32 UNROLLED = VQ_UNROLLED;
    u32 table[4];
    spread_table(segment, table);
    rows.codes += cell.group;
    queries += cell.group * 4 + cell.in_group;
    i32 chunk = first / EACH * 4 + (i32)cell.in_group;
    uint4 here[4], next[VQ_AHEAD][4];
#pragma unroll
    for (int i = 0; i < VQ_AHEAD; i++, chunk += 4) load_rows(rows, chunk, next[i]);
#pragma unroll 1
    for (i32 unit = first; unit < last; unit += EACH) {
#pragma unroll
        for (int i = 0; i < 4; i++) here[i] = next[0][i], next[0][i] = next[VQ_AHEAD - 1][i];
        load_rows(rows, chunk, next[VQ_AHEAD - 1]);
        chunk += 4;
#pragma unroll 1
        for (int step = 0; step < EACH; step += STEP) {
#pragma unroll UNROLLED
            for (int u = 0; u < STEP; u++, queries += VQ_QUERIES * 4) {
                u32 levels[4][4];
#pragma unroll
                for (int i = 0; i < 4; i++) decode(KIND, table, here[i], u, levels[i]);
                add_unit(sums, levels, queries);
            }
            if (EACH > STEP) {
#pragma unroll
                for (int i = 0; i < 4; i++) here[i] = advance(KIND, here[i]);
            }
        }
    }
}

VQ_DEVICE void add_units_of(
    Sums& sums, const Segment& segment, Rows rows, i32 first, i32 last, const uint4* queries,
    Cell cell) {
#if VQ_MANY
    switch (segment.kind) {
        case VQ_NIBBLES:
            return add_units<VQ_NIBBLES>(sums, segment, rows, first, last, queries, cell);
        case VQ_LEVELS16:
            return add_units<VQ_LEVELS16>(sums, segment, rows, first, last, queries, cell);
        case VQ_SIGNS:
            return add_units<VQ_SIGNS>(sums, segment, rows, first, last, queries, cell);
        case VQ_PAIRS:
            return add_units<VQ_PAIRS>(sums, segment, rows, first, last, queries, cell);
        case VQ_BYTES:
            return add_units<VQ_BYTES>(sums, segment, rows, first, last, queries, cell);
    }
#else
    add_units<VQ_KIND>(sums, segment, rows, first, last, queries, cell);
#endif
}

struct Batch {
    const Stored* stored;
    const uint4* arranged;  // of this tile
    const float* half;
    const float* gamma;
    i32 padded, nq;
    const float* shares;
    i32 lists;
    u64* buffer;
    u32 capacity;
    u32* counts;
    i32 dense;
    i32 query;  // the first of this tile
};

// Turn a segment's sums into parts of scores and add those up: float32, as bits. `total` may be
// `sums` where there is one segment: registers are short.
VQ_DEVICE void finish_segment(
    const Sums& sums, const Batch& batch, i32 s, i64 block, Cell cell, Sums& total) {
    const Segment& segment = batch.stored->segments[s];
    float scales[4];
#pragma unroll
    for (int i = 0; i < 4; i++) {
        scales[i] = segment.scale ? scale_of(segment, 32 * block + cell.row(i)) : 1.0f;
    }
    const float* half = batch.half + (i64)s * batch.padded;
    const float* gamma = batch.gamma + (i64)s * batch.padded;
#pragma unroll
    for (int t = 0; t < VQ_TILES; t++) {
        VQ_FENCE;
#pragma unroll
        for (int j = 0; j < 2; j++) {
            i32 query = batch.query + cell.query(t, j);
            query = query < batch.nq ? query : batch.nq - 1;
            float middle = half[query], unit = gamma[query];
#pragma unroll
            for (int i = 0; i < 4; i++) {
                float part = part_of(sums.of[i / 2][t][i % 2 * 2 + j], middle, unit);
                i32& score = total.of[i / 2][t][i % 2 * 2 + j];
                part = multiply(part, scales[i]);
                score = (i32)bits_of(s == 0 ? part : add(float_of((u32)score), part));
            }
        }
    }
}

// Hand a row on that may be among the best of a query; `place` is its own in dense buffers.
VQ_DEVICE void append(
    const Batch& batch, i64 query, float score, i64 row, bool taken, i64 place, u64 least) {
    u64 key = taken ? key_of(score, rank_at(*batch.stored, row)) : 0;
    if (!batch.dense) {
        if (key <= least) return;
        place = atomicAdd(&batch.counts[query], 1u);
        if (place >= batch.capacity) return;
    }
    batch.buffer[query * batch.capacity + place] = key;
}

// Compare a block's scores with each query's k-th best; `place` is its first in dense buffers.
VQ_DEVICE void choose(
    const Batch& batch, i64 block, u32 mask, i64 place, Cell cell, const Sums& total,
    const u64* least) {
    const Stored& stored = *batch.stored;
    float bias[4];
#pragma unroll
    for (int i = 0; i < 4; i++) {
        bias[i] = stored.bias ? stored.bias[32 * block + cell.row(i)] : -0.0f;  // adds nothing
    }
    const float* shares = stored.owners ? batch.shares + stored.owners[block] : 0;
#pragma unroll
    for (int t = 0; t < VQ_TILES; t++) {
        VQ_FENCE;
#pragma unroll
        for (int j = 0; j < 2; j++) {
            i32 q = cell.query(t, j);
            i32 query = batch.query + q;
            bool there = query < batch.nq;
            float share = shares && there ? shares[(i64)query * batch.lists] : -0.0f;
            u64 lowest = least[q];
            float limit = lowest ? score_of(lowest) : float_of(0xff800000);
#pragma unroll
            for (int i = 0; i < 4; i++) {
                float score = float_of((u32)total.of[i / 2][t][i % 2 * 2 + j]);
                score = add(add(score, bias[i]), share);
                i32 r = cell.row(i);
                bool taken = mask >> r & 1;
                if (there && (batch.dense || (taken && score >= limit))) {
                    append(batch, query, score, 32 * block + r, taken, place + r, lowest);
                }
            }
        }
    }
}

VQ_DEVICE void copy_units(uint4* to, const uint4* from, i32 units) {
    for (i32 i = (i32)threadIdx.x; i < units * VQ_QUERIES * 4; i += VQ_THREADS) to[i] = from[i];
}

// One segment's sums of a block; all threads of the block take part where queries are not whole.
VQ_DEVICE void sum_segment(
    Sums& sums, const Segment& segment, Rows rows, bool here, const uint4* arranged, i32 start,
    i32 room, bool whole, uint4* queries, Cell cell) {
    i32 units = units_of(segment);
#pragma unroll
    for (int i = 0; i < 8 * VQ_TILES; i++) sums.of[i / 4 / VQ_TILES][i / 4 % VQ_TILES][i % 4] = 0;
#pragma unroll 1
    for (i32 first = 0; first < units; first += room) {
        i32 last = first + room < units ? first + room : units;
        const uint4* own = queries + (whole ? start * VQ_QUERIES * 4 : 0);
        if (!whole) {
            __syncthreads();
            copy_units(queries, arranged + (i64)(start + first) * VQ_QUERIES * 4, last - first);
            __syncthreads();
        }
        if (here) add_units_of(sums, segment, rows, first, last, own, cell);
    }
}

// Arguments as README.md has them.
extern "C" __global__ void __launch_bounds__(VQ_THREADS, VQ_BLOCKS) vq_batch(
    const Stored* stored, const uint4* arranged, const float* half, const float* gamma, i32 padded,
    i32 nq, const float* shares, i32 lists, const i64* blocks, const u32* masks, i64 nblocks,
    const u64* best, i32 keep, i32 k, u64* buffer, u32 capacity, u32* counts, i32 dense, i32 room,
    const uint4* spread) {
    VQ_DYNAMIC(uint4, queries);
    __shared__ u64 least[VQ_QUERIES];
    i32 units = units_of(*stored);
    bool whole = units <= room;
    i32 first_query = (i32)blockIdx.x * VQ_QUERIES;
    arranged += (i64)blockIdx.x * units * VQ_QUERIES * 4;
    Batch batch = {stored, arranged, half, gamma, padded, nq, shares, lists,
                   buffer, capacity, counts, dense, first_query};
    for (i32 q = (i32)threadIdx.x; q < VQ_QUERIES; q += VQ_THREADS) {
        i64 query = first_query + q;
        least[q] = best && query < nq ? best[query * keep + k - 1] : 0;
        if (dense && blockIdx.y == 0 && query < nq) counts[query] = (u32)(32 * nblocks);
    }
    if (whole) copy_units(queries, arranged, units);
    __syncthreads();
    u32 lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    Cell cell = {lane / 4, lane % 4};
    for (i64 top = (i64)blockIdx.y * 8; top < nblocks; top += (i64)gridDim.y * 8) {
        __syncwarp();  // lanes part where they append, and products are of whole warps
        i64 at = top + warp, block = 0;
        u32 mask = 0;
        if (at < nblocks) {
            block = block_of(blocks, at);
            mask = mask_of(*stored, masks, at, block);
        }
        bool here = mask != 0 || (dense && at < nblocks);
        Sums sums;
#if VQ_MANY
        Sums total;
#else
        Sums& total = sums;
#endif
        i32 start = 0;
        for (i32 s = 0; s < (VQ_MANY ? stored->count : 1); s++) {
            const Segment& segment = stored->segments[s];
            Rows rows = {segment.codes + block * segment.chunks * 32, segment.chunks};
            if (VQ_KIND == VQ_BYTES && spread) {
                rows.chunks = pieces_of(segment);
                rows.codes = spread + at * rows.chunks * 32;
            }
            sum_segment(sums, segment, rows, here, arranged, start, room, whole, queries, cell);
            if (here) finish_segment(sums, batch, s, block, cell, total);
            start += units_of(segment);
        }
        if (here) choose(batch, block, mask, 32 * at, cell, total, least);
    }
}
