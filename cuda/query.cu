// Queries made ready to meet codes: what the CPU's codec does before a search, with its very bits.
//
//     asked     2 (q - center) under l2, q / |q| under cosine, q itself else
//     turned    rounds of signs, butterflies and a small matrix; see hadamard_rotation.py
//     entries   int8 and their scale, for each segment; float32 where rows are floats
//     alpha     -|asked|^2 / 4 under l2, else <asked, center>
//
// Of codecs whose entries are the turned query alone. A query that is not finite gets the scale NaN,
// and so finds nothing.
//
// Shapes     queries (nq, dim) float32; entries (nq, row_bytes); one block for each query
// Bytes      4 * dim read and row_bytes written a query; signs and matrices out of a cache
// Resources  256 threads, 32 registers; 8 * dim bytes of dynamic shared memory
#include "program.cuh"

#define VQ_THREADS 256
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

VQ_DEVICE float magnitude(float x) { return float_of(bits_of(x) & 0x7fffffff); }

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
    for (i32 j = (i32)threadIdx.x; j < count; j += VQ_THREADS) {
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
    for (i32 j = (i32)threadIdx.x; j < dim; j += VQ_THREADS) x[j] = by != 0 ? divide(x[j], by) : 0;
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
        for (i32 j = (i32)threadIdx.x; j < dim; j += VQ_THREADS) {
            x[j] = scaled_by_power(x[j], -power);
        }
        __syncthreads();
        norm = square_root(square_norm(x, dim, shared));
    }
    divide_all(x, dim, norm);
}

// Walsh-Hadamard transform of the columns of x (width, order).
VQ_DEVICE void butterflies(float* x, i32 width, i32 order) {
    for (i32 step = width / 2 * order; step >= order; step /= 2) {
        for (i32 i = (i32)threadIdx.x; i < width / 2 * order; i += VQ_THREADS) {
            i32 low = i / step * 2 * step + i % step;
            float a = x[low], b = x[low + step];
            x[low] = add(a, b);
            x[low + step] = subtract(a, b);
        }
        __syncthreads();
    }
}

// One round of a rotation. The matrix comes as hadamard.pack leaves it: rows of `stride` floats,
// before the butterflies and transposed where columns are short.
VQ_DEVICE float* turn(
    float* x, float* a, float* b, const float* signs, const float* mix, i32 dim, i32 order,
    i32 stride) {
    i32 width = dim / order;
    bool is_wide = width >= 32;
    for (i32 j = (i32)threadIdx.x; j < dim; j += VQ_THREADS) a[j] = multiply(x[j], signs[j]);
    __syncthreads();
    if (is_wide) butterflies(a, width, order);
    for (i32 i = (i32)threadIdx.x; i < dim; i += VQ_THREADS) {
        i32 row = is_wide ? i / width : i % order, column = is_wide ? i % width : i / order;
        float total = 0.0f;
        for (i32 c = 0; c < order; c++) {
            float entry = is_wide ? mix[row * stride + c] : mix[c * stride + row];
            total = add(total, multiply(entry, a[column * order + c]));
        }
        b[i] = total;
    }
    __syncthreads();
    if (is_wide) return b;
    butterflies(b, width, order);
    for (i32 i = (i32)threadIdx.x; i < dim; i += VQ_THREADS) a[i] = b[i % width * order + i / width];
    __syncthreads();
    return a;
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
    for (i32 j = (i32)threadIdx.x; j < room; j += VQ_THREADS) {
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

// center 0 for none; signs (rounds, dim), mixes `mix` floats apart with rows of `stride`; the others
// as README.md has queries, written.
extern "C" __global__ void __launch_bounds__(VQ_THREADS) vq_query(
    const float* queries, i32 dim, i32 metric, const float* center, const float* signs,
    const float* mixes, i32 rounds, i32 order, i32 mix, i32 stride, const Stored* stored,
    i8* entries, i64 row_bytes, float* half, float* gamma, i32 padded, float* alpha) {
    VQ_DYNAMIC(float, memory);
    __shared__ Shared shared;
    i64 query = blockIdx.x;
    float *a = memory, *b = memory + dim;
    for (i32 j = (i32)threadIdx.x; j < dim; j += VQ_THREADS) {
        float x = queries[query * dim + j];
        if (metric == VQ_L2) x = multiply(center ? subtract(x, center[j]) : x, 2.0f);
        a[j] = x;
    }
    __syncthreads();
    if (metric == VQ_COSINE) normalize(a, dim, shared);
    if (metric == VQ_L2) {
        float square = square_norm(a, dim, shared);
        if (threadIdx.x == 0) alpha[query] = multiply(square, -0.25f);
    } else if (threadIdx.x == 0) {
        double total = 0.0;
        for (i32 j = 0; center && j < dim; j++) total = add_product(total, a[j], center[j]);
        alpha[query] = (float)total;
    }
    __syncthreads();
    float* x = a;
    for (i32 round = 0; round < rounds; round++) {
        const float* own = mixes + (i64)round * mix;
        x = turn(x, a, b, signs + (i64)round * dim, own, dim, order, stride);
    }
    entries += query * row_bytes;
    for (i32 s = 0; s < stored->count; s++) {
        const Segment& segment = stored->segments[s];
        if (segment.kind == VQ_FLOATS || segment.kind == VQ_HALVES) {
            float* to = (float*)entries;
            for (i32 j = (i32)threadIdx.x; j < segment.dims; j += VQ_THREADS) {
                to[j] = j < dim ? x[j] : 0.0f;
            }
            continue;
        }
        i32 first = segment.entries, count = dim - first < segment.dims ? dim - first : segment.dims;
        i64 at = (i64)s * padded + query;
        quantize(x + first, count, segment.dims, entries + first, half + at, gamma + at, shared);
    }
}
