// The noise kernel, thread after thread, on this machine's processor.
#define __global__
#define __launch_bounds__(threads)
#define __grid_constant__
struct Index {
  unsigned int x, y;
};
static thread_local Index blockIdx, threadIdx;

#include "grid_noise.cu"

// What a GPU does with a grid of blocks x rows.
extern "C" void launch(U32 blocks, U32 rows, float* draws, U32 size, float scale_high, float scale_low,
                       const Keys* keys) {
  for (blockIdx.y = 0; blockIdx.y < rows; ++blockIdx.y) {
    for (blockIdx.x = 0; blockIdx.x < blocks; ++blockIdx.x) {
      for (threadIdx.x = 0; threadIdx.x < THREADS; ++threadIdx.x) grid_noise(draws, size, scale_high, scale_low, *keys);
    }
  }
}

extern "C" void fill_words(U64* words, U32 blocks, U64 seed_low, U64 seed_high, U64 draw, U32 stream) {
  const Key key = {seed_low, seed_high, draw, stream};
  for (U32 position = 0; position < blocks; ++position) {
    const Words four = philox4x64_10(position, key);
    for (int i = 0; i < 4; ++i) words[4 * static_cast<U64>(position) + i] = four.word[i];
  }
}

// sqrt(-2 ln u), cosine and sine of each word.
extern "C" void polar(double* values, const U64* words, U32 count) {
  for (U32 i = 0; i < count; ++i) {
    const Pair length = radius(static_cast<U32>(words[i]));
    const Direction unit = direction(static_cast<U32>(words[i] >> 32));
    values[3 * i] = static_cast<double>(length.high) + length.low;
    values[3 * i + 1] = static_cast<double>(unit.cosine.high) + unit.cosine.low;
    values[3 * i + 2] = static_cast<double>(unit.sine.high) + unit.sine.low;
  }
}

// The two values of each word.
extern "C" void noise_of_words(float* values, const U64* words, U32 count, float scale_high, float scale_low) {
  for (U32 i = 0; i < count; ++i) {
    const Pair amplitude = product(Pair{scale_high, scale_low}, radius(static_cast<U32>(words[i])));
    const Direction unit = direction(static_cast<U32>(words[i] >> 32));
    values[i] = on_grid(amplitude, unit.cosine);
    values[count + i] = on_grid(amplitude, unit.sine);
  }
}
