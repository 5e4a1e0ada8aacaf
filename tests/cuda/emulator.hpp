// A block of CUDA threads on the host, enough to run the kernels of cuda/ as they are written.
//
// Threads are fibres of one thread, taken up in an order that changes from turn to turn, or, with
// EMULATE_THREADS, threads of their own for the thread sanitizer. Blocks run one after another.
// Barriers and warp operations need every thread of the block or warp: if some never come, the
// program ends with a message, where a GPU would hang. Shared memory is poisoned before each block.
#ifndef EMULATOR
#define EMULATOR

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#ifdef EMULATE_THREADS
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#elif !defined(__x86_64__)
#include <ucontext.h>
#endif
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#define __global__
#define __shared__ static __attribute__((section("vq_shared")))
#define __align__(n) __attribute__((aligned(n)))
#define __launch_bounds__(...)

struct __align__(16) uint4 { unsigned x, y, z, w; };
struct __align__(8) uint2 { unsigned x, y; };
struct __align__(8) float2 { float x, y; };
struct __align__(16) float4 { float x, y, z, w; };
struct Dim { unsigned x = 1, y = 1, z = 1; };

static inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
static inline float2 make_float2(float x, float y) { return {x, y}; }
static inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }

extern "C" char __start_vq_shared[] __attribute__((weak));
extern "C" char __stop_vq_shared[] __attribute__((weak));

