// Rows rotated by signs, Walsh-Hadamard transforms and small mixing matrices; equal to the CPU's
// `hadamard.rotate` bit for bit, mixing matrices as they are stored (not as `pack` leaves them).
//
// Shapes     x, out (n, d) float32, rows x_stride and out_stride floats apart, so that a run of
//            dimensions may be rotated by itself; runs of `run` dimensions, d for all of them;
//            signs and mixes as hadamard.cuh has them
// Bytes      4 * d read and 4 * d written a row
// Work       rounds * d * (log2(width) + 2 p) float32 operations
// Resources  grid of any size, 128 threads, at most 96 registers; 8 * d bytes of dynamic shared memory, d
//            rounded up to a multiple of four
#include "hadamard.cuh"

#ifdef __CUDACC__
#define VQ_DYNAMIC(type, name) extern __shared__ type name[]
#endif

extern "C" __global__ void __launch_bounds__(VQ_ROW_THREADS, 5) vq_rotate(
    const float* x, i64 x_stride, float* out, i64 out_stride, i64 n, i32 d, i32 run, i32 p,
    i32 rounds, const float* signs, const float* mixes) {
    VQ_DYNAMIC(float, memory);
    for (i64 row = blockIdx.x; row < n; row += gridDim.x) {
        __syncthreads();
        for (i32 j = (i32)threadIdx.x; j < d; j += VQ_ROW_THREADS) memory[j] = x[row * x_stride + j];
        const float* y = rotate_row(memory, memory + room_of(d), d, run, p, rounds, signs, mixes);
        for (i32 j = (i32)threadIdx.x; j < d; j += VQ_ROW_THREADS) out[row * out_stride + j] = y[j];
    }
}
