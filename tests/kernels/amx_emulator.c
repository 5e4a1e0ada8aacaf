// AMX in software, for tests: each tile instruction that this CPU lacks traps as SIGILL, is carried
// out here as Intel's manual defines it (Software Developer's Manual, volume 2), and stepped over.
//
// Whatever else is illegal, a misuse of tiles included, ends the process as it would without us.

#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <ucontext.h>

enum { TILES = 8, ROWS = 16, ROW_BYTES = 64 };
enum { NONE, P66, PF3, PF2 };  // VEX.pp

typedef struct {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} Configuration;
_Static_assert(sizeof(Configuration) == 64, "the memory operand of ldtilecfg");

typedef struct {
    int prefix, opcode, reg, rm, vvvv, in_memory;
    uint8_t *where;
    int64_t stride;
    int length;
} Instruction;

static __thread Configuration configured;
static __thread uint8_t tiles[TILES][ROWS][ROW_BYTES];

// What has been carried out, in all threads.
long amx_configured, amx_released, amx_multiplied;

static void count(long *what) { __atomic_fetch_add(what, 1, __ATOMIC_RELAXED); }

static int64_t value(const greg_t *registers, int number) {
    static const int places[16] = {
        REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
        REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15,
    };
    return registers[places[number]];
}

static int64_t displacement(const uint8_t *at, int bytes) {
    int32_t wide = 0;
    if (bytes == 1) return (int8_t)*at;
    memcpy(&wide, at, bytes);
    return wide;
}

// The memory operand that begins at the ModRM byte; returns the byte after it.
static const uint8_t *operand(const uint8_t *at, int vex, const greg_t *registers,
                              Instruction *it) {
    int mod = *at >> 6, base = *at & 7, from_next = 0;
    int bytes = mod == 1 ? 1 : mod == 2 ? 4 : 0;
    int64_t where = 0;
    at++;
    if (base == 4) {
        int index = (*at >> 3 & 7) | (vex & 0x40 ? 0 : 8);
        if (index != 4) it->stride = (int64_t)((uint64_t)value(registers, index) << (*at >> 6));
        base = *at++ & 7;
    } else {
        from_next = mod == 0 && base == 5;
    }
    if (mod == 0 && base == 5)
        bytes = 4;
    else
        where = value(registers, base | (vex & 0x20 ? 0 : 8));
    where += displacement(at, bytes);
    at += bytes;
    it->where = (uint8_t *)(where + (from_next ? (int64_t)at : 0));
    return at;
}

// VEX.128.0F38.W0 instructions only: C4, inverted RXB and the map, W and inverted vvvv and L and pp.
static int decode(const uint8_t *at, const greg_t *registers, Instruction *it) {
    const uint8_t *start = at;
    memset(it, 0, sizeof *it);
    if (at[0] != 0xC4 || (at[1] & 0x1F) != 2 || (at[2] & 0x84) != 0) return 0;
    it->prefix = at[2] & 3;
    it->vvvv = ~at[2] >> 3 & 15;
    it->opcode = at[3];
    if (it->opcode != 0x49 && it->opcode != 0x4B && it->opcode != 0x5E) return 0;
    it->reg = (at[4] >> 3 & 7) | (at[1] & 0x80 ? 0 : 8);
    it->rm = (at[4] & 7) | (at[4] >> 6 != 3 || at[1] & 0x20 ? 0 : 8);
    it->in_memory = at[4] >> 6 != 3;
    at = it->in_memory ? operand(at + 4, at[1], registers, it) : at + 5;
    it->length = at - start;
    return 1;
}

static void clear(void) {
    memset(&configured, 0, sizeof configured);
    memset(tiles, 0, sizeof tiles);
}

static int configure(const uint8_t *from) {
    Configuration asked;
    memcpy(&asked, from, sizeof asked);
    clear();
    if (asked.palette == 0) return 1;
    if (asked.palette != 1 || asked.start_row != 0) return 0;
    for (int i = 0; i < 14; i++)
        if (asked.reserved[i]) return 0;
    for (int tile = 0; tile < 16; tile++) {
        int rows = asked.rows[tile], bytes = asked.row_bytes[tile];
        if (rows > ROWS || bytes > ROW_BYTES || !rows != !bytes) return 0;
        if (tile >= TILES && rows) return 0;
    }
    configured = asked;
    return 1;
}

