// Work on the rows of a matrix: conversion, norms, gathering, residuals, transposition, filling.
#include "common.cuh"

namespace faiss {

template <typename S, typename D> __device__ void convert(const S* source, D* target, i64 count) {
#pragma unroll 1
    for (i64 i = grid_thread(); i < count; i += grid_threads()) target[i] = from_float<D>(to_float(source[i]));
}

// The upper half of a float is a bf16, so this needs no header and runs on every architecture.
__device__ inline void widen_bf16(const unsigned short* source, float* target, i64 count) {
#pragma unroll 1
    for (i64 i = grid_thread(); i < count; i += grid_threads()) target[i] = __uint_as_float((u32)source[i] << 16);
}

template <typename T> __device__ void fill(T* target, T value, i64 count) {
#pragma unroll 1
    for (i64 i = grid_thread(); i < count; i += grid_threads()) target[i] = value;
}

// One warp a row; sums in a fixed order, so that equal rows have equal norms wherever they stand.
template <typename T> __device__ void row_norms(const T* rows, float* norms, i64 count, u32 d) {
    const u32 lane = threadIdx.x % 32;
    const i64 warps = grid_threads() / 32;
    for (i64 row = grid_thread() / 32; row < count; row += warps) {
        const T* x = rows + row * d;
        float sum = 0;
#pragma unroll 4
        for (u32 i = lane; i < d; i += 32) {
            const float v = to_float(x[i]);
            sum = fmaf(v, v, sum);
        }
        sum = warp_sum(sum);
        if (lane == 0) norms[row] = sum;
    }
}

// Calls f(row, column, target index) for every element of a matrix, one warp a row.
template <typename F> __device__ __forceinline__ void for_each_element(i64 rows, u32 d, F f) {
#pragma unroll 1
    for (i64 row = grid_thread() / 32; row < rows; row += grid_threads() / 32)
#pragma unroll 1
        for (u32 i = threadIdx.x % 32; i < d; i += 32) f(row, i, row * d + i);
}

// What a missing vector is made of: NaN.
__device__ __forceinline__ float missing() { return __uint_as_float(0x7fc00000u); }

template <typename T>
__device__ void gather_rows(const T* rows, i64 rows_count, const i64* ids, float* target, i64 count, u32 d) {
    for_each_element(count, d, [&](i64 row, u32 i, i64 at) {
        const i64 id = ids[row];
        target[at] = id >= 0 && id < rows_count ? to_float(rows[id * d + i]) : missing();
    });
}

// residuals = vectors - rows[ids]
template <typename T>
__device__ void row_residuals(const T* rows, i64 rows_count, const i64* ids, const float* vectors, float* residuals,
                              i64 count, u32 d) {
    for_each_element(count, d, [&](i64 row, u32 i, i64 at) {
        const i64 id = ids[row];
        residuals[at] = id >= 0 && id < rows_count ? vectors[at] - to_float(rows[id * d + i]) : missing();
    });
}

// target (columns x rows) = source (rows x columns), by tiles of 32 x 32; a column more in shared memory keeps its banks
// apart.
template <typename T> __device__ void transpose(const T* source, T* target, i64 rows, i64 columns) {
    __shared__ T tile[32][33];
    const u32 x = threadIdx.x % 32, y = threadIdx.x / 32;
    const i64 tiles_x = (columns + 31) / 32, tiles = tiles_x * ((rows + 31) / 32);
    for (i64 t = blockIdx.x; t < tiles; t += gridDim.x) {
        const i64 row = t / tiles_x * 32, column = t % tiles_x * 32;
        for (u32 j = y; j < 32; j += 8)
            if (row + j < rows && column + x < columns) tile[j][x] = source[(row + j) * columns + column + x];
        __syncthreads();
        for (u32 j = y; j < 32; j += 8)
            if (column + j < columns && row + x < rows) target[(column + j) * rows + row + x] = tile[x][j];
        __syncthreads();
    }
}

} // namespace faiss
