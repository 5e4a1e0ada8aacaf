// What kernels are made of: integers, bytes and keys. The same text is compiled for the device, by
// g++ for its tests, and by g++ for the emulation of a block.
//
// Every function here is exact, or one float32 operation rounded to nearest.
#ifndef VQ_CORE
#define VQ_CORE

typedef signed char i8;
typedef unsigned char u8;
typedef unsigned short u16;
typedef int i32;
typedef unsigned int u32;
typedef long long i64;
typedef unsigned long long u64;

#ifdef __CUDACC__
#define VQ_DEVICE __device__ __forceinline__
#else
#define VQ_DEVICE inline
#endif

// Byte i of the result is byte (selector nibble i & 7) of b:a, or its sign, eight times, where the
// nibble's bit 3 is set.
VQ_DEVICE u32 prmt(u32 a, u32 b, u32 selector) {
#ifdef __CUDACC__
    u32 d;
    asm("prmt.b32 %0, %1, %2, %3;" : "=r"(d) : "r"(a), "r"(b), "r"(selector));
    return d;
#else
    u64 both = (u64)b << 32 | a;
    u32 d = 0;
    for (int i = 0; i < 4; i++) {
        u32 s = selector >> 4 * i & 15, byte = (u32)(both >> 8 * (s & 7)) & 255;
        if (s & 8) byte = byte & 128 ? 255 : 0;
        d |= byte << 8 * i;
    }
    return d;
#endif
}

// total + the inner product of four int8 with four int8.
VQ_DEVICE i32 dot4(u32 x, u32 y, i32 total) {
#ifdef __CUDACC__
    return __dp4a((i32)x, (i32)y, total);
#else
    for (int i = 0; i < 4; i++) total += (i8)(x >> 8 * i) * (i8)(y >> 8 * i);
    return total;
#endif
}

// total + the inner product of four uint8 with four int8.
VQ_DEVICE i32 dot4_mixed(u32 x, u32 y, i32 total) {
#ifdef __CUDACC__
    i32 d;
    asm("dp4a.u32.s32 %0, %1, %2, %3;" : "=r"(d) : "r"(x), "r"(y), "r"(total));
    return d;
#else
    for (int i = 0; i < 4; i++) total += (u8)(x >> 8 * i) * (i8)(y >> 8 * i);
    return total;
#endif
}

VQ_DEVICE i32 bit_count(u32 x) {
#ifdef __CUDACC__
    return __popc(x);
#else
    return __builtin_popcount(x);
#endif
}

VQ_DEVICE u32 bits_of(float x) {
#ifdef __CUDACC__
    return __float_as_uint(x);
#else
    u32 bits;
    __builtin_memcpy(&bits, &x, 4);
    return bits;
#endif
}

VQ_DEVICE float float_of(u32 bits) {
#ifdef __CUDACC__
    return __uint_as_float(bits);
#else
    float x;
    __builtin_memcpy(&x, &bits, 4);
    return x;
#endif
}

// Single operations, which no compiler may fuse.
#ifdef __CUDACC__
VQ_DEVICE float add(float x, float y) { return __fadd_rn(x, y); }
VQ_DEVICE float subtract(float x, float y) { return __fsub_rn(x, y); }
VQ_DEVICE float multiply(float x, float y) { return __fmul_rn(x, y); }
VQ_DEVICE float divide(float x, float y) { return __fdiv_rn(x, y); }
VQ_DEVICE float square_root(float x) { return __fsqrt_rn(x); }
#else
VQ_DEVICE float add(float x, float y) { return x + y; }
VQ_DEVICE float subtract(float x, float y) { return x - y; }
VQ_DEVICE float multiply(float x, float y) { return x * y; }
VQ_DEVICE float divide(float x, float y) { return x / y; }
VQ_DEVICE float square_root(float x) { return __builtin_sqrtf(x); }
#endif

VQ_DEVICE float half_to_float(u16 bits) {
#ifdef __CUDACC__
    float x;
    asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(bits));
    return x;
#else
    u32 sign = (u32)(bits & 0x8000) << 16, exponent = bits >> 10 & 31, fraction = bits & 1023;
    if (exponent == 31) return float_of(sign | 0x7f800000 | fraction << 13);
    if (exponent) return float_of(sign | (exponent + 112) << 23 | fraction << 13);
    float x = (float)fraction * 5.9604644775390625e-8f;  // 2^-24
    return sign ? -x : x;
#endif
}

// A candidate as a number: the larger goes first. 0 is none, and what NaN gives.
VQ_DEVICE u64 key_of(float score, u32 rank) {
    u32 bits = bits_of(add(score, 0.0f));  // of both zeros +0
    if ((bits & 0x7fffffff) > 0x7f800000) return 0;
    u32 ascending = bits & 0x80000000 ? ~bits : bits | 0x80000000;
    return (u64)ascending << 32 | (u32)~rank;
}

VQ_DEVICE float score_of(u64 key) {
    u32 ascending = (u32)(key >> 32);
    return float_of(ascending & 0x80000000 ? ascending ^ 0x80000000 : ~ascending);
}

VQ_DEVICE u32 rank_of(u64 key) { return ~(u32)key; }

// Levels t of eight codes of four bits, the first in `low`; bit 3 is the sign, low and high the
// eight magnitudes t.
VQ_DEVICE void decode_nibbles(u32 codes, u32 t0, u32 t1, u32& low, u32& high) {
    u32 index = codes & 0x77777777, raised = codes << 4;
    low = prmt(t0, t1, index) ^ prmt(raised, codes, 0xd9c8);
    high = prmt(t0, t1, index >> 16) ^ prmt(raised, codes, 0xfbea);
}

// The same of any sixteen levels.
VQ_DEVICE void decode_levels16(u32 codes, const u32 t[4], u32& low, u32& high) {
    u32 index = codes & 0x77777777, raised = codes << 4;
    u32 upper = prmt(raised, codes, 0xd9c8);
    low = (prmt(t[0], t[1], index) & ~upper) | (prmt(t[2], t[3], index) & upper);
    upper = prmt(raised, codes, 0xfbea);
    high = (prmt(t[0], t[1], index >> 16) & ~upper) | (prmt(t[2], t[3], index >> 16) & upper);
}

// 255 in byte i where bit 8 i + k is set.
VQ_DEVICE u32 spread_bits(u32 bits, int k) { return prmt(bits << (7 - k), 0, 0xba98); }

// The byte of an int8 four times.
VQ_DEVICE u32 four(u32 t) { return (t & 255) * 0x01010101u; }

// What sums over planes make of a raw sum: of levels t0, t1 and their mirror images, with
// `negative` the sum of entries where the sign is set, `mixed` where sign XOR magnitude bit is.
//     t = t0 - (t0 + t1 + 1) * sign + (t1 - t0) * mixed
VQ_DEVICE i32 raw_of_planes(i32 t0, i32 t1, i32 sum, i32 negative, i32 mixed) {
    u32 raw = (u32)t0 * (u32)sum - (u32)(t0 + t1 + 1) * (u32)negative;
    return (i32)(raw + (u32)(t1 - t0) * (u32)mixed);
}

// float32 of an inner product of half-integers: what the CPU calls a part.
VQ_DEVICE float part_of(i32 raw, float half, float gamma) {
    return multiply(add((float)raw, half), gamma);
}

#endif
