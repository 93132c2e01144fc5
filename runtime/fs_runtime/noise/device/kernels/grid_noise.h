// One thread's share of the noise: words by Philox4x64-10, values by Box-Muller, whole grid steps (docs/theory.md
// sections 8 and 9). A CUDA compiler builds it for GPUs and a C++ compiler for the host, where it is tested.
//
// Every operation is an integer one or an IEEE 754 one of float32 (add, multiply, fused multiply-add, divide, square
// root, to nearest), so all GPUs and the host agree in every bit. No library function: those of CUDA and C differ.
//
// A number is a Pair, the unevaluated sum of two floats, and good to 2^-28 of itself: float32 alone cannot hold a grid
// step beyond sigma = 0.5, and float64 runs at 1/64 of float32's rate on RTX and Jetson GPUs. About 110 operations of
// float32 for two values are also no more than the 70 of float64 would cost where that runs at half the rate.
#pragma once

typedef unsigned int U32;
typedef unsigned long long U64;

#ifdef __CUDACC__
#define FS_INLINE __device__ __forceinline__
// The intrinsics are never contracted into fused operations nor replaced by approximations, whatever the flags.
FS_INLINE float add(float a, float b) { return __fadd_rn(a, b); }
FS_INLINE float subtract(float a, float b) { return __fsub_rn(a, b); }
FS_INLINE float multiply(float a, float b) { return __fmul_rn(a, b); }
FS_INLINE float fused(float a, float b, float c) { return __fmaf_rn(a, b, c); }
FS_INLINE float reciprocal(float a) { return __frcp_rn(a); }
FS_INLINE float root(float a) { return __fsqrt_rn(a); }
FS_INLINE float whole_below(float a) { return floorf(a); }
FS_INLINE int leading_zeros(U32 a) { return __clz(static_cast<int>(a)); }
FS_INLINE U64 high_half(U64 a, U64 b) { return __umul64hi(a, b); }
#else
// Compile with -ffp-contract=off.
#include <cmath>
#define FS_INLINE inline
FS_INLINE float add(float a, float b) { return a + b; }
FS_INLINE float subtract(float a, float b) { return a - b; }
FS_INLINE float multiply(float a, float b) { return a * b; }
FS_INLINE float fused(float a, float b, float c) { return std::fma(a, b, c); }
FS_INLINE float reciprocal(float a) { return 1.0f / a; }
FS_INLINE float root(float a) { return std::sqrt(a); }
FS_INLINE float whole_below(float a) { return std::floor(a); }
FS_INLINE int leading_zeros(U32 a) { return __builtin_clz(a); }
FS_INLINE U64 high_half(U64 a, U64 b) { return static_cast<U64>(static_cast<unsigned __int128>(a) * b >> 64); }
#endif

// ---- words

struct Key {
  U64 seed_low, seed_high, draw;
  U32 stream;
};

struct Words {
  U64 word[4];
};

// Words 4 position ... 4 position + 3 of a draw (Salmon et al., SC 2011).
FS_INLINE Words philox4x64_10(U64 position, const Key& key) {
  U64 x0 = position, x1 = key.draw, x2 = key.stream, x3 = 0;
  U64 k0 = key.seed_low, k1 = key.seed_high;
  for (int round = 0; round < 10; ++round) {
    const U64 high0 = high_half(x0, 0xD2E7470EE14C6C93ull), low0 = x0 * 0xD2E7470EE14C6C93ull;
    const U64 high2 = high_half(x2, 0xCA5A826395121157ull), low2 = x2 * 0xCA5A826395121157ull;
    x0 = high2 ^ x1 ^ k0;
    x1 = low2;
    x2 = high0 ^ x3 ^ k1;
    x3 = low0;
    k0 += 0x9E3779B97F4A7C15ull;
    k1 += 0xBB67AE8584CAA73Bull;
  }
  return Words{{x0, x1, x2, x3}};
}

// ---- pairs of floats

struct Pair {
  float high, low;
};

