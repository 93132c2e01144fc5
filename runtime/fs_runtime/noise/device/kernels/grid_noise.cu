// Draws of noise, one row of threads for each: blockIdx.y is the draw, four words a thread.
#include "grid_noise.h"

// By value, so that no launch can see the keys of another; together with the rest within the 4 KB of a kernel's
// parameters.
struct Keys {
  U64 seed_low[MOST_KEYS], seed_high[MOST_KEYS], draw[MOST_KEYS];
  U32 stream[MOST_KEYS];
};

extern "C" __global__ void __launch_bounds__(THREADS)
    grid_noise(float* draws, U32 size, float scale_high, float scale_low, const __grid_constant__ Keys keys) {
  const U32 row = blockIdx.y;
  const Key key = {keys.seed_low[row], keys.seed_high[row], keys.draw[row], keys.stream[row]};
  const U32 position = blockIdx.x * THREADS + threadIdx.x;
  write_four_words(draws + static_cast<U64>(size) * row, size, position, key, Pair{scale_high, scale_low});
}
