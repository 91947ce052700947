// What the codes of a list stand for: a vector's numbers, four at a time or one. CODE says what a number takes: 32 an f32; 16 two
// bytes, an f16 or, where `codes.bits` is 17, a bf16; 8 a byte; 0 the `codes.bits` bits, 4 or 6. What has 8 bits or less stands for
// lows[i] + steps[i] * code in dimension i.
#pragma once

#include "lanes.cuh"

namespace faiss {

typedef unsigned char u8;

__device__ __forceinline__ Four plus(const Four& x, const Four& y) { return {x.x + y.x, x.y + y.y, x.z + y.z, x.w + y.w}; }
__device__ __forceinline__ Four minus(const Four& x, const Four& y) { return {x.x - y.x, x.y - y.y, x.z - y.z, x.w - y.w}; }

__device__ __forceinline__ Four multiply_add(const Four& x, const Four& y, const Four& z) {
    return {fmaf(x.x, y.x, z.x), fmaf(x.y, y.y, z.y), fmaf(x.z, y.z, z.z), fmaf(x.w, y.w, z.w)};
}

// Four numbers of a row from a column on that is a multiple of four; past the end they are zeros. Nothing past the end is read.
__device__ __forceinline__ Four staged_row(const float* x, u32 column, u32 d, bool aligned) {
    Four four;
    if (aligned) {
        four = load_four(x + min(column, d - 4));
    } else {
        four = {x[min(column, d - 1)], x[min(column + 1, d - 1)], x[min(column + 2, d - 1)], x[min(column + 3, d - 1)]};
    }
    if (column >= d) four.x = 0;
    if (column + 1 >= d) four.y = 0;
    if (column + 2 >= d) four.z = 0;
    if (column + 3 >= d) four.w = 0;
    return four;
}

template <u32 CODE> struct Decoder {
    const Codes& codes;

    __device__ __forceinline__ explicit Decoder(const Codes& codes) : codes(codes) {}

    __device__ __forceinline__ const u8* row(i64 entry) const { return codes.codes + entry * codes.code_size; }

    // Codes are small numbers: both products and sums are exact until they are scaled.
    __device__ __forceinline__ Four scaled(u32 i, float x, float y, float z, float w) const {
        const Four low = load_four(codes.lows + i), step = load_four(codes.steps + i);
        return {fmaf(step.x, x, low.x), fmaf(step.y, y, low.y), fmaf(step.z, z, low.z), fmaf(step.w, w, low.w)};
    }

    // Numbers i to i + 3, all of which exist; i and d are multiples of four.
    __device__ __forceinline__ Four four(const u8* row, u32 i) const {
        if constexpr (CODE == 32) {
            return load_four(reinterpret_cast<const float*>(row) + i);
        } else if constexpr (CODE == 16) {
            if (codes.bits == 16) return load_four(reinterpret_cast<const __half*>(row) + i);
            const uint2 v = *reinterpret_cast<const uint2*>(row + 2 * i);
            return {__uint_as_float(v.x << 16), __uint_as_float(v.x & 0xffff0000u), __uint_as_float(v.y << 16),
                    __uint_as_float(v.y & 0xffff0000u)};
        } else if constexpr (CODE == 8) {
            const u32 v = *reinterpret_cast<const u32*>(row + i);
            return scaled(i, v & 255, v >> 8 & 255, v >> 16 & 255, v >> 24);
        } else {
            const u8* p = row + i * codes.bits / 8;
            u32 v = p[0] | p[1] << 8;
            if (codes.bits == 4) return scaled(i, v & 15, v >> 4 & 15, v >> 8 & 15, v >> 12);
            v |= p[2] << 16;
            return scaled(i, v & 63, v >> 6 & 63, v >> 12 & 63, v >> 18);
        }
    }

    __device__ __forceinline__ float one(const u8* row, u32 i) const {
        if constexpr (CODE == 32) {
            return reinterpret_cast<const float*>(row)[i];
        } else if constexpr (CODE == 16) {
            if (codes.bits == 16) return __half2float(reinterpret_cast<const __half*>(row)[i]);
            return __uint_as_float((u32) reinterpret_cast<const unsigned short*>(row)[i] << 16);
        } else if constexpr (CODE == 8) {
            return fmaf(codes.steps[i], (float)row[i], codes.lows[i]);
        } else {
            const u32 at = i * codes.bits, shift = at % 8;
            u32 v = row[at / 8];
            if (shift + codes.bits > 8) v |= row[at / 8 + 1] << 8;
            return fmaf(codes.steps[i], (float)(v >> shift & ((1u << codes.bits) - 1)), codes.lows[i]);
        }
    }

    // As staged_row.
    __device__ __forceinline__ Four staged(const u8* row, u32 column, u32 d, bool aligned) const {
        if (aligned) {
            Four x = four(row, min(column, d - 4));
            if (column >= d) x = {};
            return x;
        }
        Four x = {};
        if (column < d) x.x = one(row, column);
        if (column + 1 < d) x.y = one(row, column + 1);
        if (column + 2 < d) x.z = one(row, column + 2);
        if (column + 3 < d) x.w = one(row, column + 3);
        return x;
    }
};

} // namespace faiss