// a + b, exactly, for |a| >= |b| or a = 0; no other pair need be as tight, its low part may overlap the high one's end.
FS_INLINE Pair exact_sum(float a, float b) {
  const float high = add(a, b);
  return Pair{high, subtract(b, subtract(high, a))};
}

FS_INLINE Pair product(Pair a, Pair b) {
  const float high = multiply(a.high, b.high);
  const float rest = fused(a.high, b.high, -high);
  return Pair{high, add(rest, fused(a.high, b.low, multiply(a.low, b.high)))};
}

// c0 + z (c1 + z.high tail), whose terms fall fast enough that the tail needs no second float.
FS_INLINE Pair series(Pair c0, Pair c1, float tail, Pair z) {
  Pair inner = exact_sum(c1.high, multiply(z.high, tail));
  inner.low = add(inner.low, c1.low);
  const Pair rest = product(z, inner);
  const Pair sum = exact_sum(c0.high, rest.high);
  return Pair{sum.high, add(sum.low, add(c0.low, rest.low))};
}

// count unit, exactly, for count < 2^31 and a power of two.
FS_INLINE Pair scaled(U32 count, float unit) {
  const float high = static_cast<float>(count);
  const float low = static_cast<float>(static_cast<int>(count - static_cast<U32>(high)));
  return Pair{multiply(high, unit), multiply(low, unit)};
}

// ---- Box-Muller

// sqrt(-2 ln u), u = (low + 1) / 2^32.
FS_INLINE Pair radius(U32 low) {
  const U32 count = low + 1u;
  if (count == 0u) return Pair{0.0f, 0.0f};  // u = 1
  // u = (1 + f) / 2^halvings with 1 + f in [sqrt(1/2), sqrt(2)); f is exact, also where u is near 1.
  int halvings = leading_zeros(count);
  const U32 top = count << halvings;
  Pair f;
  if (top > 0xB504F333u) {
    f = scaled(0u - top, -0x1p-32f);
  } else {
    halvings += 1;
    f = scaled(top - 0x80000000u, 0x1p-31f);
  }
  // ln(1 + f) = 2 atanh(s) = 2 s (1 + s^2 / 3 + s^4 / 5 + ...), s = f / (2 + f), |s| < 0.1716.
  Pair divisor = exact_sum(2.0f, f.high);
  divisor.low = add(divisor.low, f.low);
  const float inverse = reciprocal(divisor.high);
  const float s = multiply(f.high, inverse);
  const float remainder = add(fused(-s, divisor.low, fused(-s, divisor.high, f.high)), f.low);
  const float square = multiply(s, s);
  float tail = 0x1.745d18p-4f;                     // 1/11
  tail = fused(tail, square, 0x1.c71c72p-4f);      // 1/9
  tail = fused(tail, square, 0x1.24924ap-3f);      // 1/7
  tail = fused(tail, square, 0x1.99999ap-3f);      // 1/5
  tail = fused(tail, square, 0x1.555556p-2f);      // 1/3
  const float beyond = add(multiply(remainder, inverse), multiply(s, multiply(square, tail)));
  // -2 ln u = 2 ln(2) halvings - 4 s - 4 beyond; the first factor has 18 bits, so that its product is exact.
  const float times = static_cast<float>(halvings);
  const Pair leading = exact_sum(multiply(times, 0x1.62e4p+0f), multiply(s, -4.0f));
  const float rest = fused(beyond, -4.0f, multiply(times, 0x1.7f7d1cp-19f));
  const Pair square_radius = exact_sum(leading.high, add(leading.low, rest));
  const float high = root(square_radius.high);
  const float missing = add(fused(-high, high, square_radius.high), square_radius.low);
  return Pair{high, multiply(multiply(missing, 0.5f), reciprocal(high))};
}

struct Direction {
  Pair cosine, sine;
};

