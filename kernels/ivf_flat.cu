// Distances of queries to the full vectors in the lists that they look into, each to its place in the query's row.
#include "lanes.cuh"
#include "metrics.cuh"

namespace faiss {

// One query and one list a block, or one of `splits` parts of it: bound by reading the list. A warp takes V vectors at a
// time, its lanes the dimensions.
template <Metric M>
__device__ void ivf_flat_scan(const float* queries, u32 d, const int* lists, const u32* places, u32 nprobe,
                              const float* vectors, const i64* starts, float* distances, i64 stride, u32 splits) {
    constexpr u32 V = 4;
    const i64 pair = blockIdx.x / splits, query = pair / nprobe;
    const u32 split = blockIdx.x % splits;
    const int list = lists[pair];
    if (list < 0) return;
    const u32* place = places + query * (nprobe + 1) + pair % nprobe;
    const u32 count = place[1] - place[0];
    const u32 lane = threadIdx.x % 32, warps = blockDim.x / 32;
    const float* x = queries + query * d;
    const float* first = vectors + starts[list] * d;
    float* out = distances + query * stride + place[0];
    const bool aligned = d % 4 == 0; // arenas and rows of queries begin at 16 bytes
    for (u32 v0 = (split * warps + threadIdx.x / 32) * V; v0 < count; v0 += splits * warps * V) {
        // Past the end the last vector is read again and its result dropped.
        const float* y[V];
#pragma unroll
        for (u32 j = 0; j < V; ++j) y[j] = first + (i64)min(v0 + j, count - 1) * d;
        float sums[V] = {}, unused = 0;
        if (aligned) {
#pragma unroll 1
            for (u32 at = lane * 4; at < d; at += 128) {
                const Four a = load_four(x + at);
                Four b[V];
#pragma unroll
                for (u32 j = 0; j < V; ++j) b[j] = load_four(y[j] + at);
#pragma unroll
                for (u32 j = 0; j < V; ++j) {
                    accumulate<M>(a.x, b[j].x, 0, sums[j], unused);
                    accumulate<M>(a.y, b[j].y, 0, sums[j], unused);
                    accumulate<M>(a.z, b[j].z, 0, sums[j], unused);
                    accumulate<M>(a.w, b[j].w, 0, sums[j], unused);
                }
            }
        } else {
#pragma unroll 1
            for (u32 at = lane; at < d; at += 32) {
                const float a = x[at];
#pragma unroll
                for (u32 j = 0; j < V; ++j) accumulate<M>(a, y[j][at], 0, sums[j], unused);
            }
        }
        const float sum = warp_sum_many(sums, lane);
        constexpr u32 share = 32 / V;
        if (lane % share == 0 && v0 + lane / share < count) out[v0 + lane / share] = sum;
    }
}

constexpr u32 LIST_Q = 32, LIST_V = 128, LIST_D = 16, LIST_THREADS = 128;

// Sixteen dimensions of 32 queries and of 128 vectors, on their way from memory to shared memory: a thread has four of one
// query and of four vectors. All loads are issued before the first is waited for; past the last row or dimension they repeat
// it, and only zeros of dimensions are needed.
struct Staged {
    Four query, vector[4];

