// Queries made ready to meet codes: what the CPU's codec does before a search, with its very bits.
//
//     asked     2 (q - center) under l2, q / |q| under cosine, q itself else
//     turned    runs of it, by rounds of signs, butterflies and a small matrix; see
//               hadamard_rotation.py
//     entries   int8 and their scale, for each segment; float32 where rows are floats
//     alpha     -|asked|^2 / 4 under l2, else <asked, center>
//
// Of codecs whose entries are the turned query alone. A query that is not finite gets the scale NaN,
// and so finds nothing.
//
// Shapes     queries (nq, dim) float32; entries (nq, row_bytes); one block for each query
// Bytes      4 * dim read and row_bytes written a query; signs and matrices out of a cache
// Resources  128 threads, at most 96 registers; 8 * dim bytes of dynamic shared memory, dim rounded
//            up to a multiple of four
#include "hadamard.cuh"
#include "program.cuh"

#define VQ_L2 0
#define VQ_COSINE 2

#ifdef __CUDACC__
#define VQ_DYNAMIC(type, name) extern __shared__ type name[]
VQ_DEVICE float scaled_by_power(float x, i32 power) { return ldexpf(x, power); }
VQ_DEVICE float nearest_whole(float x) { return rintf(x); }
VQ_DEVICE double add_product(double total, double x, double y) {
    return __dadd_rn(total, __dmul_rn(x, y));
}
#else
VQ_DEVICE float scaled_by_power(float x, i32 power) { return __builtin_ldexpf(x, power); }
VQ_DEVICE float nearest_whole(float x) { return __builtin_rintf(x); }
VQ_DEVICE double add_product(double total, double x, double y) { return total + x * y; }
#endif

struct Shared {
    float lanes[16];
    u32 largest;
    i32 sum;
};

// Sum of squares: sixteen partial sums, halves first. All threads take part, as in what follows.
VQ_DEVICE float square_norm(const float* x, i32 dim, Shared& shared) {
    u32 lane = threadIdx.x;
    if (lane < 16) {
        float total = 0.0f;
        for (i32 j = (i32)lane; j < dim; j += 16) total = add(total, multiply(x[j], x[j]));
        shared.lanes[lane] = total;
    }
    for (u32 width = 8; width > 0; width /= 2) {
        __syncthreads();
        if (lane < width) shared.lanes[lane] = add(shared.lanes[lane], shared.lanes[lane + width]);
    }
    __syncthreads();
    float total = shared.lanes[0];
    __syncthreads();
    return total;
}

// The largest magnitude of `count` entries, NaN if one of them is.
VQ_DEVICE float largest_of(const float* x, i32 count, Shared& shared) {
    if (threadIdx.x == 0) shared.largest = 0;
    __syncthreads();
    u32 own = 0;
    for (i32 j = (i32)threadIdx.x; j < count; j += VQ_ROW_THREADS) {
        u32 bits = bits_of(x[j]) & 0x7fffffff;
        own = bits > own ? bits : own;
    }
    atomicMax(&shared.largest, own);
    __syncthreads();
    float largest = float_of(shared.largest);
    __syncthreads();
    return largest;
}

VQ_DEVICE void divide_all(float* x, i32 dim, float by) {
    for (i32 j = (i32)threadIdx.x; j < dim; j += VQ_ROW_THREADS) x[j] = by != 0 ? divide(x[j], by) : 0;
    __syncthreads();
}

// x / |x|, zero where x is; by way of a power of two where squares may have lost digits.
VQ_DEVICE void normalize(float* x, i32 dim, Shared& shared) {
    float norm = square_root(square_norm(x, dim, shared));
    if (!(1e-15f < norm && norm < 1e15f)) {
        i32 power = 0;
        float largest = largest_of(x, dim, shared);
        if (largest > 0 && largest < float_of(0x7f800000)) {
            while (largest >= 1) largest = multiply(largest, 0.5f), power++;
            while (largest < 0.5f) largest = multiply(largest, 2.0f), power--;
        }
        for (i32 j = (i32)threadIdx.x; j < dim; j += VQ_ROW_THREADS) {
            x[j] = scaled_by_power(x[j], -power);
        }
        __syncthreads();
        norm = square_root(square_norm(x, dim, shared));
    }
    divide_all(x, dim, norm);
}

