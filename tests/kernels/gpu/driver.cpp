// A driver of one GPU whose memory is the host's, in the place of libcuda: what cuda-core asks of one
// for an index, and a callback for launches. All is done at once. Without a context on the stack,
// calls that need one fail, as NVIDIA's do.
#include <cuda.h>
#include <dlfcn.h>

#include <cstdlib>
#include <cstring>
#include <string>

struct Library { std::string code; };
struct Kernel { Library* library; std::string name; };

typedef int (*Launcher)(
    const char* code, const char* kernel, unsigned x, unsigned y, unsigned threads, unsigned shared,
    void** given);
static Launcher launcher;
static const CUcontext CONTEXT = (CUcontext)0x1000;
static const size_t TOTAL = 1ull << 34;
static thread_local CUcontext stack[64];
static thread_local int depth;
static size_t taken;

static CUresult in_context() { return depth ? CUDA_SUCCESS : CUDA_ERROR_INVALID_CONTEXT; }

static CUresult run(
    Kernel* kernel, unsigned x, unsigned y, unsigned z, unsigned threads, unsigned shared,
    void** given) {
    if (!depth || z != 1) return CUDA_ERROR_INVALID_CONTEXT;
    const char* code = kernel->library->code.c_str();
    bool done = launcher(code, kernel->name.c_str(), x, y, threads, shared, given);
    return done ? CUDA_SUCCESS : CUDA_ERROR_LAUNCH_FAILED;
}

