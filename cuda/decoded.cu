// Scores of rows that are decoded as they are read: streams of codewords (trellis and vector
// quantizers), whose decoding is fused with the inner product, and rows of float32 and float16.
//
// Streams are read as codewords.cuh says. Floats are summed as on the CPU: sixteen lanes over
// dimensions j, j + 16, ..., then halves first, products and sums rounded one by one.
//
// Shapes     codes (blocks, chunks, 32) x 16 bytes; codebook (2^window, 4 or 8) int8; query int8 of
//            CODEWORDS, (dims,) float32 of FLOATS and HALVES, whose rows are padded with zeros
// Bytes      16 * chunks a row and segment, and 4 for each factor; a codebook stays in the L1 and L2
//            caches
// Work       of CODEWORDS a look-up a code and a dp4a every four levels; of floats 2 operations a
//            dimension
// Resources  256 threads, at most 80 registers; 8 VQ_KEEP + 16 KB for the queue; a query is read
//            through the L1 cache
#include "codewords.cuh"
#include "scan.cuh"

struct Decoded {
    const Scan* scan;

    VQ_DEVICE void begin(const Scan& own) {
        scan = &own;
        __syncthreads();
    }

    VQ_DEVICE i32 raw_codewords(const Segment& segment, const uint4* codes) const {
        const u32* entries = (const u32*)(scan->entries + segment.entries);
        Levels levels(segment, codes, 0);
        i32 words = (segment.count * segment.group + 3) / 4, raw = 0;
        for (i32 w = 0; w < words; w++) raw = dot4(levels.next_four(), entries[w], raw);
        return raw;
    }

    // Entry k of four from the i-th four of a piece of codes.
    template <int KIND>
    VQ_DEVICE static float entry_of(uint4 x, int i, int k) {
        if (KIND == VQ_FLOATS) return float_of(k == 0 ? x.x : k == 1 ? x.y : k == 2 ? x.z : x.w);
        u32 pair = i % 2 == 0 ? (k < 2 ? x.x : x.y) : (k < 2 ? x.z : x.w);
        return half_to_float((u16)(pair >> 16 * (k % 2)));
    }

    template <int KIND>
    VQ_DEVICE float dot_floats(const Segment& segment, const uint4* codes) const {
        constexpr i32 EACH = KIND == VQ_FLOATS ? 4 : 2;  // chunks of sixteen entries
        const float4* query = (const float4*)(scan->entries + segment.entries);
        float lanes[16];
#pragma unroll
        for (int i = 0; i < 16; i++) lanes[i] = 0;
        for (i32 c = 0; c < segment.chunks; c += EACH, query += 4) {
#pragma unroll
            for (int i = 0; i < 4; i++) {
                i32 chunk = c + (EACH == 4 ? i : i / 2);
                bool there = chunk < segment.chunks;
                uint4 x = there ? load_codes(codes + chunk * 32LL) : make_uint4(0, 0, 0, 0);
                float4 q = query[i];
                float asked[4] = {q.x, q.y, q.z, q.w};
#pragma unroll
                for (int k = 0; k < 4; k++) {
                    float product = multiply(entry_of<KIND>(x, i, k), asked[k]);
                    lanes[4 * i + k] = add(lanes[4 * i + k], product);
                }
            }
        }
#pragma unroll
        for (int i = 0; i < 8; i++) lanes[i] = add(lanes[i], lanes[i + 8]);
#pragma unroll
        for (int i = 0; i < 4; i++) lanes[i] = add(lanes[i], lanes[i + 4]);
        return add(add(lanes[0], lanes[2]), add(lanes[1], lanes[3]));
    }

    VQ_DEVICE float part(const Segment& segment, i32 s, i64 block, bool here) const {
        if (!here) return 0;
        const uint4* codes = segment.codes + (block * segment.chunks * 32 + threadIdx.x % 32);
        if (segment.kind == VQ_FLOATS) return dot_floats<VQ_FLOATS>(segment, codes);
        if (segment.kind == VQ_HALVES) return dot_floats<VQ_HALVES>(segment, codes);
        return part_of(raw_codewords(segment, codes), scan->half_of(s), scan->gamma_of(s));
    }
};

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 1200
#define RESIDENT 2  // blocks of a multiprocessor: three would spill there
#else
#define RESIDENT 3
#endif

extern "C" __global__ void __launch_bounds__(VQ_THREADS, RESIDENT) vq_scan_decoded(VQ_SCAN_ARGUMENTS) {
    __shared__ Queue queue;
    VQ_SCAN_OF_QUERY
    Decoded family = {&scan};
    scan_rows(scan, family, queue);
}