// Of the angle pi int32(high) / 2^31.
FS_INLINE Direction direction(U32 high) {
  // A whole number of right angles and x right angles / 2 with |x| <= 1, both exact.
  const U32 quarters = (high + 0x20000000u) >> 30;
  const int offset = static_cast<int>(high - (quarters << 30));
  const float whole = static_cast<float>(offset);
  const Pair x = {multiply(whole, 0x1p-29f), multiply(static_cast<float>(offset - static_cast<int>(whole)), 0x1p-29f)};
  const float square = multiply(x.high, x.high);
  const Pair z = {square, fused(multiply(x.high, x.low), 2.0f, fused(x.high, x.high, -square))};
  // Taylor's series of sin(pi x / 4) / x and cos(pi x / 4) in z = x^2.
  float tail = -0x1.e3075p-30f;
  tail = fused(tail, z.high, 0x1.507834p-22f);
  tail = fused(tail, z.high, -0x1.32d2ccp-15f);
  tail = fused(tail, z.high, 0x1.466bc6p-9f);
  const Pair slope = series(Pair{0x1.921fb6p-1f, -0x1.777a5cp-26f}, Pair{-0x1.4abbcep-4f, -0x1.896f94p-30f}, tail, z);
  const Pair sine = product(x, slope);
  tail = -0x1.a6d1f2p-26f;
  tail = fused(tail, z.high, 0x1.e1f506p-19f);
  tail = fused(tail, z.high, -0x1.55d3c8p-12f);
  tail = fused(tail, z.high, 0x1.03c1f0p-6f);
  const Pair cosine = series(Pair{1.0f, 0.0f}, Pair{-0x1.3bd3ccp-2f, -0x1.37c8bcp-27f}, tail, z);
  const bool swapped = (quarters & 1u) != 0u;
  Direction result = {swapped ? sine : cosine, swapped ? cosine : sine};
  const float cosine_sign = ((quarters + 1u) & 2u) != 0u ? -1.0f : 1.0f;
  const float sine_sign = (quarters & 2u) != 0u ? -1.0f : 1.0f;
  result.cosine = Pair{multiply(result.cosine.high, cosine_sign), multiply(result.cosine.low, cosine_sign)};
  result.sine = Pair{multiply(result.sine.high, sine_sign), multiply(result.sine.low, sine_sign)};
  return result;
}

// floor(amplitude unit + 1/2) steps of 2^-20; |amplitude unit| < 2^24.
FS_INLINE float on_grid(Pair amplitude, Pair unit) {
  const Pair steps = product(amplitude, unit);
  const float below = whole_below(steps.high);
  // Of a few steps at most, and so held to 2^-22 of a step, whatever the whole number is, even or odd.
  const float fraction = add(subtract(steps.high, below), steps.low);
  return multiply(add(below, whole_below(add(fraction, 0.5f))), 0x1p-20f);
}

// ---- one thread's share

struct alignas(16) Four {
  float value[4];
};

FS_INLINE void store(float* at, U32 room, const Four& four) {
  if (room >= 4u && reinterpret_cast<U64>(at) % sizeof(Four) == 0u) {
    *reinterpret_cast<Four*>(at) = four;
  } else {
    for (U32 i = 0u; i < 4u; ++i) {
      if (i < room) at[i] = four.value[i];
    }
  }
}

// Writes what words 4 position ... 4 position + 3 give of one draw: word j the values j and j + ceil(size / 2).
// scale is sigma in grid steps.
FS_INLINE void write_four_words(float* draw, U32 size, U32 position, const Key& key, Pair scale) {
  const U32 pairs = size - size / 2u, first = 4u * position;
  if (first >= pairs) return;
  const Words words = philox4x64_10(position, key);
  Four cosines, sines;
  for (int i = 0; i < 4; ++i) {
    const Pair amplitude = product(scale, radius(static_cast<U32>(words.word[i])));
    const Direction unit = direction(static_cast<U32>(words.word[i] >> 32));
    cosines.value[i] = on_grid(amplitude, unit.cosine);
    sines.value[i] = on_grid(amplitude, unit.sine);
  }
  store(draw + first, pairs - first, cosines);
  store(draw + pairs + first, size - pairs - first, sines);
}
