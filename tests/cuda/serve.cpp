// Runs emulated kernels for a test: requests from stdin, answers to stdout, until stdin ends.
//
// Every array is copied into memory of exactly its size, so that the address sanitizer sees a step
// beyond it, and back when the kernel is done.
#include "emulator.hpp"
#include KERNELS

namespace {

template <class T>
T read() {
    T value;
    if (std::fread(&value, sizeof value, 1, stdin) != 1) std::exit(0);
    return value;
}

struct Array {
    char* at;
    size_t size;
};

void serve() {
    std::string name(read<uint32_t>(), ' ');
    if (std::fread(name.data(), 1, name.size(), stdin) != name.size()) std::exit(0);
    auto x = read<uint32_t>(), y = read<uint32_t>(), threads = read<uint32_t>();
    auto bytes = read<uint64_t>();
    std::vector<Array> arrays(read<uint32_t>());
    for (Array& array : arrays) {
        array.size = read<uint64_t>();
        array.at = (char*)std::malloc(array.size ? array.size : 1);
        if (array.size && std::fread(array.at, array.size, 1, stdin) != 1) std::exit(0);
    }
    struct Place { uint32_t array; uint64_t offset; uint32_t target; int64_t beyond; };
    std::vector<Place> places(read<uint32_t>());
    for (Place& place : places) {
        place = {read<uint32_t>(), read<uint64_t>(), read<uint32_t>(), read<int64_t>()};
        uint64_t address = (uint64_t)arrays[place.target].at + (uint64_t)place.beyond;
        std::memcpy(arrays[place.array].at + place.offset, &address, 8);
    }
    std::vector<uint64_t> values(read<uint32_t>());
    std::vector<void*> given;
    for (uint64_t& value : values) {
        bool pointer = read<uint8_t>();
        value = read<uint64_t>();
        if (pointer) value = value == UINT64_MAX ? 0 : (uint64_t)arrays[value].at;
        given.push_back(&value);
    }
    emulator::kernels().at(name)(x, y, threads, bytes, given.data());
    for (const Place& place : places) std::memset(arrays[place.array].at + place.offset, 0, 8);
    for (Array& array : arrays) {
        if (array.size) std::fwrite(array.at, array.size, 1, stdout);
        std::free(array.at);
    }
    std::fflush(stdout);
}

}  // namespace

int main() {
    for (;;) serve();
}
