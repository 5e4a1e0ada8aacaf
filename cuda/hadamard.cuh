// A Hadamard rotation of one row in shared memory, step by step as the CPU's: with d = width * p,
// a round is signs, butterflies along the width, and a mixing matrix (p, p).
//
// Each float32 step rounds once and in the CPU's order, so that the result is equal bit for bit.
#ifndef VQ_HADAMARD
#define VQ_HADAMARD

#include "core.cuh"

#define VQ_ROW_THREADS 128
#define VQ_WIDE 32  // widths from which mixing comes after the butterflies, not before

// `STAGES` stages of butterflies: the first axis of x, 2^STAGES long, becomes the last of y, which is
// 16-byte aligned where there are more than one.
template <int STAGES>
VQ_DEVICE void butterflies(const float* x, float* y, i32 d) {
    constexpr int SIZE = 1 << STAGES;
    i32 rest = d / SIZE;
    for (i32 r = (i32)threadIdx.x; r < rest; r += VQ_ROW_THREADS) {
        float v[SIZE];
#pragma unroll
        for (int i = 0; i < SIZE; i++) v[i] = x[i * rest + r];
#pragma unroll
        for (int half = SIZE / 2; half > 0; half /= 2) {
#pragma unroll
            for (int i = 0; i < SIZE; i++) {
                if (i & half) continue;
                float low = v[i], high = v[i + half];
                v[i] = add(low, high);
                v[i + half] = subtract(low, high);
            }
        }
        if (SIZE == 2) {
            y[2 * r] = v[0], y[2 * r + 1] = v[1];
        } else {  // one by one, lanes would meet in four banks
#pragma unroll
            for (int i = 0; i < SIZE; i += 4) {
                *(float4*)(y + SIZE * r + i) = make_float4(v[i], v[i + 1], v[i + 2], v[i + 3]);
            }
        }
    }
}

// Butterflies along the first axis of (width, p), which becomes the last; returns where they are.
VQ_DEVICE float* spread_row(float* x, float* spare, i32 width, i32 d) {
    while (width > 1) {
        __syncthreads();
        if (width >= 8) {
            butterflies<3>(x, spare, d);
            width /= 8;
        } else if (width == 4) {
            butterflies<2>(x, spare, d);
            width = 1;
        } else {
            butterflies<1>(x, spare, d);
            width = 1;
        }
        float* done = spare;
        spare = x;
        x = done;
    }
    __syncthreads();
    return x;
}

// Sums over i from first to last of mix[c, i] * x[i * step + at], for all c and places.
//     wide     x (p, width) to y (p, width): y[c * width + w]
//     narrow   x (width, p) to y (width, p): y[w * p + c]
VQ_DEVICE void mix_row(const float* x, float* y, const float* mix, i32 p, i32 width, bool wide) {
    i32 step = wide ? width : 1;
    __syncthreads();
    for (i32 j = (i32)threadIdx.x; j < p * width; j += VQ_ROW_THREADS) {
        i32 c = wide ? j / width : j % p;
        const float *from = x + (wide ? j % width : j - c), *row = mix + (i64)c * p;
        float total = 0;
#pragma unroll 4
        for (i32 i = 0; i < p; i++) total = add(total, multiply(row[i], from[i * step]));
        y[j] = total;
    }
}

// All rounds of a row of d values at `a`; `b` is as large. Returns where the result is: a or b.
// signs (rounds, d) of +-1, mixes (rounds, p, p). All threads of a block take part.
VQ_DEVICE float* rotate_row(
    float* a, float* b, i32 d, i32 p, i32 rounds, const float* signs, const float* mixes) {
    i32 width = d / p;
    bool wide = width >= VQ_WIDE;
    for (i32 round = 0; round < rounds; round++, signs += d, mixes += (i64)p * p) {
        __syncthreads();
        for (i32 j = (i32)threadIdx.x; j < d; j += VQ_ROW_THREADS) a[j] = multiply(a[j], signs[j]);
        if (!wide) {
            mix_row(a, b, mixes, p, width, false);
            float* mixed = b;
            b = a;
            a = mixed;
        }
        float* done = spread_row(a, b, width, d);
        if (done == b) {
            b = a;
            a = done;
        }
        if (wide) {
            mix_row(a, b, mixes, p, width, true);
            float* mixed = b;
            b = a;
            a = mixed;
        }
    }
    __syncthreads();
    return a;
}

#endif
