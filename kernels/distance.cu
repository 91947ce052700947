// Distances between the rows of two matrices, written to a matrix: queries x vectors.
#include "lanes.cuh"
#include "metrics.cuh"

namespace faiss {

constexpr u32 TILE_Q = 32, TILE_V = 128, TILE_D = 16;

// Any metric. A block does 32 queries x 128 vectors, a thread 4 x 4 of them, through tiles of 16 dimensions in shared
// memory. A warp has the same queries in all lanes, so that it reads them by broadcast and writes whole lines.
template <Metric M>
__device__ void pairwise(const float* queries, const float* vectors, float* distances, u32 query_count, u32 vector_count, u32 d,
                         i64 stride, float arg) {
    __shared__ float q[TILE_D][TILE_Q + 4], v[TILE_D][TILE_V + 1];
    const u32 groups = (query_count + TILE_Q - 1) / TILE_Q;
    const u32 q0 = blockIdx.x % groups * TILE_Q, v0 = blockIdx.x / groups * TILE_V;
    const u32 warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const u32 load_row = threadIdx.x / TILE_D, load_column = threadIdx.x % TILE_D;
    float a[4][4] = {}, b[4][4] = {};
    for (u32 base = 0; base < d; base += TILE_D) {
        const u32 left = min(TILE_D, d - base);
        const bool inside = load_column < left;
        for (u32 row = load_row; row < TILE_Q; row += 16)
            q[load_column][row] =
                inside && q0 + row < query_count ? queries[(i64)(q0 + row) * d + base + load_column] : 0.0f;
        for (u32 row = load_row; row < TILE_V; row += 16)
            v[load_column][row] =
                inside && v0 + row < vector_count ? vectors[(i64)(v0 + row) * d + base + load_column] : 0.0f;
        __syncthreads();
#pragma unroll 1
        for (u32 i = 0; i < left; ++i) {
            float x[4], y[4];
#pragma unroll
            for (u32 j = 0; j < 4; ++j) {
                x[j] = q[i][warp * 4 + j];
                y[j] = v[i][lane + 32 * j];
            }
#pragma unroll
            for (u32 r = 0; r < 4; ++r)
#pragma unroll
                for (u32 c = 0; c < 4; ++c) accumulate<M>(x[r], y[c], arg, a[r][c], b[r][c]);
        }
        __syncthreads();
    }
#pragma unroll
    for (u32 r = 0; r < 4; ++r)
#pragma unroll
        for (u32 c = 0; c < 4; ++c) {
            const u32 row = q0 + warp * 4 + r, column = v0 + lane + 32 * c;
            if (row < query_count && column < vector_count)
                distances[row * stride + column] = finish<M>(a[r][c], b[r][c], d);
        }
}

// L2 and inner product for few queries: bound by one read of the vectors. A warp takes V vectors and Q queries at a
// time, its lanes the dimensions. Blocks that differ only in their queries follow each other, so that the vectors come
// from the cache for all but the first. `aligned`: both matrices allow loads of four elements.
template <typename T, Metric M, u32 Q>
__device__ void scan(const T* queries, const T* vectors, float* distances, u32 query_count, u32 vector_count, u32 d,
                     i64 stride, u32 aligned) {
    constexpr u32 V = Q == 1 ? 8 : 4;
    const u32 groups = (query_count + Q - 1) / Q;
    const u32 lane = threadIdx.x % 32;
    const u32 q0 = blockIdx.x % groups * Q;
    const u32 v0 = (blockIdx.x / groups * (blockDim.x / 32) + threadIdx.x / 32) * V;
    if (v0 >= vector_count) return;
    // Past the end the last row is read again and its result dropped.
    const T* x[Q];
    const T* y[V];
#pragma unroll
    for (u32 i = 0; i < Q; ++i) x[i] = queries + (i64)min(q0 + i, query_count - 1) * d;
#pragma unroll
    for (u32 j = 0; j < V; ++j) y[j] = vectors + (i64)min(v0 + j, vector_count - 1) * d;
    float sums[Q * V] = {}, unused = 0;
    if (aligned) {
#pragma unroll 1
        for (u32 at = lane * 4; at < d; at += 128) {
            Four b[V];
#pragma unroll
            for (u32 j = 0; j < V; ++j) b[j] = load_four(y[j] + at);
#pragma unroll
            for (u32 i = 0; i < Q; ++i) {
                const Four a = load_four(x[i] + at);
#pragma unroll
                for (u32 j = 0; j < V; ++j) {
                    float& sum = sums[i * V + j];
                    accumulate<M>(a.x, b[j].x, 0, sum, unused);
                    accumulate<M>(a.y, b[j].y, 0, sum, unused);
                    accumulate<M>(a.z, b[j].z, 0, sum, unused);
                    accumulate<M>(a.w, b[j].w, 0, sum, unused);
                }
            }
        }
    } else {
#pragma unroll 1
        for (u32 at = lane; at < d; at += 32) {
            float b[V];
#pragma unroll
            for (u32 j = 0; j < V; ++j) b[j] = to_float(y[j][at]);
#pragma unroll
            for (u32 i = 0; i < Q; ++i) {
                const float a = to_float(x[i][at]);
#pragma unroll
                for (u32 j = 0; j < V; ++j) accumulate<M>(a, b[j], 0, sums[i * V + j], unused);
            }
        }
    }
    const float sum = warp_sum_many(sums, lane);
    constexpr u32 share = 32 / (Q * V);
    const u32 query = q0 + lane / share / V, vector = v0 + lane / share % V;
    if (lane % share == 0 && query < query_count && vector < vector_count) distances[query * stride + vector] = sum;
}

} // namespace faiss
