// Work that the lanes of a warp share: loads of four numbers, sums of several values at once.
#pragma once

#include "common.cuh"

namespace faiss {

struct Four {
    float x, y, z, w;
};

__device__ __forceinline__ Four load_four(const float* p) {
    const float4 v = *reinterpret_cast<const float4*>(p);
    return {v.x, v.y, v.z, v.w};
}
__device__ __forceinline__ Four load_four(const __half* p) {
    const uint2 bits = *reinterpret_cast<const uint2*>(p);
    const float2 low = __half22float2(*reinterpret_cast<const __half2*>(&bits.x));
    const float2 high = __half22float2(*reinterpret_cast<const __half2*>(&bits.y));
    return {low.x, low.y, high.x, high.y};
}

// Halves 2 * HALF values of each lane to HALF, each half of the lanes keeping other ones; then goes on with the rest. Sizes
// are template arguments: as loop variables they cost the compiler its registers.
template <u32 HALF, u32 STEP> __device__ __forceinline__ void fold(float* v, u32 lane) {
    const bool upper = lane & STEP;
#pragma unroll
    for (u32 i = 0; i < HALF; ++i) {
        const float low = v[i], high = v[i + HALF];
        const float sent = upper ? low : high;
        v[i] = (upper ? high : low) + __shfl_xor_sync(FULL_WARP, sent, STEP);
    }
    if constexpr (HALF > 1) fold<HALF / 2, STEP / 2>(v, lane);
}

// Sums each of N values over the warp with N - 1 shuffles and a few: lane i returns the sum of value i / (32 / N).
template <u32 N> __device__ __forceinline__ float warp_sum_many(float (&v)[N], u32 lane) {
    fold<N / 2, 16>(v, lane);
#pragma unroll
    for (u32 step = 16 / N; step > 0; step /= 2) v[0] += __shfl_xor_sync(FULL_WARP, v[0], step);
    return v[0];
}

// The squared distance of two rows by differences, or their inner product; in every lane of the warp.
template <typename T> __device__ __forceinline__ float warp_value(const T* x, const T* y, u32 d, u32 inner, u32 lane) {
    float sum = 0;
#pragma unroll 4
    for (u32 i = lane; i < d; i += 32) {
        const float a = to_float(x[i]), b = to_float(y[i]), difference = a - b;
        sum = inner ? fmaf(a, b, sum) : fmaf(difference, difference, sum);
    }
    return warp_sum(sum);
}

} // namespace faiss