    __device__ __forceinline__ static Four row(const float* x, u32 column, u32 d, bool aligned) {
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
    __device__ __forceinline__ static void put(float* target, u32 stride, const Four& four) {
        target[0] = four.x;
        target[stride] = four.y;
        target[2 * stride] = four.z;
        target[3 * stride] = four.w;
    }
};

// A tile of up to 32 queries that look into one list, and 128 of its vectors after the other; tiles of lists of many vectors
// are shared by `splits` blocks. A warp has the same 8 queries in all lanes, a lane 4 vectors.
template <Metric M>
__device__ void ivf_flat_tile(const float* queries, u32 d, const u32* order, const u32* groups, const u32* tile_lists,
                              const u32* tile_firsts, const u32* tile_count, const u32* places, u32 nprobe,
                              const float* vectors, const i64* starts, float* distances, i64 stride, u32 splits) {
    __shared__ __align__(16) float q[LIST_D][LIST_Q + 4];
    __shared__ float v[LIST_D][LIST_V + 1];
    __shared__ float* out_rows[LIST_Q];
    __shared__ u32 limits[LIST_Q];
    const u32 tile = blockIdx.x / splits, split = blockIdx.x % splits;
    if (tile >= *tile_count) return;
    const u32 list = tile_lists[tile], first = tile_firsts[tile];
    const u32 pairs = min(LIST_Q, groups[list + 1] - first);
    const u32 thread = threadIdx.x, warp = thread / 32, lane = thread % 32;
    // Past the last pair its query is read again, and nothing written.
    const u32 row = thread / 4, column = thread % 4 * 4;
    const u32 pair = order[first + min(row, pairs - 1)], query = pair / nprobe;
    const u32* place = places + (i64)query * (nprobe + 1) + pair % nprobe;
    if (column == 0) {
        limits[row] = row < pairs ? place[1] - place[0] : 0;
        out_rows[row] = distances + query * stride + place[0];
    }
    const float* query_row = queries + (i64)query * d;
    __syncthreads();
    u32 count = 0; // what any query wants of the list
    for (u32 i = 0; i < pairs; ++i) count = max(count, limits[i]);
    const float* list_vectors = vectors + starts[list] * d;
    const bool aligned = d % 4 == 0, working = warp * 8 < pairs;

    const auto load = [&](Staged& staged, u32 v0, u32 base) {
        staged.query = Staged::row(query_row, base + column, d, aligned);
#pragma unroll
        for (u32 j = 0; j < 4; ++j) {
            const float* x = list_vectors + (i64)min(v0 + row + 32 * j, count - 1) * d;
            staged.vector[j] = Staged::row(x, base + column, d, aligned);
        }
    };
    u32 v0 = split * LIST_V, base = 0;
    if (v0 >= count) return;
    Staged staged;
    load(staged, v0, base);
    float sums[8][4] = {}, unused = 0;
    while (true) {
        Staged::put(&q[column][row], LIST_Q + 4, staged.query);
#pragma unroll
        for (u32 j = 0; j < 4; ++j) Staged::put(&v[column][row + 32 * j], LIST_V + 1, staged.vector[j]);
        __syncthreads();
        // What comes next is on its way while this is worked on.
        u32 next_v0 = v0, next_base = base + LIST_D;
        if (next_base >= d) {
            next_base = 0;
            next_v0 += splits * LIST_V;
        }
        const bool more = next_v0 < count;
        if (more) load(staged, next_v0, next_base);
        if (working) {
#pragma unroll
            for (u32 i = 0; i < LIST_D; ++i) {
                const Four low = load_four(&q[i][warp * 8]), high = load_four(&q[i][warp * 8 + 4]);
                const float x[8] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
                float y[4];
#pragma unroll
                for (u32 j = 0; j < 4; ++j) y[j] = v[i][lane + 32 * j];
#pragma unroll
                for (u32 r = 0; r < 8; ++r)
#pragma unroll
                    for (u32 c = 0; c < 4; ++c) accumulate<M>(x[r], y[c], 0, sums[r][c], unused);
            }
            if (next_base == 0) {
#pragma unroll
                for (u32 r = 0; r < 8; ++r)
#pragma unroll
                    for (u32 c = 0; c < 4; ++c) {
                        const u32 at = v0 + lane + 32 * c;
                        if (at < limits[warp * 8 + r]) out_rows[warp * 8 + r][at] = sums[r][c];
                        sums[r][c] = 0;
                    }
            }
        }
        if (!more) break;
        __syncthreads();
        v0 = next_v0;
        base = next_base;
    }
}

} // namespace faiss
