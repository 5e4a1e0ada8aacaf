// A Hadamard rotation of one row in shared memory, step by step as the CPU's: with d = width * p,
// a round is signs, butterflies along the width, and a mixing matrix (p, p). Runs of dimensions may be
// rotated each by itself: all at once where they are alike, and then the shorter one that is left.
//
// Each float32 step rounds once and in the CPU's order, so that the result is equal bit for bit.
#ifndef VQ_HADAMARD
#define VQ_HADAMARD

#include "core.cuh"

#define VQ_ROW_THREADS 128
#define VQ_WIDE 32  // widths from which mixing comes after the butterflies, not before

// Floats of a row in shared memory: what follows is 16-byte aligned.
VQ_DEVICE i32 room_of(i32 d) { return (d + 3) / 4 * 4; }

// `STAGES` stages of butterflies in runs of d values, which are multiplied by signs first, if given:
// the first axis of each run of x, 2^STAGES long, becomes the last of y. Both are 16-byte aligned
// where there are more than one.
template <int STAGES>
VQ_DEVICE void butterflies(const float* x, float* y, const float* signs, i32 d, i32 run) {
    constexpr int SIZE = 1 << STAGES;
    i32 rest = run / SIZE, inside = run < d ? rest - 1 : -1;  // several runs are of powers of two
#pragma unroll 1
    for (i32 r = (i32)threadIdx.x; r < d / SIZE; r += VQ_ROW_THREADS) {
        i32 from = SIZE * (r - (r & inside)) + (r & inside);
        float v[SIZE];
#pragma unroll
        for (int i = 0; i < SIZE; i++) {
            i32 at = from + i * rest;
            v[i] = signs ? multiply(x[at], signs[at]) : x[at];
        }
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
            *(float2*)(y + 2 * r) = make_float2(v[0], v[1]);
        } else if (SIZE == 4) {
            *(float4*)(y + 4 * r) = make_float4(v[0], v[1], v[2], v[3]);
        } else {  // four lanes store the other half first: eight would meet in half of the banks
            float4 low = make_float4(v[0], v[1], v[2], v[3]);
            float4 high = make_float4(v[SIZE - 4], v[SIZE - 3], v[SIZE - 2], v[SIZE - 1]);
            bool other = r & 4;
            *(float4*)(y + 8 * r + (other ? 4 : 0)) = other ? high : low;
            *(float4*)(y + 8 * r + (other ? 0 : 4)) = other ? low : high;
        }
    }
}

// Butterflies along the first axis of each run of (width, any), which becomes the last; returns where
// they are.
VQ_DEVICE float* spread_row(
    float* x, float* spare, const float* signs, i32 width, i32 d, i32 run) {
    for (; width > 1; signs = 0) {
        __syncthreads();
        if (width >= 8) {
            butterflies<3>(x, spare, signs, d, run);
            width /= 8;
        } else if (width == 4) {
            butterflies<2>(x, spare, signs, d, run);
            width = 1;
        } else {
            butterflies<1>(x, spare, signs, d, run);
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
VQ_DEVICE void mix_row(const float* x, float* y, const float* mix, i32 p, i32 d, bool wide) {
    i32 width = d / p, step = wide ? width : 1;
    __syncthreads();
    for (i32 j = (i32)threadIdx.x; j < d; j += VQ_ROW_THREADS) {
        i32 c = p == 1 ? 0 : wide ? j / width : j % p;
        const float *from = x + (p == 1 ? j : wide ? j % width : j - c), *row = mix + (i64)c * p;
        float total = 0;
#pragma unroll 4
        for (i32 i = 0; i < p; i++) total = add(total, multiply(row[i], from[i * step]));
        y[j] = total;
    }
}

// The same where p is a multiple of four: four sums at a time, of four products at a time.
VQ_DEVICE void mix_row_by_four(const float* x, float* y, const float* mix, i32 p, i32 d, bool wide) {
    i32 width = d / p, step = wide ? width : 1;
    __syncthreads();
#pragma unroll 1
    for (i32 t = (i32)threadIdx.x; t < d / 4; t += VQ_ROW_THREADS) {
        i32 c = 4 * (wide ? t / width : t % (p / 4)), w = wide ? t % width : t / (p / 4);
        const float* from = x + (wide ? w : w * p);
        float total[4] = {0, 0, 0, 0};
#pragma unroll 1
        for (i32 i = 0; i < p; i += 4, from += 4 * step) {
            float v[4] = {from[0], from[step], from[2 * step], from[3 * step]};
#pragma unroll
            for (int k = 0; k < 4; k++) {
                float4 row = *(const float4*)(mix + (i64)(c + k) * p + i);
                total[k] = add(total[k], multiply(row.x, v[0]));
                total[k] = add(total[k], multiply(row.y, v[1]));
                total[k] = add(total[k], multiply(row.z, v[2]));
                total[k] = add(total[k], multiply(row.w, v[3]));
            }
        }
        float* to = y + (wide ? c * width + w : w * p + c);
#pragma unroll
        for (int k = 0; k < 4; k++) to[k * step] = total[k];
    }
}

// All rounds of d values at `a`, runs alike; `b` is as large. Returns where the result is: a or b.
// All threads of a block take part.
VQ_DEVICE float* rotate_runs(
    float* a, float* b, i32 d, i32 run, i32 p, i32 rounds, const float* signs, const float* mixes) {
    i32 width = run / p;
    bool wide = width >= VQ_WIDE;
    for (i32 round = 0; round < rounds; round++, signs += d, mixes += (i64)p * p) {
        __syncthreads();
        for (i32 j = (i32)threadIdx.x; !wide && j < d; j += VQ_ROW_THREADS) {
            a[j] = multiply(a[j], signs[j]);
        }
#pragma unroll 1
        for (int step = 0; step < 2; step++) {
            float* done = b;
            if (step == (wide ? 0 : 1)) {
                done = spread_row(a, b, wide ? signs : 0, width, d, run);
            } else if (p % 4 == 0) {
                mix_row_by_four(a, b, mixes, p, d, wide);
            } else {
                mix_row(a, b, mixes, p, d, wide);
            }
            if (done == b) {
                b = a;
                a = done;
            }
        }
    }
    __syncthreads();
    return a;
}

// A row of d values at `a`, in runs of so many, of which the last may be shorter; `b` is as large and
// 16-byte aligned, too. Returns where the result is: a or b.
//
// signs    rounds * d of +-1: (rounds, d) or, where one is shorter, those of the others before its own
// mixes    (rounds, p, p), 16-byte aligned, of the shorter or only run; of several alike, whose p is 1,
//          a number for each round, and behind them room up to a multiple of four
VQ_DEVICE float* rotate_row(
    float* a, float* b, i32 d, i32 run, i32 p, i32 rounds, const float* signs, const float* mixes) {
    float* out = a;
#pragma unroll 1
    for (i32 start = 0; start < d;) {
        bool several = start == 0 && run < d;
        i32 size = several ? d / run * run : d - start;
        float* y = rotate_runs(
            a + start, b + start, size, several ? run : size, several ? 1 : p, rounds,
            signs + (i64)rounds * start, mixes + (start ? room_of(rounds) : 0));
        if (start == 0) {
            out = y == a ? a : b;
        } else if (y != out + start) {
            for (i32 j = (i32)threadIdx.x; j < size; j += VQ_ROW_THREADS) out[start + j] = y[j];
            __syncthreads();
        }
        start += size;
    }
    return out;
}

#endif
