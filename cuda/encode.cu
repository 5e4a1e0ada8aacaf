// Rows to codes in one pass: measured, rotated, quantized to fixed levels, packed, with a scale, a
// ratio and a bias of their own. What EDEN and TurboQuant codecs (LloydMax) of the CPU do.
//
// Codes, scale, ratio and bias are equal to the CPU's bit for bit: every float32 step rounds once in
// the CPU's order; sums are of sixteen lanes, halves first; factors are worked out in float64. Rows
// whose norm is too small or large for its square under cosine are counted in `odd`: the CPU scales
// those first, so code them there.
//
// Shapes     x (n, dim) float32, row i becoming row first + i; center (dim,) or 0; runs, signs
//            and mixes as hadamard.cuh has them, rounds 0 for rows that are rotated already;
//            segments (count,), whose `codes` are written: `codebook` is the address of
//            (2 * window - 1,) float32, thresholds and then levels t + 1/2, `window` how many
//            magnitudes, `count` entries coded (dim in all); kind SIGNS, PAIRS, NIBBLES or BYTES
//            scale, bias (rows,) float32, ratio (rows,) float16, each 0 where there is none;
//            rest (n, dim) float32, or 0: what codes leave of rotated rows, for a sketch
// Bytes      4 * dim read, codes and 4 to 10 for factors written a row
// Work       that of the rotation, and log2(magnitudes) + 12 operations a dimension
// Resources  grid of any size, 128 threads, at most 96 registers; 9 * dim bytes of dynamic shared memory,
//            of eight of which dim is rounded up to a multiple of four
#include "hadamard.cuh"
#include "program.cuh"

#ifdef __CUDACC__
#define VQ_DYNAMIC(type, name) extern __shared__ type name[]
#endif
#define VQ_COSINE 1
#define VQ_L2 2
#define VQ_UNBIASED 0
#define VQ_BIASED 1
#define VQ_FIXED 2

// float16 nearest to a float32 that is not negative, not above 65,504 and no NaN; ties to even.
VQ_DEVICE u16 float_to_half(float x) {
#ifdef __CUDACC__
    u16 bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(x));
    return bits;
#else
    u32 bits = bits_of(x), exponent = bits >> 23;
    if (exponent < 102) return 0;
    i32 shift = exponent < 113 ? 126 - (i32)exponent : 13;
    u32 fraction = (bits & 0x7fffff) | (exponent < 113 ? 0x800000 : 0);
    u32 base = exponent < 113 ? 0 : (exponent - 112) << 10;
    u32 half = 1u << (shift - 1), rest = fraction & ((1u << shift) - 1);
    u32 value = base + (fraction >> shift);
    return (u16)(value + (rest > half || (rest == half && (value & 1))));
#endif
}

// One lane's share of a sum over values: entries lane, lane + 16, ...
template <class Term>
VQ_DEVICE float lane_sum(i32 lane, i32 count, Term term) {
    float total = 0;
#pragma unroll 4
    for (i32 j = lane; j < count; j += 16) total = add(total, term(j));
    return total;
}

// The sum of squares of values, to all threads of the block. `slot` is in shared memory.
VQ_DEVICE float square_sum(const float* values, i32 count, float* slot) {
    __syncthreads();
    if (threadIdx.x < 32) {
        auto square = [&](i32 j) { return multiply(values[j], values[j]); };
        float total = sum_lanes(lane_sum((i32)threadIdx.x % 16, count, square));
        if (threadIdx.x == 0) *slot = total;
    }
    __syncthreads();
    return *slot;
}

VQ_DEVICE float quotient(double x, double by) { return by != 0 ? (float)(x / by) : 0.0f; }

// How many thresholds lie below a magnitude.
VQ_DEVICE i32 index_of(float z, const float* thresholds, i32 magnitudes) {
    i32 index = 0;
    for (i32 step = magnitudes / 2; step > 0; step /= 2) {
        if (z > thresholds[index + step - 1]) index += step;
    }
    return index;
}