namespace emulator {

constexpr unsigned WARP = 32;
constexpr size_t STACK = 256 * 1024, TOP = 4096;

// What lanes tell each other. Operations of a warp take turns with two of them, so that one barrier is
// enough: who writes the first again knows that all have read it, for they have come to the second.
struct Told { uint64_t values[WARP]; uint32_t words[WARP][8]; };
struct Warp { Told told[2]; };

inline Dim grid, block, block_index;
inline std::vector<Warp> warps;
inline std::vector<char> dynamic;
inline void (*body)(void*) = nullptr;
inline void* arguments = nullptr;

[[noreturn]] inline void stop(const char* why) {
    std::fprintf(stderr, "emulated block (%u, %u): %s\n", block_index.x, block_index.y, why);
    std::abort();
}

#ifdef EMULATE_THREADS

inline thread_local unsigned self, turn;

struct Barrier {
    unsigned expected = 0, arrived = 0, generation = 0;
    std::mutex mutex;
    std::condition_variable met;
};
inline std::vector<Barrier> barriers;  // of the warps, then of the block

inline void wait(Barrier& b) {
    std::unique_lock lock(b.mutex);
    unsigned generation = b.generation;
    if (++b.arrived == b.expected) {
        b.arrived = 0;
        b.generation++;
        b.met.notify_all();
    } else if (!b.met.wait_for(lock, std::chrono::seconds(60), [&] { return b.generation != generation; })) {
        stop("threads wait for others that never come");
    }
}

inline void run_block(unsigned threads) {
    barriers = std::vector<Barrier>(warps.size() + 1);
    for (size_t w = 0; w < warps.size(); w++) barriers[w].expected = WARP;
    barriers.back().expected = threads;
    std::vector<std::thread> all;
    for (unsigned t = 0; t < threads; t++) {
        all.emplace_back([t] {
            self = t;
            body(arguments);
        });
    }
    for (auto& thread : all) thread.join();
}

#else

#if defined(__x86_64__)
// Registers lie on the stack while a fibre waits. swapcontext asks the system for signals each time.
asm(".text\n"
    "vq_switch:\n"
    "pushq %rbp\npushq %rbx\npushq %r12\npushq %r13\npushq %r14\npushq %r15\n"
    "movq %rsp, (%rdi)\nmovq (%rsi), %rsp\n"
    "popq %r15\npopq %r14\npopq %r13\npopq %r12\npopq %rbx\npopq %rbp\n"
    "ret\n");
using Context = void*;  // the top of its stack
extern "C" void vq_switch(Context* from, Context* to);
inline void start(Context& context, char* stack, void (*function)()) {
    void** top = (void**)(stack + STACK);
    top[-2] = (void*)function;
    context = top - 8;
}
#else
using Context = ucontext_t;
inline void vq_switch(Context* from, Context* to) { swapcontext(from, to); }
inline void start(Context& context, char* stack, void (*function)()) {
    getcontext(&context);
    context.uc_stack.ss_sp = stack;
    context.uc_stack.ss_size = STACK;
    context.uc_link = nullptr;
    makecontext(&context, function, 0);
}
#endif

struct Barrier { unsigned expected = 0, arrived = 0, generation = 0; };
struct Fibre {
    Context context;
    char* stack = nullptr;
    void* fake = nullptr;
    Barrier* waiting = nullptr;
    unsigned generation = 0, turn = 0;
    bool ended = false;
};

inline unsigned self, turn;
inline std::vector<Barrier> barriers;
inline std::vector<Fibre> fibres;
inline Context scheduler;
inline void* scheduler_fake;
inline const void* scheduler_stack;
inline size_t scheduler_size;

inline void enter(Fibre& fibre) {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(&scheduler_fake, fibre.stack, STACK);
#endif
    turn = fibre.turn;
    vq_switch(&scheduler, &fibre.context);
    fibre.turn = turn;
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(scheduler_fake, nullptr, nullptr);
#endif
}

inline void leave(Fibre& fibre) {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(fibre.ended ? nullptr : &fibre.fake, scheduler_stack, scheduler_size);
#endif
    vq_switch(&fibre.context, &scheduler);
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(fibre.fake, &scheduler_stack, &scheduler_size);
#endif
}

inline void begin() {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(nullptr, &scheduler_stack, &scheduler_size);
#endif
    body(arguments);
    fibres[self].ended = true;
    leave(fibres[self]);
}

inline void wait(Barrier& b) {
    if (++b.arrived == b.expected) {
        b.arrived = 0;
        b.generation++;
        return;
    }
    Fibre& fibre = fibres[self];
    fibre.waiting = &b;
    fibre.generation = b.generation;
    leave(fibre);
}

inline void run_block(unsigned threads) {
    barriers.assign(warps.size() + 1, Barrier());
    for (size_t w = 0; w < warps.size(); w++) barriers[w].expected = WARP;
    barriers.back().expected = threads;
    if (fibres.size() < threads) fibres.resize(threads);
    for (unsigned t = 0; t < threads; t++) {
        Fibre& fibre = fibres[t];
        if (!fibre.stack) fibre.stack = (char*)std::aligned_alloc(16, STACK);
#if defined(__SANITIZE_ADDRESS__)
        __asan_unpoison_memory_region(fibre.stack + STACK - TOP, TOP);  // who ended never returned
#endif
        start(fibre.context, fibre.stack, begin);
        fibre.ended = false;
        fibre.waiting = nullptr;
        fibre.turn = 0;
    }
    unsigned left = threads, random = 1;
    while (left) {
        bool moved = false;
        random = random * 1664525 + 1013904223;
        unsigned first = (random >> 16) % threads;
        for (unsigned i = 0; i < threads; i++) {
            self = random >> 31 ? (first + i) % threads : (first + threads - i) % threads;
            Fibre& fibre = fibres[self];
            if (fibre.ended) continue;
            if (fibre.waiting && fibre.waiting->generation == fibre.generation) continue;
            fibre.waiting = nullptr;
            moved = true;
            enter(fibre);
            left -= fibre.ended;
        }
        if (!moved) stop("threads wait for others that never come");
    }
}

#endif

inline Told& told() { return warps[self / WARP].told[turn % 2]; }

// Wait for the warp; what its lanes have told each other is there until the next but one.
inline Told& wait_warp() {
    Told& now = told();
    wait(barriers[self / WARP]);
    turn++;
    return now;
}

__attribute__((no_sanitize("address", "undefined"), noinline)) inline void poison() {
    if (!__start_vq_shared) return;
    for (volatile char* at = __start_vq_shared; at < __stop_vq_shared; at++) *at = (char)0xA5;
}

template <class T>
T shuffle(T value, unsigned from) {
    uint64_t bits = 0;
    std::memcpy(&bits, &value, sizeof value);
    told().values[self % WARP] = bits;
    bits = wait_warp().values[from % WARP];
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

template <class... A, size_t... I>
void call(void (*kernel)(A...), void** given, std::index_sequence<I...>) {
    kernel(*(A*)given[I]...);
}

// Run a kernel; `given` holds the address of each argument.
template <class... A>
void launch(void (*kernel)(A...), unsigned x, unsigned y, unsigned threads, size_t bytes, void** given) {
    struct Call { void (*kernel)(A...); void** given; } one = {kernel, given};
    arguments = &one;
    body = [](void* at) {
        Call& c = *(Call*)at;
        call(c.kernel, c.given, std::index_sequence_for<A...>());
    };
    grid = {x, y, 1};
    block = {threads, 1, 1};
    if (threads % WARP) stop("blocks here are of whole warps");
    warps.resize(threads / WARP);
    for (unsigned i = 0; i < x * y; i++) {
        block_index = {i % x, i / x, 0};
        poison();
        dynamic.assign(bytes, (char)0xA5);
        dynamic.shrink_to_fit();
        run_block(threads);
    }
}

using Run = void (*)(unsigned x, unsigned y, unsigned threads, size_t bytes, void** given);
inline std::map<std::string, Run>& kernels() {
    static std::map<std::string, Run> all;
    return all;
}
inline bool add_kernel(const char* name, Run run) { return kernels().emplace(name, run).second; }

struct ThreadIndex {
    struct X { operator unsigned() const { return self; } } x;
};

}  // namespace emulator

#define threadIdx (emulator::ThreadIndex())
#define blockIdx emulator::block_index
#define gridDim emulator::grid
#define blockDim emulator::block
#define VQ_DYNAMIC(type, name) type* name = (type*)emulator::dynamic.data()

static inline void __syncthreads() { emulator::wait(emulator::barriers.back()); }
static inline void __syncwarp(unsigned = 0xffffffffu) { emulator::wait_warp(); }
static inline unsigned __ballot_sync(unsigned, int predicate) {
    emulator::told().values[emulator::self % 32] = predicate != 0;
    emulator::Told& all = emulator::wait_warp();
    unsigned bits = 0;
    for (unsigned i = 0; i < 32; i++) bits |= (unsigned)all.values[i] << i;
    return bits;
}
template <class T>
static inline T __shfl_sync(unsigned, T value, int lane) {
    return emulator::shuffle(value, (unsigned)lane);
}
template <class T>
static inline T __shfl_xor_sync(unsigned, T value, int mask) {
    return emulator::shuffle(value, emulator::self ^ (unsigned)mask);
}
template <class T>
static inline T __shfl_down_sync(unsigned, T value, unsigned delta) {
    unsigned lane = emulator::self % 32;
    return emulator::shuffle(value, lane + delta < 32 ? lane + delta : lane);
}
template <class T>
static inline T atomicAdd(T* at, std::type_identity_t<T> value) {
    return __atomic_fetch_add(at, value, __ATOMIC_RELAXED);
}
template <class T>
static inline T atomicMax(T* at, std::type_identity_t<T> value) {
    T old = __atomic_load_n(at, __ATOMIC_RELAXED);
    while (old < value && !__atomic_compare_exchange_n(at, &old, value, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {}
    return old;
}

static inline unsigned atomicOr(unsigned* at, unsigned value) {
    return __atomic_fetch_or(at, value, __ATOMIC_RELAXED);
}
static inline unsigned emulated_dynamic_bytes() { return (unsigned)emulator::dynamic.size(); }

// mma.sync m16n8 of eight words a row: fragments lie over the warp as PTX ISA, "Matrix fragments for
// mma.m16n8k32" of int8 and "mma.m16n8k256" of single bits, has them. `dot` is of two words.
template <class Dot>
static inline void emulated_mma(int c[4], const unsigned a[4], unsigned b0, unsigned b1, Dot dot) {
    using namespace emulator;
    unsigned lane = self % WARP, group = lane / 4, in_group = lane % 4;
    unsigned* own = told().words[lane];
    for (int i = 0; i < 4; i++) own[i] = a[i];
    own[4] = b0;
    own[5] = b1;
    Told& all = wait_warp();
    for (unsigned i = 0; i < 4; i++) {
        unsigned row = group + 8 * (i / 2), column = 2 * in_group + i % 2;
        for (unsigned k = 0; k < 8; k++) {
            unsigned at = k % 4, half = k / 4;
            unsigned x = all.words[4 * (row % 8) + at][row / 8 + 2 * half];
            c[i] += dot(x, all.words[4 * column + at][4 + half]);
        }
    }
}

// Let serve.hpp find a kernel by its name.
#define EMULATE(kernel)                                                                      \
    static const bool registered_##kernel = emulator::add_kernel(                            \
        #kernel, [](unsigned x, unsigned y, unsigned threads, size_t bytes, void** given) {  \
            emulator::launch(kernel, x, y, threads, bytes, given);                           \
        });

#endif