extern "C" {
void set_launcher(Launcher given) { launcher = given; }

CUresult cuInit(unsigned) { return CUDA_SUCCESS; }
CUresult cuDriverGetVersion(int* out) { return *out = 13000, CUDA_SUCCESS; }
CUresult cuDeviceGetCount(int* out) { return *out = 1, CUDA_SUCCESS; }
CUresult cuDeviceGet(CUdevice* out, int number) {
    return *out = 0, number ? CUDA_ERROR_INVALID_DEVICE : CUDA_SUCCESS;
}
CUresult cuDeviceGetName(char* out, int size, CUdevice) {
    return std::strncpy(out, "Host", size), CUDA_SUCCESS;
}
CUresult cuDeviceTotalMem_v2(size_t* out, CUdevice) { return *out = TOTAL, CUDA_SUCCESS; }
CUresult cuDeviceGetUuid_v2(CUuuid* out, CUdevice) {
    return std::memset(out, 1, sizeof *out), CUDA_SUCCESS;
}
CUresult cuDeviceGetAttribute(int* out, CUdevice_attribute which, CUdevice) {
    *out = which == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR         ? 9
           : which == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR       ? 0
           : which == CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT           ? 4
           : which == CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN ? 227 * 1024
           : which == CU_DEVICE_ATTRIBUTE_WARP_SIZE                      ? 32
                                                                         : 1024;
    return CUDA_SUCCESS;
}
CUresult cuDevicePrimaryCtxRetain(CUcontext* out, CUdevice) { return *out = CONTEXT, CUDA_SUCCESS; }
CUresult cuDevicePrimaryCtxRelease_v2(CUdevice) { return CUDA_SUCCESS; }
CUresult cuCtxPushCurrent_v2(CUcontext context) { return stack[depth++] = context, CUDA_SUCCESS; }
CUresult cuCtxPopCurrent_v2(CUcontext* out) {
    if (!depth) return CUDA_ERROR_INVALID_CONTEXT;
    depth--;
    if (out) *out = stack[depth];
    return CUDA_SUCCESS;
}
CUresult cuCtxGetCurrent(CUcontext* out) {
    return *out = depth ? stack[depth - 1] : nullptr, CUDA_SUCCESS;
}
CUresult cuCtxSetCurrent(CUcontext context) {
    return depth ? stack[depth - 1] = context : stack[depth++] = context, CUDA_SUCCESS;
}
CUresult cuCtxGetDevice(CUdevice* out) { return *out = 0, in_context(); }
CUresult cuStreamGetCtx(CUstream, CUcontext* out) { return *out = CONTEXT, CUDA_SUCCESS; }
CUresult cuStreamGetDevice(CUstream, CUdevice* out) { return *out = 0, CUDA_SUCCESS; }
CUresult cuStreamCreate(CUstream* out, unsigned) { return *out = (CUstream)0x5000, in_context(); }
CUresult cuStreamDestroy_v2(CUstream) { return CUDA_SUCCESS; }
CUresult cuStreamSynchronize(CUstream) { return in_context(); }
CUresult cuStreamIsCapturing(CUstream, CUstreamCaptureStatus* out) {
    return *out = CU_STREAM_CAPTURE_STATUS_NONE, in_context();
}
CUresult cuMemGetInfo_v2(size_t* available, size_t* total) {
    return *total = TOTAL, *available = TOTAL - taken, in_context();
}
CUresult cuMemAlloc_v2(CUdeviceptr* out, size_t size) {
    if (!depth) return CUDA_ERROR_INVALID_CONTEXT;
    void* memory = std::aligned_alloc(256, (size + 255) / 256 * 256);
    std::memset(memory, 0xA5, size);
    taken += size;
    return *out = (CUdeviceptr)memory, CUDA_SUCCESS;
}
CUresult cuMemFree_v2(CUdeviceptr memory) { return std::free((void*)memory), in_context(); }
CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void* from, size_t size, CUstream) {
    return std::memcpy((void*)to, from, size), in_context();
}
CUresult cuMemcpyDtoHAsync_v2(void* to, CUdeviceptr from, size_t size, CUstream) {
    return std::memcpy(to, (void*)from, size), in_context();
}
CUresult cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t size, CUstream) {
    return std::memset((void*)to, value, size), in_context();
}
CUresult cuLibraryLoadData(
    CUlibrary* out, const void* code, CUjit_option*, void**, unsigned, CUlibraryOption*, void**,
    unsigned) {
    return *out = (CUlibrary) new Library{(const char*)code}, in_context();
}
CUresult cuLibraryUnload(CUlibrary) { return CUDA_SUCCESS; }
CUresult cuLibraryGetKernel(CUkernel* out, CUlibrary library, const char* name) {
    return *out = (CUkernel) new Kernel{(Library*)library, name}, CUDA_SUCCESS;
}
CUresult cuKernelGetLibrary(CUlibrary* out, CUkernel kernel) {
    return *out = (CUlibrary)((Kernel*)kernel)->library, CUDA_SUCCESS;
}
CUresult cuKernelGetFunction(CUfunction* out, CUkernel kernel) {
    return *out = (CUfunction)kernel, CUDA_SUCCESS;
}
CUresult cuKernelGetAttribute(int* out, CUfunction_attribute, CUkernel, CUdevice) {
    return *out = 0, CUDA_SUCCESS;
}
CUresult cuKernelSetAttribute(CUfunction_attribute, int, CUkernel, CUdevice) {
    return in_context();
}
CUresult cuLaunchKernel(
    CUfunction f, unsigned x, unsigned y, unsigned z, unsigned threads, unsigned, unsigned,
    unsigned shared, CUstream, void** given, void**) {
    return run((Kernel*)f, x, y, z, threads, shared, given);
}
CUresult cuLaunchKernelEx(const CUlaunchConfig* how, CUfunction f, void** given, void**) {
    return run((Kernel*)f, how->gridDimX, how->gridDimY, how->gridDimZ, how->blockDimX,
        how->sharedMemBytes, given);
}
CUresult cuGetErrorString(CUresult, const char** out) { return *out = "an error", CUDA_SUCCESS; }
CUresult cuGetErrorName(CUresult, const char** out) { return *out = "ERROR", CUDA_SUCCESS; }

CUresult cuGetProcAddress_v2(
    const char* name, void** out, int, cuuint64_t, CUdriverProcAddressQueryResult* result) {
    Dl_info own;
    dladdr((void*)&cuGetErrorName, &own);
    static void* library = dlopen(own.dli_fname, RTLD_NOW | RTLD_NOLOAD);
    *out = dlsym(library, (std::string(name) + "_v2").c_str());
    if (!*out) *out = dlsym(library, name);
    if (result) *result = *out ? CU_GET_PROC_ADDRESS_SUCCESS : CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND;
    return *out ? CUDA_SUCCESS : CUDA_ERROR_NOT_FOUND;
}
#undef cuGetProcAddress
CUresult cuGetProcAddress(const char* name, void** out, int version, cuuint64_t flags) {
    return cuGetProcAddress_v2(name, out, version, flags, nullptr);
}
}
