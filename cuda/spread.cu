// Streams of codes as BYTES, for vq_batch: of one wave of blocks at a time, decoded once for all
// queries.
//
// Shapes     codes of the index's only segment, CODEWORDS; out (nblocks, dims / 16, 32) x 16 bytes,
//            the i-th of these blocks at i
// Bytes      16 * chunks read and dims written a row; a codebook stays in the L1 and L2 caches
// Work       a look-up and about 12 instructions a code
// Resources  grid (any, dims / 64), 256 threads, at most 40 registers; a warp takes 64 dimensions of a
//            block of rows at a time
#include "codewords.cuh"

extern "C" __global__ void __launch_bounds__(256, 6) vq_spread(
    const Stored* stored, const i64* blocks, i64 nblocks, uint4* out) {
    const Segment& segment = stored->segments[0];
    i32 units = segment.dims / 64, unit = (i32)blockIdx.y, lane = (i32)threadIdx.x % 32;
    i64 warp = (i64)blockIdx.x * 8 + threadIdx.x / 32;
    for (i64 at = warp; at < nblocks; at += (i64)gridDim.x * 8) {
        i64 block = block_of(blocks, at);
        Levels levels(segment, segment.codes + (block * segment.chunks * 32 + lane), 64 * unit);
        uint4* to = out + ((at * units + unit) * 4 * 32 + lane);
#pragma unroll 1
        for (int c = 0; c < 4; c++, to += 32) {
            u32 x = levels.next_four(), y = levels.next_four(), z = levels.next_four();
            *to = make_uint4(x, y, z, levels.next_four());
        }
    }
}