// The code of each entry, as its segment's kind has it: a byte each.
VQ_DEVICE void code_segment(const Segment& segment, const float* y, float factor, u8* codes) {
    const float* thresholds = (const float*)segment.codebook;
    i32 size = segment.window;
    for (i32 j = (i32)threadIdx.x; j < segment.count; j += VQ_ROW_THREADS) {
        float size_of_y = y[j] < 0 ? -y[j] : y[j];
        i32 index = index_of(multiply(size_of_y, factor), thresholds, size);
        bool negative = y[j] < 0;
        i32 t = (i32)thresholds[size - 1 + index];
        bool bytes = segment.kind == VQ_BYTES;
        i32 sign = segment.kind == VQ_SIGNS ? 1 : segment.kind == VQ_PAIRS ? 2 : 8;
        codes[j] = (u8)(bytes ? (negative ? ~t : t) : index + (negative ? sign : 0));
    }
}

// The magnitude of the level that a code has.
VQ_DEVICE float level_of(const Segment& segment, u8 code) {
    const float* levels = (const float*)segment.codebook + segment.window - 1;
    if (segment.kind == VQ_BYTES) {
        i32 t = (i8)code;
        return add((float)(t < 0 ? ~t : t), 0.5f);
    }
    i32 sign = segment.kind == VQ_SIGNS ? 1 : segment.kind == VQ_PAIRS ? 2 : 8;
    return levels[code & (sign - 1)];
}

// Word w of a chunk of codes, zeros beyond the last entry.
VQ_DEVICE u32 packed_word(const Segment& segment, const u8* codes, i32 chunk, i32 w) {
    u32 word = 0;
    i32 kind = segment.kind, left = segment.count;
    i32 each = kind == VQ_SIGNS || kind == VQ_PAIRS ? 32 : kind == VQ_NIBBLES ? 8 : 4;
    i32 start = kind == VQ_PAIRS ? 64 * chunk + 32 * (w & 1) : (4 * chunk + w) * each;
    for (i32 i = 0; i < each && start + i < left; i++) {
        u32 code = codes[start + i];
        if (kind == VQ_PAIRS) code = w < 2 ? code >> 1 : (code >> 1 ^ code) & 1;
        word |= code << (32 / each * i);
    }
    return word;
}

VQ_DEVICE void pack_segment(const Segment& segment, const u8* codes, i64 row) {
    u32* out = (u32*)segment.codes;
    for (i32 i = (i32)threadIdx.x; i < 4 * segment.chunks; i += VQ_ROW_THREADS) {
        i64 piece = ((row / 32) * segment.chunks + i / 4) * 32 + row % 32;
        out[4 * piece + i % 4] = packed_word(segment, codes, i / 4, i % 4);
    }
}

// Sums over a segment of value * level, level^2 and |value|, to sums[0..2] in shared memory.
VQ_DEVICE void sum_segment(const Segment& segment, const float* y, const u8* codes, float* sums) {
    i32 lane = (i32)threadIdx.x % 16, count = segment.count;
    auto size = [&](i32 j) { return y[j] < 0 ? -y[j] : y[j]; };
    auto level = [&](i32 j) { return level_of(segment, codes[j]); };
    if (threadIdx.x < 64) {
        float total = 0;
        if (threadIdx.x < 16) {
            total = lane_sum(lane, count, [&](i32 j) { return multiply(size(j), level(j)); });
        } else if (threadIdx.x < 32) {
            total = lane_sum(lane, count, [&](i32 j) { return multiply(level(j), level(j)); });
        } else if (threadIdx.x < 48) {
            total = lane_sum(lane, count, size);
        }
        total = sum_lanes(total);
        if (lane == 0 && threadIdx.x < 48) sums[threadIdx.x / 16] = total;
    }
    __syncthreads();
}

struct Shared {
    float slot;
    float sums[3];
};

// What the metric makes of a row: divided by its norm, less the centre. Returns whether it is odd.
VQ_DEVICE bool measure_row(
    float* row, i32 dim, const float* center, i32 metric, Shared& shared) {
    bool odd = false;
    float norm = 1;
    if (metric == VQ_COSINE) {
        norm = square_root(square_sum(row, dim, &shared.slot));
        odd = !(norm > 1e-15f && norm < 1e15f);
    }
    for (i32 j = (i32)threadIdx.x; j < dim; j += VQ_ROW_THREADS) {
        float x = metric == VQ_COSINE ? divide(row[j], norm) : row[j];
        row[j] = center ? subtract(x, center[j]) : x;
    }
    return odd;
}

