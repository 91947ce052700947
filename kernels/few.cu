// The k best vectors of few queries by one read of the vectors: products of f16 by matrix units straight from the vectors as they
// are stored, of which nothing is written but which vectors may be among the k best; exact values of those decide.
//
// A query's limit comes first, from a sample of the vectors: the vectors of it are cut into groups, and an upper bound of the nearest of each
// group is known, so that the k-th least of these is no less than the k-th best value of all. Every vector whose lower bound is at
// most that is a candidate; so all of the k best are, and where no place was wanting, their exact values need no further proof.
//
// Bounds: X = scale * (x - center) is rounded to h with |X - h| <= u|X| + a, u being half a unit of f16 and a what numbers below its
// normal range lose; so is Y, with a scale of its own. |<X, Y> - <h, h'>| is then at most (E|X| + a)(|Y| + a / E) with E a little
// above 2u, which also covers what the matrix units round.
#include "keys.cuh"
#include "lanes.cuh"
#include "split.cuh"

namespace faiss {

#if __CUDA_ARCH__ >= 800

constexpr u32 FEW_WARPS = 16, FEW_GROUPS = 256, CHUNK_WIDTH = 32;
constexpr float UNIT_24 = 1.0f / 16777216.0f;
// Lengths up to which no number of a row is beyond f16.
constexpr float MOST_SQUARE = 65504.0f * 65504.0f;

__device__ __forceinline__ float infinite() { return __int_as_float(0x7f800000); }

// What bounds of products of vectors of d numbers count in.
__device__ __forceinline__ float few_error(u32 d) { return (1.0f / 1024.0f) * 1.002f + (19.0f * ((d + 31) / 16) + 60.0f) * UNIT_24; }
__device__ __forceinline__ float few_loss(u32 d) { return sqrtf((float)d) * (1.02f / 33554432.0f); }

// A thread's numbers of one row's chunk: of each of its two products of 16 the places 4 * (lane % 4) and the three behind it. A
// query's numbers lie where they meet these: number i of 32 at few_place<T>(i).
template <typename T> struct RowPart;

template <> struct RowPart<float> {
    float4 half[2];

    __device__ __forceinline__ void load(const float* row, u32 first, u32 d, bool aligned) {
#pragma unroll
        for (u32 j = 0; j < 2; ++j) {
            const u32 at = first + 16 * j + threadIdx.x % 4 * 4;
            if (aligned) {
                half[j] = at < d ? *reinterpret_cast<const float4*>(row + at) : make_float4(0, 0, 0, 0);
            } else {
                half[j].x = at < d ? row[at] : 0;
                half[j].y = at + 1 < d ? row[at + 1] : 0;
                half[j].z = at + 2 < d ? row[at + 2] : 0;
                half[j].w = at + 3 < d ? row[at + 3] : 0;
            }
        }
    }
    __device__ __forceinline__ float4 numbers(u32 j) const { return half[j]; }
    static __device__ __forceinline__ u32 column(u32 j) { return 16 * j + threadIdx.x % 4 * 4; }
};

template <> struct RowPart<__half> {
    uint4 bits;

    __device__ __forceinline__ void load(const __half* row, u32 first, u32 d, bool aligned) {
        const u32 at = first + threadIdx.x % 4 * 8;
        if (aligned) {
            bits = at < d ? *reinterpret_cast<const uint4*>(row + at) : make_uint4(0, 0, 0, 0);
        } else {
            u32 pairs[4];
#pragma unroll
            for (u32 i = 0; i < 4; ++i) {
                const unsigned short* from = reinterpret_cast<const unsigned short*>(row);
                const u32 k = at + 2 * i;
                pairs[i] = (k < d ? from[k] : 0u) | (k + 1 < d ? (u32)from[k + 1] << 16 : 0u);
            }
            bits = make_uint4(pairs[0], pairs[1], pairs[2], pairs[3]);
        }
    }
    __device__ __forceinline__ float4 numbers(u32 j) const {
        const u32 low = j ? bits.z : bits.x, high = j ? bits.w : bits.y;
        const float2 a = __half22float2(*reinterpret_cast<const __half2*>(&low));
        const float2 b = __half22float2(*reinterpret_cast<const __half2*>(&high));
        return make_float4(a.x, a.y, b.x, b.y);
    }
    static __device__ __forceinline__ u32 column(u32 j) { return threadIdx.x % 4 * 8 + 4 * j; }
};

// Numbers 4 * l + i of product j of 16 are multiplied at place 2 * l + i % 2 + i / 2 * 8 of it.
__device__ __forceinline__ u32 few_place(u32 j, u32 l, u32 i) { return 16 * j + 2 * l + i % 2 + i / 2 * 8; }
__device__ __forceinline__ u32 few_place(const float*, u32 k) { return few_place(k / 16, k % 16 / 4, k % 4); }
__device__ __forceinline__ u32 few_place(const __half*, u32 k) { return few_place(k % 8 / 4, k / 8, k % 4); }

__device__ __forceinline__ u32 half_pair(float low, float high) {
    const __half2 pair = __floats2half2_rn(low, high);
    return *reinterpret_cast<const u32*>(&pair);
}

// The queries of a pass as products want them: 8 * tiles rows of halves, and what each counts in.
struct FewQueries {
    __half* rows;
    float* center; // times the vectors' scale
    float2* limits;
    float2* ratios; // what takes vectors' squares to the scale of their products with the query; 0 for inner products
    float2* errors;
};

// The power of two by which the vectors' numbers are mostly near 64.
__device__ __forceinline__ float few_scale(const float* spreads, u32 d) {
    float sum = 0;
    for (u32 i = threadIdx.x % 32; i < d; i += 32) sum += spreads[i];
    sum = warp_sum(sum) / d;
    return sum > 0 && sum <= LARGEST ? scale_for(256.0f * sqrtf(sum)) : 1.0f;
}

template <typename T>
__device__ __forceinline__ void few_queries(const FewSearch& of, const T* queries, u32 first, u32 here, u32 tiles, u32 width,
                                            float scale, const float* limits, const FewQueries& out) {
    const u32 lane = threadIdx.x % 32, d = of.d, pitch = width + 8;
    for (u32 i = threadIdx.x; i < width; i += blockDim.x) out.center[i] = i < d ? of.center[i] * scale : 0.0f;
    for (u32 q = threadIdx.x / 32; q < 8 * tiles; q += FEW_WARPS) {
        const T* x = queries + (i64)(first + q) * d;
        const float* center = of.inner ? nullptr : of.center;
        float most = 0, ratio = 0, error = 0, limit = -infinite();
        if (q < here)
            for (u32 i = lane; i < d; i += 32) {
                const float value = fabsf(to_float(x[i]) - (center ? center[i] : 0.0f));
                most = isnan(value) ? infinite() : fmaxf(most, value);
            }
#pragma unroll
        for (u32 lanes = 16; lanes > 0; lanes /= 2) most = fmaxf(most, __shfl_xor_sync(FULL_WARP, most, lanes));
        const float own = fminf(fmaxf(scale_for(most), scale * (1.0f / 1099511627776.0f)), scale * 1099511627776.0f);
        const bool fits = q < here && most * own <= 65504.0f;
        float square = 0;
        for (u32 i = lane; i < width; i += 32) {
            const float value = fits && i < d ? (to_float(x[i]) - (center ? center[i] : 0.0f)) * own : 0.0f;
            out.rows[q * pitch + i / CHUNK_WIDTH * CHUNK_WIDTH + few_place(queries, i % CHUNK_WIDTH)] = __float2half_rn(value);
            square = fmaf(value, value, square);
        }
        square = warp_sum(square);
        if (fits) {
            ratio = of.inner ? 0.0f : own / scale;
            error = few_error(d) * sqrtf(square) * 1.0001f + few_loss(d);
            limit = limits ? limits[first + q] : infinite();
        }
        if (lane == 0) {
            float* at = reinterpret_cast<float*>(out.limits);
            at[q] = limit;
            at[q + 8 * tiles] = ratio;
            at[q + 16 * tiles] = error;
        }
    }
}

// Without limits: minima[query * minima_stride + tile] is an upper bound of the best value of each tile of a warp, infinite where nothing is known.
// With them: appends the vectors whose lower bounds are at most a query's limit to its `capacity` places, and counts on beyond those.
// A warp has 16 * M vectors at a time and all queries of its pass, up to 8 * N; pass p is that of the blocks p, p + passes and so on.
// Vector i is row i * step. Shared memory: see FewQueries. What is unknown of a vector (numbers beyond f16) makes it a candidate of all.
template <typename T, u32 N>
__device__ void few_filter(const FewSearch& of, const T* queries, const T* vectors, u32 count, u32 step, u32 aligned, u32 passes,
                           u32 tiles, const float* limits, float* minima, u32 capacity, u32* counts, u32* found) {
    extern __shared__ __align__(16) unsigned char few_memory[];
    constexpr u32 M = N == 4 ? 2 : 1, ROWS = 16 * M;
    const u32 lane = threadIdx.x % 32, quad = lane % 4, group = lane / 4, d = of.d;
    const u32 width = (d + CHUNK_WIDTH - 1) / CHUNK_WIDTH * CHUNK_WIDTH, pitch = width + 8, chunks = width / CHUNK_WIDTH;
    const u32 first = blockIdx.x % passes * 8 * tiles, here = min(8 * tiles, of.query_count - first);
    FewQueries shared;
    shared.rows = reinterpret_cast<__half*>(few_memory);
    shared.center = reinterpret_cast<float*>(shared.rows + 8 * tiles * pitch);
    shared.limits = reinterpret_cast<float2*>(shared.center + width);
    shared.ratios = shared.limits + 4 * tiles;
    shared.errors = shared.ratios + 4 * tiles;
    const float scale = few_scale(of.spreads, d);
    few_queries(of, queries, first, here, tiles, width, scale, limits, shared);
    __syncthreads();

    const u32 warps = gridDim.x / passes * FEW_WARPS, row_tiles = (count + ROWS - 1) / ROWS;
    u32 tile = blockIdx.x / passes * FEW_WARPS + threadIdx.x / 32;
    if (tile >= row_tiles) return;
    const float slack = (d / 4 + 24) * UNIT_24, further = few_loss(d) / few_error(d);
    const u32 b_address = (u32)__cvta_generic_to_shared(shared.rows) + (lane % 8 * pitch + lane / 8 * 8) * 2;
    const T* rows[M][2];
    RowPart<T> next[M][2];
    const auto begin = [&](u32 tile) {
#pragma unroll
        for (u32 m = 0; m < M; ++m)
#pragma unroll
            for (u32 h = 0; h < 2; ++h)
                rows[m][h] = vectors + (i64)min(tile * ROWS + m * 16 + h * 8 + group, count - 1) * step * d;
    };
    const auto load = [&](u32 chunk) {
#pragma unroll
        for (u32 m = 0; m < M; ++m)
#pragma unroll
            for (u32 h = 0; h < 2; ++h) next[m][h].load(rows[m][h], chunk * CHUNK_WIDTH, d, aligned);
    };
    const auto give = [&](u32 query, u32 vector) {
        const u32 place = atomicAdd(&counts[first + query], 1u);
        if (place < capacity) found[(i64)(first + query) * capacity + place] = vector;
    };
    begin(tile);
    load(0);
    while (tile < row_tiles) {
        float sums[M][N][4] = {}, squares[M][2] = {};
        const u32 v0 = tile * ROWS + group;
        tile += warps;
#pragma unroll 1
        for (u32 chunk = 0; chunk < chunks; ++chunk) {
            u32 a[M][2][4];
#pragma unroll
            for (u32 j = 0; j < 2; ++j) {
                const float4 c = *reinterpret_cast<const float4*>(shared.center + chunk * CHUNK_WIDTH + RowPart<T>::column(j));
#pragma unroll
                for (u32 m = 0; m < M; ++m)
#pragma unroll
                    for (u32 h = 0; h < 2; ++h) {
                        float4 y = next[m][h].numbers(j);
                        y = make_float4(fmaf(y.x, scale, -c.x), fmaf(y.y, scale, -c.y), fmaf(y.z, scale, -c.z), fmaf(y.w, scale, -c.w));
                        float& square = squares[m][h];
                        square = fmaf(y.x, y.x, fmaf(y.y, y.y, fmaf(y.z, y.z, fmaf(y.w, y.w, square))));
                        a[m][j][h] = half_pair(y.x, y.y);
                        a[m][j][2 + h] = half_pair(y.z, y.w);
                    }
            }
            // What comes next is on its way while this is worked on.
            if (chunk + 1 < chunks) {
                load(chunk + 1);
            } else if (tile < row_tiles) {
                begin(tile);
                load(0);
            }
#pragma unroll
            for (u32 n = 0; n < N; ++n) {
                if (n >= tiles) break;
                u32 b[4];
                load_matrices(b, b_address + (n * 8 * pitch + chunk * CHUNK_WIDTH) * 2);
#pragma unroll
                for (u32 m = 0; m < M; ++m) {
                    multiply(sums[m][n], a[m][0], b[0], b[1]);
                    multiply(sums[m][n], a[m][1], b[2], b[3]);
                }
            }
        }
        // Half of the squared norm and the length of each row; no number where the row is none, or not one of which the bounds tell.
        float norm[M][2], length[M][2];
        bool beyond = false;
#pragma unroll
        for (u32 m = 0; m < M; ++m)
#pragma unroll
            for (u32 h = 0; h < 2; ++h) {
                float square = squares[m][h];
                square += __shfl_xor_sync(FULL_WARP, square, 1);
                square += __shfl_xor_sync(FULL_WARP, square, 2);
                const u32 v = v0 + m * 16 + h * 8;
                const bool is = v < count && (!of.allowed || of.allowed[(i64)v * step]) && !isnan(square);
                beyond |= is && square > MOST_SQUARE;
                norm[m][h] = is && square <= MOST_SQUARE ? 0.5f * square : __int_as_float(0x7fc00000);
                length[m][h] = sqrtf(square) * (1 + slack) + further;
                squares[m][h] = is ? square : 0;
            }
        if (!limits) {
#pragma unroll
            for (u32 n = 0; n < N; ++n) {
                if (n >= tiles) break;
                const float2 ratio = shared.ratios[n * 4 + quad], error = shared.errors[n * 4 + quad];
#pragma unroll
                for (u32 l = 0; l < 2; ++l) {
                    float least = infinite();
#pragma unroll
                    for (u32 m = 0; m < M; ++m)
#pragma unroll
                        for (u32 h = 0; h < 2; ++h) {
                            const float value = fmaf(norm[m][h] * (1 + slack), l ? ratio.y : ratio.x, -sums[m][n][2 * h + l]);
                            least = fminf(least, fmaf(l ? error.y : error.x, length[m][h], value));
                        }
#pragma unroll
                    for (u32 lanes = 4; lanes < 32; lanes *= 2) least = fminf(least, __shfl_xor_sync(FULL_WARP, least, lanes));
                    const u32 q = n * 8 + quad * 2 + l;
                    // A query that does not fit has no error.
                    if (group == 0 && q < here)
                        minima[(i64)(first + q) * row_tiles + v0 / ROWS] = (l ? error.y : error.x) > 0 ? least : infinite();
                }
            }
            continue;
        }
#pragma unroll
        for (u32 m = 0; m < M; ++m)
#pragma unroll
            for (u32 h = 0; h < 2; ++h) norm[m][h] *= 1 - slack;
#pragma unroll
        for (u32 n = 0; n < N; ++n) {
            if (n >= tiles) break;
            const float2 limit = shared.limits[n * 4 + quad], ratio = shared.ratios[n * 4 + quad], error = shared.errors[n * 4 + quad];
            u32 hits = 0;
#pragma unroll
            for (u32 m = 0; m < M; ++m)
#pragma unroll
                for (u32 l = 0; l < 4; ++l) {
                    const float value = fmaf(norm[m][l / 2], l % 2 ? ratio.y : ratio.x, -sums[m][n][l]);
                    const float least = fmaf(-(l % 2 ? error.y : error.x), length[m][l / 2], value);
                    hits |= (u32)(least <= (l % 2 ? limit.y : limit.x)) << (4 * m + l);
                }
            while (hits) {
                const u32 hit = __ffs(hits) - 1;
                hits &= hits - 1;
                give(n * 8 + quad * 2 + hit % 2, v0 + hit / 4 * 16 + hit / 2 % 2 * 8);
            }
        }
        if (__any_sync(FULL_WARP, beyond)) {
#pragma unroll 1
            for (u32 part = 0; part < 2 * M; ++part) {
                float square = squares[0][0];
#pragma unroll
                for (u32 other = 1; other < 2 * M; ++other) square = part == other ? squares[other / 2][other % 2] : square;
                if (!(square > MOST_SQUARE)) continue;
                const u32 v = v0 + part / 2 * 16 + part % 2 * 8;
                // Infinite numbers make L2 distances infinite, and inner products maybe the best.
                bool far = false;
                if (!of.inner)
                    for (u32 i = 0; i < d; ++i) far |= isinf(to_float(vectors[(i64)v * step * d + i]));
                if (far) continue;
                for (u32 q = quad; q < here; q += 4)
                    if (reinterpret_cast<const float*>(shared.limits)[q] > -infinite()) give(q, v);
            }
        }
    }
}

// Each query's limit from the upper bounds of its tiles, `stride` of them: the k-th least of those of 256 groups of tiles. Its
// count begins as 0, or beyond `capacity` where the sample gives no limit. Blocks: queries.
__device__ inline void few_limits(const float* minima, u32 stride, u32 k, u32 capacity, float* limits, u32* counts) {
    __shared__ u64 keys[FEW_GROUPS];
    const float* mine = minima + (i64)blockIdx.x * stride;
    float least = infinite();
#pragma unroll 4
    for (u32 i = threadIdx.x; i < stride; i += FEW_GROUPS) least = fminf(least, mine[i]);
    keys[threadIdx.x] = make_key(least, threadIdx.x, false);
    __syncthreads();
    sort_keys(keys, FEW_GROUPS);
    if (threadIdx.x > 0) return;
    const u64 last = keys[k - 1];
    limits[blockIdx.x] = last == NO_KEY ? -infinite() : key_value(last, false);
    counts[blockIdx.x] = last == NO_KEY ? capacity + 1 : 0;
}

// Keys of the exact values of all candidates: one warp each.
template <typename T>
__device__ void few_keys(const FewSearch& of, const T* queries, const T* vectors, u32 capacity, const u32* counts, const u32* found,
                         u64* keys) {
    const u32 lane = threadIdx.x % 32;
    const i64 all = (i64)of.query_count * capacity;
    for (i64 i = grid_thread() / 32; i < all; i += grid_threads() / 32) {
        // Queries by turns, so that all warps have some of what there is.
        const u32 row = (u32)(i % of.query_count), place = (u32)(i / of.query_count);
        const u32 count = counts[row];
        if (count > capacity || place >= count) continue;
        const i64 at = (i64)row * capacity + place;
        const u32 v = found[at];
        const float value = warp_value(queries + (i64)row * of.d, vectors + (i64)v * of.d, of.d, of.inner, lane);
        if (lane == 0) keys[at] = make_key(value, v, of.inner);
    }
}

// The best of each query's candidates, in order. Where there were more than places, its first id is -2. Shared memory: 8 bytes * the power of two from
// `capacity` up. Blocks: queries.
__device__ inline void few_best(const u64* keys, u32 capacity, const u32* counts, u32 k, u32 descending, i64 first_id,
                                float* out_values, i64* out_ids) {
    extern __shared__ u64 few_sorted[];
    const u32 count = counts[blockIdx.x];
    if (count > capacity) {
        if (threadIdx.x == 0) out_ids[(i64)blockIdx.x * k] = -2;
        return;
    }
    u32 size = 32;
    while (size < count) size *= 2;
    for (u32 i = threadIdx.x; i < size; i += blockDim.x) few_sorted[i] = i < count ? keys[(i64)blockIdx.x * capacity + i] : NO_KEY;
    __syncthreads();
    sort_keys(few_sorted, size);
    for (u32 i = threadIdx.x; i < k; i += blockDim.x) {
        const u64 key = i < size ? few_sorted[i] : NO_KEY;
        const i64 at = (i64)blockIdx.x * k + i;
        out_ids[at] = key == NO_KEY ? -1 : first_id + (u32)key;
        out_values[at] = key == NO_KEY ? (descending ? -WORST : WORST) : key_value(key, descending);
    }
}

#endif

} // namespace faiss
