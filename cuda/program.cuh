// What kernels are told of an index and of a search, and how a row's score is put together.
//
//     score = sum over segments of ((raw + half) * gamma) * scale, + bias, + share of its list
//
// Each float32 step rounds once, in this order.
#ifndef VQ_PROGRAM
#define VQ_PROGRAM

#include "core.cuh"

#define VQ_EMPTY 0
#define VQ_SIGNS 1
#define VQ_PAIRS 2
#define VQ_NIBBLES 4
#define VQ_LEVELS16 5
#define VQ_BYTES 8
#define VQ_CODEWORDS 9
#define VQ_TABLE4 16
#define VQ_TABLE8 17
#define VQ_SPARSE 18
#define VQ_FLOATS 32
#define VQ_HALVES 33

struct Segment {
    const uint4* codes;  // (blocks, chunks, 32)
    const float* scale;  // (rows,) or 0
    const u16* ratio;    // (rows,) float16 or 0
    const void* codebook;
    i32 kind;
    i32 chunks;
    i32 entries;  // byte offset in a prepared query
    i32 dims;
    u32 table[4];
    i32 window, stride, count, group;
};

struct Stored {
    const Segment* segments;
    const float* bias;   // (rows,) or 0
    const u32* ranks;    // (rows,) or 0
    const i32* owners;   // (blocks,) or 0
    i64 rows;
    i32 count;
    i32 unused;
};

static_assert(sizeof(Segment) == 80 && sizeof(Stored) == 48, "README.md gives these sizes");

// What a segment's part of a row is multiplied by; only where it has a scale.
VQ_DEVICE float scale_of(const Segment& segment, i64 row) {
    float scale = segment.scale[row];
    return segment.ratio ? multiply(scale, half_to_float(segment.ratio[row])) : scale;
}

VQ_DEVICE float scaled(const Segment& segment, i64 row, float part) {
    return segment.scale ? multiply(part, scale_of(segment, row)) : part;
}

// The number of the i-th block, and which of its rows take part.
VQ_DEVICE i64 block_of(const i64* blocks, i64 i) { return blocks ? blocks[i] : i; }

VQ_DEVICE u32 mask_of(const Stored& stored, const u32* masks, i64 i, i64 block) {
    i64 left = stored.rows - 32 * block;
    u32 mask = masks ? masks[i] : 0xffffffffu;
    if (left >= 32) return mask;
    return left <= 0 ? 0 : mask & ((1u << left) - 1);
}

VQ_DEVICE u32 rank_at(const Stored& stored, i64 row) {
    return stored.ranks ? stored.ranks[row] : (u32)row;
}

// The score of a row from the sum of its parts.
VQ_DEVICE float finished(const Stored& stored, i64 row, float score, float share) {
    if (stored.bias) score = add(score, stored.bias[row]);
    return stored.owners ? add(score, share) : score;
}

VQ_DEVICE float share_at(const Stored& stored, const float* shares, i64 block) {
    return stored.owners ? shares[stored.owners[block]] : 0.0f;
}

// Sixteen lanes of a half warp to their sum, halves first, in every lane.
VQ_DEVICE float sum_lanes(float x) {
#pragma unroll
    for (int step = 8; step > 0; step /= 2) x = add(x, __shfl_xor_sync(0xffffffffu, x, step));
    return x;
}

// 16 bytes of codes, which no cache need keep.
VQ_DEVICE uint4 load_codes(const uint4* at) {
#ifdef __CUDACC__
    uint4 x;
    asm("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
        : "=r"(x.x), "=r"(x.y), "=r"(x.z), "=r"(x.w)
        : "l"(at));
    return x;
#else
    return *at;
#endif
}

// 16-byte pieces of a row's codes as they meet a query: of streams, once they are decoded to BYTES.
VQ_DEVICE i32 pieces_of(const Segment& segment) {
    return segment.kind == VQ_CODEWORDS ? segment.dims / 16 : segment.chunks;
}

// Words of a query that such a piece meets, four entries each.
VQ_DEVICE i32 words_of(i32 kind) {
    if (kind == VQ_SIGNS) return 32;
    if (kind == VQ_PAIRS) return 16;
    if (kind == VQ_BYTES || kind == VQ_CODEWORDS) return 4;
    return kind == VQ_EMPTY ? 0 : 8;
}

// Entry i of the w-th such word: planes give every eighth bit of 32 at a time.
VQ_DEVICE i32 entry_of(i32 kind, i32 word, i32 i) {
    if (kind == VQ_SIGNS || kind == VQ_PAIRS) return 32 * (word / 8) + word % 8 + 8 * i;
    return 4 * word + i;
}

// That word of a query's share of a segment, zero beyond its last entry.
VQ_DEVICE u32 word_at(const Segment& segment, const i8* entries, i32 chunk, i32 word) {
    i32 words = words_of(segment.kind);
    u32 four_entries = 0;
    for (i32 i = 0; i < 4; i++) {
        i32 j = 4 * words * chunk + entry_of(segment.kind, word, i);
        if (j < segment.dims) four_entries |= (u32)(u8)entries[j] << 8 * i;
    }
    return four_entries;
}

#endif
