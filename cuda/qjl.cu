// Signs of random projections of rows, and what they are worth: a QJL sketch, or QJL codes.
//
// A projection is made of blocks of `dim` rows, each a rotation as hadamard.cu has it, of which the
// last is cut short after `bits` signs. A dense one is a rotation of p = dim, one round, signs of 1
// and the transposed matrix as its mixes. Equal to the CPU's bit for bit. The signs are scored as
// any SIGNS segment, by vq_scan_scalar, vq_scan_signs or vq_batch.
//
// Shapes     y (n, dim) float32, row i becoming row first + i; signs (blocks, rounds, dim), mixes
//            (blocks, rounds, p, p); codes (row blocks, chunks, 32) x 16 bytes; scale (rows,) float32:
//            norm * worth
// Bytes      4 * dim read, bits / 8 + 4 written a row
// Work       that of ceil(bits / dim) rotations
// Resources  grid of any size, 128 threads, at most 64 registers; 12 * dim bytes of dynamic shared
//            memory, dim rounded up to a multiple of four, and a bit for each sign, rounded up to 16 bytes
#include "hadamard.cuh"

#ifdef __CUDACC__
#define VQ_DYNAMIC(type, name) extern __shared__ type name[]
#endif

// The square norm of a row in sixteen lanes, halves first; all threads of the block take part.
VQ_DEVICE float square_norm(const float* y, i32 dim, float* lanes) {
    if (threadIdx.x < 16) {
        float total = 0;
        for (i32 j = (i32)threadIdx.x; j < dim; j += 16) total = add(total, multiply(y[j], y[j]));
        lanes[threadIdx.x] = total;
    }
    for (u32 half = 8; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half) lanes[threadIdx.x] = add(lanes[threadIdx.x], lanes[threadIdx.x + half]);
    }
    __syncthreads();
    return lanes[0];
}

extern "C" __global__ void __launch_bounds__(VQ_ROW_THREADS, 8) vq_qjl(
    const float* y, i64 n, i64 first, i32 dim, i32 bits, i32 p, i32 rounds, const float* signs,
    const float* mixes, u32* codes, i32 chunks, float* scale, float worth) {
    VQ_DYNAMIC(float, memory);
    __shared__ float lanes[16];
    i32 room = room_of(dim);
    float *own = memory, *a = memory + room, *b = memory + 2 * room;
    u32* words = (u32*)(memory + 3 * room);
    for (i64 i = blockIdx.x; i < n; i += gridDim.x) {
        i64 row = first + i;
        __syncthreads();
        for (i32 j = (i32)threadIdx.x; j < dim; j += VQ_ROW_THREADS) own[j] = y[i * dim + j];
        for (i32 w = (i32)threadIdx.x; w < 4 * chunks; w += VQ_ROW_THREADS) words[w] = 0;
        __syncthreads();
        for (i32 start = 0, k = 0; start < bits; start += dim, k++) {
            for (i32 j = (i32)threadIdx.x; j < dim; j += VQ_ROW_THREADS) a[j] = own[j];
            const float* mix = mixes + (i64)k * rounds * p * p;
            const float* z = rotate_runs(
                a, b, dim, dim, p, rounds, signs + (i64)k * rounds * dim, mix);
            i32 here = bits - start < dim ? bits - start : dim;
            for (i32 j = (i32)threadIdx.x; j < here; j += VQ_ROW_THREADS) {
                u32 bit = (u32)(start + j);
                if (z[j] < 0) atomicOr(&words[bit / 32], 1u << bit % 32);
            }
            __syncthreads();
        }
        float norm = square_root(square_norm(own, dim, lanes));
        for (i32 w = (i32)threadIdx.x; w < 4 * chunks; w += VQ_ROW_THREADS) {
            codes[(((row / 32) * chunks + w / 4) * 32 + row % 32) * 4 + w % 4] = words[w];
        }
        if (threadIdx.x == 0) scale[row] = multiply(norm, worth);
    }
}
