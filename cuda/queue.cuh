// A block's k best keys: candidates are appended to a buffer in shared memory and merged into a
// sorted list when the buffer may not hold those of the next turns. Nothing is ever dropped: a
// block appends at most VQ_ROOM keys between two calls of `settle`.
#ifndef VQ_QUEUE
#define VQ_QUEUE

#include "core.cuh"

#ifndef VQ_KEEP
#define VQ_KEEP 64  // a power of two, at least k, at most 1,024
#endif
#define VQ_THREADS 256
#define VQ_ROOM 1024
#define VQ_BUFFER 2048
#define VQ_ALL 0xffffffffu
static_assert(VQ_KEEP <= VQ_BUFFER - VQ_ROOM, "k keys must leave room");

struct Queue {
    u64 best[VQ_KEEP];  // descending
    u64 buffer[VQ_BUFFER];
    u64 floor;  // keys up to it are not among the best
    u32 count;
    u32 spare;  // keys that the buffer may keep after a look at it: fewer than k until k are known
};

// One stage of a bitonic network over `size` keys; `descending` is of pairs (i, i + stride).
VQ_DEVICE void order(u64* keys, u32 low, u32 stride, bool descending) {
    u64 x = keys[low], y = keys[low + stride];
    if ((x < y) == descending) {
        keys[low] = y;
        keys[low + stride] = x;
    }
}

// A barrier between two stages: pairs up to 32 apart stay within a warp.
VQ_DEVICE void between(u32 before, u32 stride) {
    if (before > 32 || stride > 32) {
        __syncthreads();
    } else {
        __syncwarp();
    }
}

// Sort descending; count a power of two. All threads of the block take part.
VQ_DEVICE void sort_keys(u64* keys, u32 count) {
    u32 before = 64;
    for (u32 size = 2; size <= count; size *= 2) {
        for (u32 stride = size / 2; stride > 0; stride /= 2) {
            between(before, stride);
            for (u32 i = threadIdx.x; i < count / 2; i += VQ_THREADS) {
                u32 low = 2 * i - (i & (stride - 1));
                order(keys, low, stride, (low & size) == 0);
            }
            before = stride;
        }
    }
    __syncthreads();
}

// Order VQ_KEEP keys that first ascend or descend and then the other way round.
VQ_DEVICE void merge_keys(u64* keys) {
    u32 before = 64;
    for (u32 stride = VQ_KEEP / 2; stride > 0; stride /= 2) {
        between(before, stride);
        for (u32 i = threadIdx.x; i < VQ_KEEP / 2; i += VQ_THREADS) {
            order(keys, 2 * i - (i & (stride - 1)), stride, true);
        }
        before = stride;
    }
    __syncthreads();
}

// Before anything else, with the keys that are known, or 0; best first.
VQ_DEVICE void start_queue(Queue& queue, const u64* known, u64 floor, i32 k) {
    for (u32 i = threadIdx.x; i < VQ_KEEP; i += VQ_THREADS) {
        queue.best[i] = known ? known[i] : 0;
    }
    if (threadIdx.x == 0) {
        queue.count = 0;
        queue.floor = floor;
        queue.spare = (u32)k - 1;
    }
    __syncthreads();
}

// Append each lane's key where it may be among the best. All lanes of a warp take part.
VQ_DEVICE void push(Queue& queue, u64 key) {
    bool wanted = key > queue.floor;
    u32 lane = threadIdx.x % 32, hits = __ballot_sync(VQ_ALL, wanted), base = 0;
    if (hits == 0) return;
    if (lane == 0) base = atomicAdd(&queue.count, (u32)bit_count(hits));
    base = __shfl_sync(VQ_ALL, base, 0);
    if (wanted) queue.buffer[base + bit_count(hits & ((1u << lane) - 1))] = key;
}

// Take the buffer in: once it has k keys, so that there is a floor early on; then if the next VQ_ROOM
// keys might not find room; and if it is the last time.
// floors  where blocks tell each other of this query's, or 0. All threads of the block take part.
VQ_DEVICE void settle(Queue& queue, i32 k, u64* floors, bool last) {
    __syncthreads();
    u32 count = queue.count;
    if (count > (last ? 0 : queue.spare)) {
        u32 whole = 2;
        while (whole < count) whole *= 2;
        for (u32 i = count + threadIdx.x; i < whole; i += VQ_THREADS) queue.buffer[i] = 0;
        __syncthreads();
        sort_keys(queue.buffer, whole);
        for (u32 i = threadIdx.x; i < VQ_KEEP; i += VQ_THREADS) {
            u32 other = VQ_KEEP - 1 - i;
            u64 key = other < whole ? queue.buffer[other] : 0;
            if (key > queue.best[i]) queue.best[i] = key;
        }
        merge_keys(queue.best);
        if (threadIdx.x == 0) {
            queue.count = 0;
            queue.spare = VQ_BUFFER - VQ_ROOM;
            if (queue.best[k - 1] > queue.floor) queue.floor = queue.best[k - 1];
            if (floors) atomicMax(floors, queue.floor);
        }
    }
    if (floors && threadIdx.x == 0) {
        u64 floor = *(volatile u64*)floors;
        if (floor > queue.floor) queue.floor = floor;
    }
    __syncthreads();
}

// Write the best, after the last `settle`.
VQ_DEVICE void write_best(const Queue& queue, u64* out) {
    for (u32 i = threadIdx.x; i < VQ_KEEP; i += VQ_THREADS) out[i] = queue.best[i];
}

#endif
