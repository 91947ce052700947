// Keys by which the best of many values are found: a value and its position make one 64-bit key, smaller for the better value,
// so all keys differ and the order in which threads meet them does not matter. And sorts of keys by one block.
#pragma once

#include "common.cuh"

namespace faiss {

constexpr u64 NO_KEY = ~0ull;
constexpr float WORST = 3.402823466e+38f;

__device__ __forceinline__ u64 make_key(float value, u32 position, bool descending) {
    if (descending ? !(value > -WORST) : !(value < WORST)) return NO_KEY;
    const u32 bits = __float_as_uint(value + 0.0f); // -0 becomes 0: they are equal, so the position decides
    const u32 ascending = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
    return (u64)(descending ? ~ascending : ascending) << 32 | position;
}

__device__ __forceinline__ float key_value(u64 key, bool descending) {
    u32 ascending = (u32)(key >> 32);
    if (descending) ascending = ~ascending;
    return __uint_as_float(ascending & 0x80000000u ? ascending & 0x7fffffffu : ~ascending);
}

__device__ __forceinline__ void order(u64& low, u64& high) {
    if (high < low) {
        const u64 kept = low;
        low = high;
        high = kept;
    }
}

// Between two steps of a sort, each of which compares keys that are within so many: up to 64 of them are one warp's own.
__device__ __forceinline__ void between(u32 reach, u32 next) {
    if (reach > 64 || next > 64) __syncthreads();
    else __syncwarp();
}

// Behind the last step.
constexpr u32 WHOLE_BLOCK = ~0u;

// Makes a bitonic run of `size` keys (a power of two) ascending. Its first step sees what all threads wrote.
__device__ inline void merge_keys(u64* keys, u32 size) {
#pragma unroll 1
    for (u32 stride = size / 2; stride > 0; stride /= 2) {
#pragma unroll 1
        for (u32 i = threadIdx.x; i < size / 2; i += blockDim.x) {
            const u32 low = 2 * i - (i & (stride - 1));
            order(keys[low], keys[low + stride]);
        }
        between(2 * stride, stride > 1 ? stride : WHOLE_BLOCK);
    }
}

// Sorts `size` keys (a power of two), which all threads may have written.
__device__ inline void sort_keys(u64* keys, u32 size) {
#pragma unroll 1
    for (u32 run = 2; run <= size; run *= 2) {
        const u32 after = run < size ? 2 * run : WHOLE_BLOCK;
        // The first step of a phase compares mirrored places, so every run is ascending and no direction is needed.
#pragma unroll 1
        for (u32 i = threadIdx.x; i < size / 2; i += blockDim.x) {
            const u32 half = run / 2, inner = i & (half - 1), start = (i - inner) * 2;
            order(keys[start + inner], keys[start + run - 1 - inner]);
        }
        between(run, run > 2 ? run / 2 : after);
#pragma unroll 1
        for (u32 stride = run / 4; stride > 0; stride /= 2) {
#pragma unroll 1
            for (u32 i = threadIdx.x; i < size / 2; i += blockDim.x) {
                const u32 low = 2 * i - (i & (stride - 1));
                order(keys[low], keys[low + stride]);
            }
            between(2 * stride, stride > 1 ? stride : after);
        }
    }
}

} // namespace faiss
