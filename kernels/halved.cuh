// Rows as halves with what rounding does to each, measured: what products of f16 can be proven by.
#pragma once

#include "split.cuh"

namespace faiss {

constexpr float UNIT = 1.0f / 16777216.0f;
// A bound that is beyond f32 with what it is multiplied by says nothing.
constexpr float BEYOND = 1e37f;

// What a sum of so many products of 16 numbers by matrix units is off by, of the lengths of both: each product and the sum so far may
// be cut at 24 bits of the largest, and so may the end.
__device__ __forceinline__ float product_rounding(u32 products) { return (19.0f * products + 8.0f) * UNIT; }
// What half of a squared length is off by, of itself.
__device__ __forceinline__ float square_rounding(u32 d) { return (d / 32 + 16) * UNIT; }

__device__ __forceinline__ float warp_max(float x) {
#pragma unroll
    for (u32 lanes = 16; lanes > 0; lanes /= 2) x = fmaxf(x, __shfl_xor_sync(FULL_WARP, x, lanes));
    return x;
}

// A row as halves. Lengths are those of the scaled row, rounded up.
struct Halved {
    float scale, square, length, error, low;
    bool nan, finite; // a number of it is NaN; all numbers, and their differences to the center, are finite
};

template <typename T, u32 LOW>
__device__ __forceinline__ Halved halve_row(const T* x, const float* center, u32 d, u32 chunks, float most_scale, __half* halves, u32 at) {
    const u32 lane = threadIdx.x % 32;
    float most = 0;
    bool nan = false;
#pragma unroll 4
    for (u32 i = lane; i < d; i += 32) {
        const float value = fabsf(to_float(x[i]) - (center ? center[i] : 0.0f));
        nan |= isnan(value);
        most = fmaxf(most, value);
    }
    most = warp_max(most);
    Halved row;
    row.nan = __any_sync(FULL_WARP, nan);
    row.finite = !row.nan && most <= LARGEST;
    row.scale = row.finite ? fminf(scale_for(most), most_scale) : 1.0f;
    __half* to = split_at(halves, at, chunks);
    float square = 0, error = 0, low = 0;
    constexpr u32 WIDTH = LOW ? CHUNK_DIMS : CHUNK_HALVES, EACH = WIDTH / 32;
    for (u32 chunk = 0; chunk < chunks; ++chunk) {
        __half high[EACH], rest[EACH];
#pragma unroll
        for (u32 j = 0; j < EACH; ++j) {
            const u32 i = chunk * WIDTH + lane * EACH + j;
            const float value = row.finite && i < d ? (to_float(x[i]) - (center ? center[i] : 0.0f)) * row.scale : 0.0f;
            high[j] = __float2half_rn(value);
            const float left = value - __half2float(high[j]);
            rest[j] = __float2half_rn(left);
            const float kept = __half2float(rest[j]), lost = LOW ? left - kept : left;
            square = fmaf(value, value, square);
            error = fmaf(lost, lost, error);
            if (LOW) low = fmaf(kept, kept, low);
        }
        if constexpr (LOW) {
            to[chunk * TILE_HALVES + split_place(at, lane)] = high[0];
            to[chunk * TILE_HALVES + split_place(at, CHUNK_DIMS + lane)] = rest[0];
        } else {
            *reinterpret_cast<__half2*>(to + chunk * TILE_HALVES + split_place(at, 2 * lane)) = __halves2half2(high[0], high[EACH - 1]);
        }
    }
    // The sums are off by a step a number of a lane, and the differences to the center by half a unit each.
    const float up = 1.0001f + 4 * UNIT * (float)(d / 32);
    row.square = warp_sum(square);
    row.length = sqrtf(row.square) * up;
    row.error = sqrtf(warp_sum(error)) * up + row.length * UNIT;
    row.low = sqrtf(warp_sum(low)) * up;
    return row;
}

// A row that is none, behind the last one.
__device__ __forceinline__ void fill_row(u32 chunks, __half* halves, u32 at) {
    __half2* to = reinterpret_cast<__half2*>(split_at(halves, at, chunks));
    for (u32 chunk = 0; chunk < chunks; ++chunk) to[chunk * TILE_HALVES / 2 + threadIdx.x % 32] = __float2half2_rn(0.0f);
}

} // namespace faiss
