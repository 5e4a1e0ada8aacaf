// Streams of codes: what the words that they name hold, four levels at a time.
//
// Code j of a row is the `window` bits from bit j * stride of its stream on, which wrap round the
// stream's end; it names `group` levels of a codebook, which has zeros behind them.
#ifndef VQ_CODEBOOK
#define VQ_CODEBOOK

#include "program.cuh"

struct Levels {
    const u32* stream;  // of a row: word w is stream[w / 4 * 128 + w % 4]
    const void* book;
    i32 window, stride, group, total;  // bits of the stream
    i32 at, have;   // the next bit to read, and how many were read and are left
    u64 bits;
    u64 word;       // levels of a code that are not given yet, `left` of them
    i32 left;

    // From entry j of the row on.
    VQ_DEVICE Levels(const Segment& segment, const uint4* codes, i32 j) {
        stream = (const u32*)codes, book = segment.codebook;
        window = segment.window, stride = segment.stride, group = segment.group;
        total = segment.count * stride, have = 0, bits = 0, word = 0, left = 0;
        at = j / group * stride % total;
        if (j % group) word = next_word() >> 8 * (j % group), left = group - j % group;
    }

    VQ_DEVICE u32 next_code() {
        while (have < window) {
            i32 in_word = at % 32, count = 32 - in_word < total - at ? 32 - in_word : total - at;
            u32 more = stream[at / 128 * 128 + at / 32 % 4] >> in_word;
            if (count < 32) more &= (1u << count) - 1;
            bits |= (u64)more << have;
            have += count;
            at = at + count < total ? at + count : 0;
        }
        u32 code = (u32)bits & ((1u << window) - 1);
        bits >>= stride;
        have -= stride;
        return code;
    }

    VQ_DEVICE u64 next_word() {
        u32 code = next_code();
        return group <= 4 ? ((const u32*)book)[code] : ((const u64*)book)[code];
    }

    // The next four; behind the last code, what others give.
    VQ_DEVICE u32 next_four() {
        if (group == 4) return ((const u32*)book)[next_code()];
        if (group == 2) {
            u32 first = ((const u32*)book)[next_code()];
            return first | ((const u32*)book)[next_code()] << 16;
        }
        u32 four = 0;
        for (i32 ready = 0; ready < 4;) {
            if (left == 0) word = next_word(), left = group;
            i32 taken = left < 4 - ready ? left : 4 - ready;
            u32 levels = (u32)word;
            if (taken < 4) levels &= (1u << 8 * taken) - 1;
            four |= levels << 8 * ready;
            word >>= 8 * taken;
            left -= taken, ready += taken;
        }
        return four;
    }
};

#endif
