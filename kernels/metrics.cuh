// One term and one end for every metric of the library, the same as the CPU's. Two running values are enough for all.
#pragma once

#include "common.cuh"

namespace faiss {

enum class Metric { InnerProduct, L2, L1, Linf, Lp, Canberra, BrayCurtis, JensenShannon, Jaccard, NaNEuclidean, Gower };

// Functions of their own: inlined into sixteen places of a kernel they would be most of the image.
__device__ __noinline__ float power(float x, float y) { return powf(x, y); }
__device__ __noinline__ float quotient(float x, float y) { return x / y; }
// x log(middle / x)
__device__ __noinline__ float entropy(float x, float middle) { return x * logf(middle / x); }

// Adds the term of one dimension: x of the query, y of the vector.
template <Metric M> __device__ __forceinline__ void accumulate(float x, float y, float arg, float& a, float& b) {
    const float diff = x - y;
    if constexpr (M == Metric::InnerProduct) a = fmaf(x, y, a);
    if constexpr (M == Metric::L2) a = fmaf(diff, diff, a);
    if constexpr (M == Metric::L1) a += fabsf(diff);
    if constexpr (M == Metric::Linf) a = fmaxf(a, fabsf(diff));
    if constexpr (M == Metric::Lp) a += power(fabsf(diff), arg);
    if constexpr (M == Metric::Canberra) a += quotient(fabsf(diff), fabsf(x) + fabsf(y));
    if constexpr (M == Metric::BrayCurtis) {
        a += fabsf(diff);
        b += fabsf(x + y);
    }
    if constexpr (M == Metric::JensenShannon) {
        const float middle = 0.5f * (x + y);
        a -= entropy(x, middle) + entropy(y, middle);
    }
    if constexpr (M == Metric::Jaccard) {
        a += fminf(x, y);
        b += fmaxf(x, y);
    }
    if constexpr (M == Metric::NaNEuclidean) {
        if (!isnan(x) && !isnan(y)) {
            a = fmaf(diff, diff, a);
            b += 1;
        }
    }
    if constexpr (M == Metric::Gower) {
        // Numbers in [0, 1] are measures, negative ones categories; any other pair has no distance. NaN does not count.
        if (!isnan(x) && !isnan(y)) {
            if (x < 0 && y < 0)
                a += x == y ? 0.0f : 1.0f;
            else if (x >= 0 && x <= 1 && y >= 0 && y <= 1)
                a += fabsf(diff);
            else
                a = __uint_as_float(0x7fc00000u);
            b += 1;
        }
    }
}

template <Metric M> __device__ __forceinline__ float finish(float a, float b, u32 d) {
    if constexpr (M == Metric::BrayCurtis || M == Metric::Jaccard) return quotient(a, b);
    if constexpr (M == Metric::JensenShannon) return 0.5f * a;
    if constexpr (M == Metric::NaNEuclidean) return b == 0 ? __uint_as_float(0x7fc00000u) : a * quotient(d, b);
    if constexpr (M == Metric::Gower) return quotient(a, b); // without a pair 0 / 0, which is NaN as it should be
    return a;
}

} // namespace faiss