static int usable(int tile) { return tile < TILES && configured.rows[tile]; }

static void load(int tile, const uint8_t *from, int64_t stride) {
    memset(tiles[tile], 0, sizeof tiles[tile]);
    for (int row = 0; row < configured.rows[tile]; row++)
        memcpy(tiles[tile][row], from + row * stride, configured.row_bytes[tile]);
}

static void store(int tile, uint8_t *to, int64_t stride) {
    for (int row = 0; row < configured.rows[tile]; row++)
        memcpy(to + row * stride, tiles[tile][row], configured.row_bytes[tile]);
}

static int32_t byte(uint8_t bits, int is_signed) { return is_signed ? (int8_t)bits : bits; }

static int multiply(int sum, int left, int right, int left_signed, int right_signed) {
    if (!usable(sum) || !usable(left) || !usable(right)) return 0;
    if (sum == left || sum == right || left == right) return 0;
    int rows = configured.rows[sum], lanes = configured.row_bytes[sum] / 4;
    int depth = configured.row_bytes[left] / 4;
    if (configured.rows[left] != rows || configured.rows[right] != depth) return 0;
    if (configured.row_bytes[right] != configured.row_bytes[sum]) return 0;
    if ((configured.row_bytes[sum] | configured.row_bytes[left]) % 4) return 0;
    for (int row = 0; row < rows; row++) {
        uint32_t totals[ROW_BYTES / 4];
        memcpy(totals, tiles[sum][row], sizeof totals);
        for (int k = 0; k < depth; k++)
            for (int lane = 0; lane < lanes; lane++)
                for (int i = 0; i < 4; i++)
                    totals[lane] += byte(tiles[left][row][4 * k + i], left_signed) *
                                    byte(tiles[right][k][4 * lane + i], right_signed);
        memcpy(tiles[sum][row], totals, sizeof totals);
    }
    return 1;
}

static int execute(const Instruction *it) {
    if (it->opcode == 0x5E) {  // tdpbuud, tdpbusd, tdpbsud, tdpbssd
        if (it->in_memory) return 0;
        count(&amx_multiplied);
        int left_signed = it->prefix == PF3 || it->prefix == PF2;
        int right_signed = it->prefix == P66 || it->prefix == PF2;
        return multiply(it->reg, it->rm, it->vvvv, left_signed, right_signed);
    }
    if (it->vvvv != 0) return 0;
    if (it->opcode == 0x4B) {  // tileloadd, tileloaddt1, tilestored
        if (!it->in_memory || it->rm != 4 || !usable(it->reg) || it->prefix == NONE) return 0;
        if (it->prefix == PF3)
            store(it->reg, it->where, it->stride);
        else
            load(it->reg, it->where, it->stride);
        return 1;
    }
    if (it->prefix == PF2 && !it->in_memory && it->rm == 0 && usable(it->reg)) {  // tilezero
        memset(tiles[it->reg], 0, sizeof tiles[it->reg]);
        return 1;
    }
    if (it->reg != 0) return 0;
    if (it->prefix == NONE && it->in_memory) {  // ldtilecfg
        count(&amx_configured);
        return configure(it->where + it->stride);
    }
    if (it->prefix == P66 && it->in_memory) {  // sttilecfg
        memcpy(it->where + it->stride, &configured, sizeof configured);
        return 1;
    }
    if (it->prefix == NONE && it->rm == 0) {  // tilerelease
        count(&amx_released);
        clear();
        return 1;
    }
    return 0;
}

static void on_illegal_instruction(int number, siginfo_t *info, void *context) {
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    Instruction it;
    if (info->si_code > 0 && decode((const uint8_t *)registers[REG_RIP], registers, &it) &&
        execute(&it)) {
        registers[REG_RIP] += it.length;
        return;
    }
    signal(number, SIG_DFL);
    raise(number);
}

int amx_install(void) {
    struct sigaction action = {.sa_sigaction = on_illegal_instruction,
                               .sa_flags = SA_SIGINFO | SA_NODEFER};
    sigemptyset(&action.sa_mask);
    return sigaction(SIGILL, &action, 0);
}