// The inner product in float64, one by one as on the CPU; x and y are in shared memory.
VQ_DEVICE double dot_in_turn(const float* x, const float* y, i32 dim) {
    double total = 0.0;
#pragma unroll 8
    for (i32 j = 0; j < dim; j++) total = add_product(total, x[j], y[j]);
    return total;
}

// Entries of one segment in whole steps of the largest over 127.
VQ_DEVICE void quantize(
    const float* x, i32 count, i32 room, i8* entries, float* half, float* gamma, Shared& shared) {
    float largest = largest_of(x, count, shared);
    float unit = divide(largest, 127.0f);
    bool finite = largest < float_of(0x7f800000);
    if (threadIdx.x == 0) shared.sum = 0;
    __syncthreads();
    i32 sum = 0;
    for (i32 j = (i32)threadIdx.x; j < room; j += VQ_ROW_THREADS) {
        float steps = finite && unit > 0 && j < count ? nearest_whole(divide(x[j], unit)) : 0.0f;
        steps = steps > 127.0f ? 127.0f : steps < -127.0f ? -127.0f : steps;  // unit may be denormal
        entries[j] = (i8)(i32)steps;
        sum += (i32)steps;
    }
    atomicAdd(&shared.sum, sum);
    __syncthreads();
    if (threadIdx.x == 0) {
        *half = multiply((float)shared.sum, 0.5f);
        *gamma = finite ? unit : float_of(0x7fc00000);
    }
    __syncthreads();
}

// center 0 for none; runs, signs and mixes as hadamard.cuh has them; the rest as README.md has queries,
// written but for `stored`.
extern "C" __global__ void __launch_bounds__(VQ_ROW_THREADS, 5) vq_query(
    const float* queries, i32 dim, i32 metric, const float* center, const float* signs,
    const float* mixes, i32 rounds, i32 run, i32 p, const Stored* stored, i8* entries, i64 row_bytes,
    float* half, float* gamma, i32 padded, float* alpha) {
    VQ_DYNAMIC(float, memory);
    __shared__ Shared shared;
    i64 query = blockIdx.x;
    float *a = memory, *b = memory + room_of(dim);
    for (i32 j = (i32)threadIdx.x; j < dim; j += VQ_ROW_THREADS) {
        float x = queries[query * dim + j];
        if (metric == VQ_L2) x = multiply(center ? subtract(x, center[j]) : x, 2.0f);
        a[j] = x;
    }
    __syncthreads();
    if (metric == VQ_COSINE) normalize(a, dim, shared);
    if (metric == VQ_L2) {
        float square = square_norm(a, dim, shared);
        if (threadIdx.x == 0) alpha[query] = multiply(square, -0.25f);
    } else {
        for (i32 j = (i32)threadIdx.x; center && j < dim; j += VQ_ROW_THREADS) b[j] = center[j];
        __syncthreads();
        if (threadIdx.x == 0) alpha[query] = center ? (float)dot_in_turn(a, b, dim) : 0.0f;
    }
    __syncthreads();
    const float* x = rotate_row(a, b, dim, run, p, rounds, signs, mixes);
    entries += query * row_bytes;
    for (i32 s = 0; s < stored->count; s++) {
        const Segment& segment = stored->segments[s];
        if (segment.kind == VQ_FLOATS || segment.kind == VQ_HALVES) {
            float* to = (float*)entries;
            for (i32 j = (i32)threadIdx.x; j < segment.dims; j += VQ_ROW_THREADS) {
                to[j] = j < dim ? x[j] : 0.0f;
            }
            continue;
        }
        i32 first = segment.entries, count = dim - first < segment.dims ? dim - first : segment.dims;
        i64 at = (i64)s * padded + query;
        quantize(x + first, count, segment.dims, entries + first, half + at, gamma + at, shared);
    }
}
