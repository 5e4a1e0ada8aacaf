// Scores of signs with one query by counting: the query's int8 entries are cut into bit planes, and
// the tensor cores count the signs that meet a set bit, of sixteen rows and all eight planes at once.
//
//     raw = t * sum - (2 t + 1) * (sum of negative entries)
//     sum of negative entries = sum over b < 7 of 2^b * count(signs & plane b), - 2^7 * that of 7
//
// The same as vq_scan_scalar does for SIGNS by dp4a, which takes more instructions than the memory
// leaves time for. Native up to sm_90; later cards make eight int8 products of each, and have time.
//
// Shapes     codes (blocks, chunks, 32) x 16 bytes, one segment of SIGNS; as scan.cuh else
// Bytes      16 * chunks + 4 for each factor a row, read once
// Work       one mma m16n8k256 for 256 dimensions of 16 rows
// Resources  256 threads, at most 128 registers; 16 KB for planes, 8 VQ_KEEP + 16 KB for the queue
#include "scan.cuh"

#define VQ_CHUNKS 128  // of planes in shared memory: all of them, or so many at a time

// c += counts of bits that are set in both: of 16 rows by 256 bits, and of 8 planes by 256 bits.
VQ_DEVICE void count_both(i32 c[4], u32 a0, u32 a1, u32 a2, u32 a3, u32 b0, u32 b1) {
#ifdef __CUDACC__
    asm("mma.sync.aligned.m16n8k256.row.col.s32.b1.b1.s32.and.popc "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
        : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
#else
    u32 a[4] = {a0, a1, a2, a3};
    emulated_mma(c, a, b0, b1, [](u32 x, u32 y) { return __builtin_popcount(x & y); });
#endif
}

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

    // The sum of entries that are negative, over some chunks of a block, of this lane's row.
    //
    // Four lanes share rows i, i + 8, i + 16 and i + 24; each reads every fourth chunk, and of a
    // product's counts has those of two planes. The order of dimensions is that of the reading.
    VQ_DEVICE static i32 negative_sum(const uint4* codes, i32 chunks, const uint4* planes) {
        i32 lane = (i32)threadIdx.x % 32, own = lane % 4, i = lane / 4;
        i32 counts[2][4] = {{0, 0, 0, 0}, {0, 0, 0, 0}};
#pragma unroll 2
        for (i32 first = 0; first < chunks; first += 4) {
            i32 c = first + own;
            bool there = c < chunks;
            uint4 x[4], p = planes[c * 8 + i];
#pragma unroll
            for (int r = 0; r < 4; r++) {
                x[r] = there ? load_codes(codes + c * 32LL + i + 8 * r) : make_uint4(0, 0, 0, 0);
            }
#pragma unroll
            for (int h = 0; h < 2; h++) {
                uint4 low = x[2 * h], high = x[2 * h + 1];
                count_both(counts[h], low.x, high.x, low.y, high.y, p.x, p.y);
                count_both(counts[h], low.z, high.z, low.w, high.w, p.z, p.w);
            }
        }
        i32 total = 0;
#pragma unroll
        for (int r = 0; r < 4; r++) {
            i32 even = counts[r / 2][2 * (r % 2)], odd = counts[r / 2][2 * (r % 2) + 1];
            i32 sum = (even << 2 * own) + (own == 3 ? -(odd << 7) : odd << (2 * own + 1));
            sum += __shfl_xor_sync(VQ_ALL, sum, 1);
            sum += __shfl_xor_sync(VQ_ALL, sum, 2);
            sum = __shfl_sync(VQ_ALL, sum, 4 * (lane % 8));
            if (i / 2 == r) total = sum;
        }
        return total;
    }

    VQ_DEVICE float part(const Segment& segment, i32 s, i64 block, bool here) const {
        const uint4* codes = segment.codes + block * segment.chunks * 32;
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

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 1000
#define RESIDENT 1  // blocks of a multiprocessor: two would spill there
#else
#define RESIDENT 2
#endif

extern "C" __global__ void __launch_bounds__(VQ_THREADS, RESIDENT) vq_scan_signs(VQ_SCAN_ARGUMENTS) {
    __shared__ Queue queue;
    __shared__ uint4 planes[VQ_CHUNKS * 8];
    VQ_SCAN_OF_QUERY
    Signs family = {&scan, planes, false};
    scan_rows(scan, family, queue);
}
