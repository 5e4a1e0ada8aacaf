// Scores of signs with one query by population count: the query's int8 entries are cut into bit
// planes, and a plane's sum over the negative entries of 32 dimensions is one AND and one count.
//
//     raw = t * sum - (2 t + 1) * (sum of negative entries)
//     sum of negative entries = sum over b < 7 of 2^b * count(signs & plane b), - 2^7 * that of 7
//
// The same as vq_scan_scalar does for SIGNS by dp4a; which of the two is faster is up to the card's
// rate of population counts (16 a clock and multiprocessor up to Hopper: dp4a is ahead there unless
// entries are coarser). VQ_PLANES 4 is exact for entries in [-8, 7].
//
// Shapes     codes (blocks, chunks, 32) x 16 bytes, one segment of SIGNS; as scan.cuh else
// Bytes      16 * chunks + 4 for each factor a row, read once
// Work       VQ_PLANES counts, ANDs and additions for 32 dimensions
// Resources  256 threads, at most 80 registers; 16 KB for planes, 8 VQ_KEEP + 16 KB for the queue
#include "scan.cuh"

#ifndef VQ_PLANES
#define VQ_PLANES 8
#endif
#define VQ_CHUNKS 128  // of planes in shared memory: all of them, or so many at a time

struct Signs {
    const Scan* scan;
    uint4* planes;  // (VQ_CHUNKS, 8): words 0..3 of a chunk, of each plane
    bool whole;

    // Planes of chunks first..last-1. All threads take part.
    VQ_DEVICE void stage(const Segment& segment, i32 first, i32 last) const {
        const i8* entries = scan->entries + segment.entries;
        i32 lane = (i32)threadIdx.x % 32;
        for (i32 w = 4 * first + (i32)threadIdx.x / 32; w < 4 * last; w += VQ_THREADS / 32) {
            i32 j = 32 * w + lane, entry = j < segment.dims ? entries[j] : 0;
            u32 own = 0;
            for (i32 b = 0; b < 8; b++) {
                u32 plane = __ballot_sync(VQ_ALL, entry >> b & 1);
                if (lane == b) own = plane;
            }
            i32 at = w - 4 * first;
            if (lane < 8) ((u32*)planes)[(at / 4 * 8 + lane) * 4 + at % 4] = own;
        }
    }

    VQ_DEVICE void begin(const Scan& own) {
        scan = &own;
        const Segment& segment = own.stored->segments[own.first];
        whole = segment.chunks <= VQ_CHUNKS && own.last == own.first + 1;
        if (whole) stage(segment, 0, segment.chunks);
        __syncthreads();
    }

    // The sum of entries that are negative, over some chunks.
    VQ_DEVICE static i32 negative_sum(const uint4* codes, i32 chunks, const uint4* plane) {
        i32 counts[VQ_PLANES];
#pragma unroll
        for (int b = 0; b < VQ_PLANES; b++) counts[b] = 0;
#pragma unroll 1  // eight planes of four words are enough at once
        for (i32 c = 0; c < chunks; c++, codes += 32, plane += 8) {
            uint4 x = load_codes(codes);
#pragma unroll
            for (int b = 0; b < VQ_PLANES; b++) {
                uint4 p = plane[b];
                counts[b] += bit_count(x.x & p.x) + bit_count(x.y & p.y);
                counts[b] += bit_count(x.z & p.z) + bit_count(x.w & p.w);
            }
        }
        i32 total = -(counts[VQ_PLANES - 1] << (VQ_PLANES - 1));
#pragma unroll
        for (int b = 0; b < VQ_PLANES - 1; b++) total += counts[b] << b;
        return total;
    }

    VQ_DEVICE float part(const Segment& segment, i32 s, i64 block, bool here) const {
        const uint4* codes = segment.codes + (block * segment.chunks * 32 + threadIdx.x % 32);
        i32 negative = 0;
        if (whole) {
            if (here) negative = negative_sum(codes, segment.chunks, planes);
        } else {
            for (i32 first = 0; first < segment.chunks; first += VQ_CHUNKS) {
                i32 last = first + VQ_CHUNKS < segment.chunks ? first + VQ_CHUNKS : segment.chunks;
                __syncthreads();
                stage(segment, first, last);
                __syncthreads();
                if (here) negative += negative_sum(codes + first * 32LL, last - first, planes);
            }
        }
        i32 t = (i8)segment.table[0];
        i32 raw = raw_of_planes(t, t, scan->sum_of(s), negative, 0);
        return part_of(raw, scan->half_of(s), scan->gamma_of(s));
    }
};

extern "C" __global__ void __launch_bounds__(VQ_THREADS, 3) vq_scan_signs(VQ_SCAN_ARGUMENTS) {
    __shared__ Queue queue;
    __shared__ uint4 planes[VQ_CHUNKS * 8];
    VQ_SCAN_OF_QUERY
    Signs family = {&scan, planes, false};
    scan_rows(scan, family, queue);
}
