// A stand-in for libcuda.so.1 with one GPU of compute capability 8.9: memory is the host's, and a launch runs the noise
// kernel on the host before it returns. It shows that the calls fit together, and nothing of a GPU.
#include <dlfcn.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>

#include "grid_noise_host.cpp"

namespace {
int contexts, libraries;
void* current;
constexpr int kInvalidValue = 1, kInvalidContext = 201, kInvalidImage = 200, kNotFound = 500;
}  // namespace

#define API extern "C" int

API cuInit(unsigned) { return 0; }
API cuDriverGetVersion(int* version) { return *version = 13000, 0; }
API cuDeviceGetCount(int* count) { return *count = 1, 0; }
API cuDeviceGet(int* device, int) { return *device = 0, 0; }
API cuDeviceGetName(char* name, int size, int) { return std::strncpy(name, "Fake GPU", size), 0; }
API cuDeviceGetAttribute(int* value, int attribute, int) { return *value = attribute == 75 ? 8 : 9, 0; }
API cuDeviceTotalMem_v2(size_t* bytes, int) { return *bytes = size_t{8} << 30, 0; }
API cuGetErrorString(int status, const char** text) {
  *text = status == kInvalidContext ? "invalid device context" : "another error";
  return 0;
}
API cuDevicePrimaryCtxRetain(void** context, int) { return *context = &contexts, ++contexts, 0; }
API cuDevicePrimaryCtxRelease_v2(int) { return --contexts, 0; }
API cuCtxSetCurrent(void* context) { return current = context, 0; }
API cuCtxGetCurrent(void** context) { return *context = current, 0; }
API cuCtxGetDevice(int* device) { return *device = 0, current == nullptr ? kInvalidContext : 0; }
API cuStreamCreate(void** stream, unsigned) { return *stream = &libraries, 0; }
API cuStreamSynchronize(void*) { return 0; }
API cuStreamDestroy_v2(void*) { return 0; }
API cuMemAlloc_v2(uint64_t* pointer, size_t bytes) {
  *pointer = reinterpret_cast<uint64_t>(std::aligned_alloc(256, (bytes + 255) / 256 * 256));
  return 0;
}
API cuMemFree_v2(uint64_t pointer) { return std::free(reinterpret_cast<void*>(pointer)), 0; }
API cuMemcpyDtoH_v2(void* host, uint64_t device, size_t bytes) {
  return std::memcpy(host, reinterpret_cast<void*>(device), bytes), 0;
}
API cuLibraryLoadData(void** library, const void* code, void*, void**, unsigned, void*, void**, unsigned) {
  if (std::memcmp(code, "\177ELF", 4) != 0) return kInvalidImage;
  return *library = &libraries, ++libraries, 0;
}
API cuLibraryUnload(void*) { return --libraries, 0; }
API cuLibraryGetKernel(void** kernel, void*, const char* name) {
  *kernel = reinterpret_cast<void*>(&grid_noise);
  return std::strcmp(name, "grid_noise") == 0 ? 0 : kNotFound;
}
API cuLaunchKernel(void* kernel, unsigned x, unsigned y, unsigned z, unsigned threads, unsigned threads_y,
                   unsigned threads_z, unsigned, void*, void** parameters, void** extra) {
  if (current == nullptr) return kInvalidContext;
  const bool shaped = z == 1 && threads == THREADS && threads_y == 1 && threads_z == 1 && extra == nullptr;
  if (kernel != reinterpret_cast<void*>(&grid_noise) || !shaped || y > MOST_KEYS) return kInvalidValue;
  launch(x, y, *static_cast<float**>(parameters[0]), *static_cast<U32*>(parameters[1]),
         *static_cast<float*>(parameters[2]), *static_cast<float*>(parameters[3]), static_cast<Keys*>(parameters[4]));
  return 0;
}

// The newest form of a function, as the real one gives to callers of today.
API cuGetProcAddress_v2(const char* name, void** function, int, uint64_t, int* found) {
  static const Dl_info here = [] {
    Dl_info info;
    dladdr(reinterpret_cast<void*>(&cuInit), &info);
    return info;
  }();
  static void* library = dlopen(here.dli_fname, RTLD_NOW | RTLD_NOLOAD);
  *function = dlsym(library, (std::string(name) + "_v2").c_str());
  if (*function == nullptr) *function = dlsym(library, name);
  if (found != nullptr) *found = *function == nullptr ? 1 : 0;
  return *function == nullptr ? kNotFound : 0;
}