// The square norm of what codes stand for: entries times the scale.
VQ_DEVICE float rounded_square(
    const Segment* segments, i32 count, float* y, const u8* codes, i32 dim, float scale,
    Shared& shared) {
    i32 start = 0;
    for (i32 s = 0; s < count; s++) {
        for (i32 j = (i32)threadIdx.x; j < segments[s].count; j += VQ_ROW_THREADS) {
            y[start + j] = multiply(level_of(segments[s], codes[start + j]), scale);
        }
        start += segments[s].count;
    }
    return square_sum(y, dim, &shared.slot);
}

// What codes leave of a rotated row: all of it where there are no segments.
VQ_DEVICE void write_rest(
    const Segment* segments, i32 count, const float* y, const u8* codes, i32 dim, float scale,
    float* rest) {
    i32 s = 0, end = count ? segments[0].count : dim;
    for (i32 j = (i32)threadIdx.x; j < dim; j += VQ_ROW_THREADS) {
        while (j >= end) end += segments[++s].count;
        float part = count ? multiply(level_of(segments[s], codes[j]), scale) : 0.0f;
        rest[j] = subtract(y[j], y[j] < 0 ? -part : part);
    }
}

extern "C" __global__ void __launch_bounds__(VQ_ROW_THREADS, 5) vq_encode(
    const float* x, i64 n, i64 first, i32 dim, i32 metric, const float* center, i32 run, i32 p,
    i32 rounds, const float* signs, const float* mixes, const Segment* segments, i32 count, i32 rule,
    float unit, float root, float* scale, u16* ratio, float* bias, u32* odd, float* rest) {
    VQ_DYNAMIC(float, memory);
    __shared__ Shared shared;
    for (i64 i = blockIdx.x; i < n; i += gridDim.x) {
        i64 row = first + i;
        __syncthreads();
        for (i32 j = (i32)threadIdx.x; j < dim; j += VQ_ROW_THREADS) memory[j] = x[i * dim + j];
        __syncthreads();
        bool is_odd = measure_row(memory, dim, center, metric, shared);
        float own = bias ? square_sum(memory, dim, &shared.slot) : 0;
        float* y = rotate_row(memory, memory + room_of(dim), dim, run, p, rounds, signs, mixes);
        u8* codes = (u8*)(memory + 2 * room_of(dim));
        float square = square_sum(y, dim, &shared.slot), norm = square_root(square);
        float factor = norm != 0 ? divide(root, norm) : 0;
        double dot = 0, levels = 0, sizes = 0;
        i32 start = 0;
        for (i32 s = 0; s < count; s++) {
            code_segment(segments[s], y + start, factor, codes + start);
            __syncthreads();
            sum_segment(segments[s], y + start, codes + start, shared.sums);
            dot += shared.sums[0], levels += shared.sums[1], sizes += shared.sums[2];
            pack_segment(segments[s], codes + start, row);
            __syncthreads();
            start += segments[s].count;
        }
        double squares = (double)norm * (double)norm;
        float scaled = rule == VQ_UNBIASED ? quotient(squares, dot) : quotient(dot, levels);
        if (rule == VQ_FIXED) scaled = divide(multiply(norm, unit), root);
        float offset = subtract(0.0f, own);
        if (rest) {
            write_rest(segments, count, y, codes, dim, scaled, rest + i * dim);
        } else if (bias && rule == VQ_BIASED) {
            float rounded = rounded_square(segments, count, y, codes, dim, scaled, shared);
            offset = subtract(offset, subtract(rounded, square));
        }
        if (threadIdx.x == 0) {
            if (scale) scale[row] = scaled;
            float by_signs = quotient(2 * squares, sizes);
            by_signs = scaled != 0 ? divide(by_signs, scaled) : 0;
            if (ratio) ratio[row] = float_to_half(by_signs < 65504.0f ? by_signs : 65504.0f);
            if (bias) bias[row] = offset;
            if (is_odd && odd) atomicAdd(odd, 1u);
        }
    }
}
