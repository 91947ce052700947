// Work on the rows of a matrix: conversion, norms, gathering, residuals, transposition, filling.
#include "common.cuh"

namespace faiss {

template <typename S, typename D> __device__ void convert(const S* source, D* target, i64 count) {
    for (i64 i = grid_thread(); i < count; i += grid_threads()) target[i] = from_float<D>(to_float(source[i]));
}

// The upper half of a float is a bf16, so this needs no header and runs on every architecture.
__device__ inline void widen_bf16(const unsigned short* source, float* target, i64 count) {
    for (i64 i = grid_thread(); i < count; i += grid_threads()) target[i] = __uint_as_float((u32)source[i] << 16);
}

template <typename T> __device__ void fill(T* target, T value, i64 count) {
    for (i64 i = grid_thread(); i < count; i += grid_threads()) target[i] = value;
}

// One warp a row; sums in a fixed order, so that equal rows have equal norms wherever they stand.
template <typename T> __device__ void row_norms(const T* rows, float* norms, i64 count, u32 d) {
    const u32 lane = threadIdx.x % 32;
    const i64 warps = grid_threads() / 32;
    for (i64 row = grid_thread() / 32; row < count; row += warps) {
        const T* x = rows + row * d;
        float sum = 0;
        for (u32 i = lane; i < d; i += 32) {
            const float v = to_float(x[i]);
            sum = fmaf(v, v, sum);
        }
        sum = warp_sum(sum);
        if (lane == 0) norms[row] = sum;
    }
}

// A row whose id is not in 0..rows_count becomes NaN, as reconstruction of a missing vector does.
template <typename T>
__device__ void gather_rows(const T* rows, i64 rows_count, const i64* ids, float* target, i64 count, u32 d) {
    for (i64 i = grid_thread(); i < count * d; i += grid_threads()) {
        const i64 id = ids[i / d];
        const bool found = id >= 0 && id < rows_count;
        target[i] = found ? to_float(rows[id * d + i % d]) : __uint_as_float(0x7fc00000u);
    }
}

// residuals = vectors - rows[ids]
template <typename T>
__device__ void row_residuals(const T* rows, i64 rows_count, const i64* ids, const float* vectors, float* residuals,
                              i64 count, u32 d) {
    for (i64 i = grid_thread(); i < count * d; i += grid_threads()) {
        const i64 id = ids[i / d];
        const bool found = id >= 0 && id < rows_count;
        residuals[i] = found ? vectors[i] - to_float(rows[id * d + i % d]) : __uint_as_float(0x7fc00000u);
    }
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
