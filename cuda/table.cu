// Scores of codes that are looked up in a query's tables (product quantization and the like), and of
// the outliers beside them.
//
// A byte of codes is one look-up: of 8 bits in its own table, of two times 4 bits in the sums of
// both, made when tables are put into shared memory. Entries are at most 16,256, so that 16 bits
// hold one or the sum of two; sums are int32, as on the CPU.
//
// Shapes     codes (blocks, chunks, 32) x 16 bytes; entries of a query int32, as the CPU's TableCodes
//            spread them: (codes, 256) of 8 bits; of 4 bits (codes / 16, 2, 8, 16), even codes first;
//            (dims,) of outliers, each `stride` bytes: a coordinate, low byte first, and an int8
// Bytes      16 * chunks a row and segment, and 4 for each factor; 4 * entries for each block
// Work       one look-up a byte of codes, in 32 banks of shared memory at random; of an outlier one in
//            the L1 cache
// Resources  256 threads, at most 64 registers; 8 VQ_KEEP + 16 KB for the queue; dynamic shared memory
//            8 KB for each chunk that is held, as many as it has room for and at least one: those of
//            all segments, at best, or so many at a time
#include "scan.cuh"

#ifdef __CUDACC__
#define VQ_DYNAMIC(type, name) extern __shared__ type name[]
VQ_DEVICE u32 dynamic_bytes() {
    u32 bytes;
    asm("mov.u32 %0, %%dynamic_smem_size;" : "=r"(bytes));
    return bytes;
}
#else
VQ_DEVICE u32 dynamic_bytes() { return emulated_dynamic_bytes(); }
#endif
#define VQ_CHUNK_TABLES (16 * 256)

struct Tables {
    const Scan* scan;
    u16* tables;
    i32 room;  // chunks
    bool whole;

    VQ_DEVICE static u16 entry(const Segment& segment, const i32* entries, i32 byte, i32 value) {
        if (segment.kind == VQ_TABLE8) {
            return byte < segment.dims ? (u16)entries[256 * (i64)byte + value] : 0;
        }
        if (2 * byte >= segment.dims) return 0;
        const i32* word = entries + 256 * (i64)(byte / 8) + 16 * (byte % 8);
        return (u16)(word[value & 15] + word[128 + (value >> 4)]);
    }

    VQ_DEVICE void stage(const Segment& segment, i32 first, i32 last, u16* to) const {
        const i32* entries = (const i32*)(scan->entries + segment.entries);
        for (i32 i = (i32)threadIdx.x; i < (last - first) * VQ_CHUNK_TABLES; i += VQ_THREADS) {
            to[i] = entry(segment, entries, 16 * first + i / 256, i % 256);
        }
    }

    // Chunks whose codes are looked up in tables.
    VQ_DEVICE static i32 chunks_of(const Segment& segment) {
        return segment.kind == VQ_SPARSE ? 0 : segment.chunks;
    }

    VQ_DEVICE i32 start_of(i32 s) const {
        i32 chunks = 0;
        for (i32 i = scan->first; i < s; i++) chunks += chunks_of(scan->stored->segments[i]);
        return chunks;
    }

    VQ_DEVICE void begin(const Scan& own) {
        scan = &own;
        room = (i32)(dynamic_bytes() / (2 * VQ_CHUNK_TABLES));
        whole = start_of(own.last) <= room;
        for (i32 s = own.first; whole && s < own.last; s++) {
            const Segment& segment = own.stored->segments[s];
            stage(segment, 0, chunks_of(segment), tables + start_of(s) * VQ_CHUNK_TABLES);
        }
        __syncthreads();
    }

    VQ_DEVICE static i32 word_sum(u32 codes, const u16* tables) {
        return tables[codes & 255] + tables[256 + (codes >> 8 & 255)] +
               tables[512 + (codes >> 16 & 255)] + tables[768 + (codes >> 24)];
    }

    VQ_DEVICE static i32 raw_of_chunks(const uint4* codes, i32 chunks, const u16* tables) {
        i32 raw = 0;
#pragma unroll 2
        for (i32 c = 0; c < chunks; c++, codes += 32, tables += VQ_CHUNK_TABLES) {
            uint4 x = load_codes(codes);
            raw += word_sum(x.x, tables) + word_sum(x.y, tables + 1024);
            raw += word_sum(x.z, tables + 2048) + word_sum(x.w, tables + 3072);
        }
        return raw;
    }

    VQ_DEVICE i32 raw_of_outliers(const Segment& segment, const uint4* codes) const {
        const u8* row = (const u8*)codes;  // byte i is row[i / 16 * 512 + i % 16]
        const i32* entries = (const i32*)(scan->entries + segment.entries);
        i32 raw = 0, at = 0;
        for (i32 k = 0; k < segment.count; k++) {
            i32 coordinate = 0, j = 0;
            for (; j < segment.stride - 1; j++, at++) {
                coordinate |= row[at / 16 * 512 + at % 16] << 8 * j;
            }
            i32 value = (i8)row[at / 16 * 512 + at % 16];
            raw += value * entries[coordinate < segment.dims ? coordinate : segment.dims - 1];
            at++;
        }
        return raw;
    }

    VQ_DEVICE float part(const Segment& segment, i32 s, i64 block, bool here) const {
        const uint4* codes = segment.codes + (block * segment.chunks * 32 + threadIdx.x % 32);
        i32 raw = 0;
        if (segment.kind == VQ_SPARSE) {
            if (here) raw = raw_of_outliers(segment, codes);
        } else if (whole) {
            const u16* own = tables + start_of(s) * VQ_CHUNK_TABLES;
            if (here) raw = raw_of_chunks(codes, segment.chunks, own);
        } else {
            for (i32 first = 0; first < segment.chunks; first += room) {
                i32 last = first + room < segment.chunks ? first + room : segment.chunks;
                __syncthreads();
                stage(segment, first, last, tables);
                __syncthreads();
                if (here) raw += raw_of_chunks(codes + first * 32LL, last - first, tables);
            }
        }
        return part_of(raw, scan->half_of(s), scan->gamma_of(s));
    }
};

extern "C" __global__ void __launch_bounds__(VQ_THREADS, 4) vq_scan_tables(VQ_SCAN_ARGUMENTS) {
    __shared__ Queue queue;
    VQ_DYNAMIC(u16, tables);
    VQ_SCAN_OF_QUERY
    Tables family = {&scan, tables, 0, false};
    scan_rows(scan, family, queue);
}
