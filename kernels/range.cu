// All values of each row that are within a radius: counted, then written in order of their columns.
#include "common.cuh"

namespace faiss {

// NaN is not within.
__device__ __forceinline__ bool within(float value, float radius, u32 greater) {
    return greater ? value > radius : value < radius;
}

// One block a row. `row_columns`, where given, is the number of columns of each row; where `allowed` is given, a column counts only if
// its byte is not 0.
__device__ inline void range_count(const float* values, i64 stride, u32 columns, const u32* row_columns,
                                   const unsigned char* allowed, float radius, u32 greater, u32* counts) {
    __shared__ u32 total;
    if (threadIdx.x == 0) total = 0;
    __syncthreads();
    const float* row = values + blockIdx.x * stride;
    if (row_columns) columns = row_columns[blockIdx.x];
    u32 own = 0;
    for (u32 i = threadIdx.x; i < columns; i += blockDim.x)
        own += within(row[i], radius, greater) && (!allowed || allowed[i]);
    for (u32 step = 16; step > 0; step /= 2) own += __shfl_xor_sync(FULL_WARP, own, step);
    if (threadIdx.x % 32 == 0 && own > 0) atomicAdd(&total, own);
    __syncthreads();
    if (threadIdx.x == 0) counts[blockIdx.x] = total;
}

// Row r's are written from offsets[r] on: value, number of the row, and column plus `first`.
__device__ inline void range_fill(const float* values, i64 stride, u32 columns, const u32* row_columns,
                                  const unsigned char* allowed, float radius, u32 greater, const i64* offsets, i64 first,
                                  float* out_values, u32* out_rows, i64* out_positions) {
    __shared__ u32 warp_counts[32];
    const float* row = values + blockIdx.x * stride;
    if (row_columns) columns = row_columns[blockIdx.x];
    const u32 lane = threadIdx.x % 32, warp = threadIdx.x / 32, warps = blockDim.x / 32;
    i64 at = offsets[blockIdx.x];
    for (u32 base = 0; base < columns; base += blockDim.x) {
        const u32 i = base + threadIdx.x;
        const float value = i < columns ? row[i] : 0;
        const bool here = i < columns && within(value, radius, greater) && (!allowed || allowed[i]);
        const u32 mask = __ballot_sync(FULL_WARP, here);
        if (lane == 0) warp_counts[warp] = __popc(mask);
        __syncthreads();
        u32 before = __popc(mask & ((1u << lane) - 1)), all = 0;
        for (u32 w = 0; w < warps; ++w) {
            if (w < warp) before += warp_counts[w];
            all += warp_counts[w];
        }
        if (here) {
            out_values[at + before] = value;
            out_rows[at + before] = blockIdx.x;
            out_positions[at + before] = first + i;
        }
        at += all;
        __syncthreads();
    }
}

} // namespace faiss
