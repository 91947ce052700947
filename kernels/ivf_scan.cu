// Distances of queries to the vectors in the lists that they look into, each to its place in the query's row. A list has the vectors
// themselves or codes of them (codes.cuh); where codes are of residuals, the list's centroid goes with them: to the query's side,
// subtracted, for L2, and to the vector's for inner products.
#include "codes.cuh"
#include "keys.cuh"
#include "metrics.cuh"

namespace faiss {

// One query and one list a block, or one of `splits` parts of it: bound by reading the list. A warp takes V vectors at a
// time, its lanes the dimensions.
template <Metric M, u32 CODE>
__device__ void ivf_scan(const float* queries, u32 d, const Probes& probes, const Codes& codes, float* distances, i64 stride,
                         u32 splits) {
    constexpr u32 V = 4;
    constexpr bool L2 = M == Metric::L2;
    const i64 pair = blockIdx.x / splits, query = pair / probes.nprobe;
    const u32 split = blockIdx.x % splits;
    const int list = probes.lists[pair];
    if (list < 0) return;
    const u32* place = probes.places + query * (probes.nprobe + 1) + pair % probes.nprobe;
    const u32 count = place[1] - place[0];
    const u32 lane = threadIdx.x % 32, warps = blockDim.x / 32;
    const Decoder<CODE> decoder(codes);
    const float* x = queries + query * d;
    const float* center = CODE != 32 && codes.residual ? codes.centroids + (i64)list * d : nullptr;
    const i64 first = codes.starts[list];
    float* out = distances + query * stride + place[0];
    const bool aligned = d % 4 == 0; // arenas and rows of queries begin at 16 bytes
    for (u32 v0 = (split * warps + threadIdx.x / 32) * V; v0 < count; v0 += splits * warps * V) {
        // Past the end the last vector is read again and its result dropped.
        const u8* y[V];
#pragma unroll
        for (u32 j = 0; j < V; ++j) y[j] = decoder.row(first + min(v0 + j, count - 1));
        float sums[V] = {}, unused = 0;
        if (aligned) {
#pragma unroll 1
            for (u32 at = lane * 4; at < d; at += 128) {
                Four a = load_four(x + at), c = {};
                if (center) c = load_four(center + at);
                if (L2) a = minus(a, c);
                Four b[V];
#pragma unroll
                for (u32 j = 0; j < V; ++j) {
                    b[j] = decoder.four(y[j], at);
                    if (!L2 && center) b[j] = plus(b[j], c);
                }
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
                const float c = center ? center[at] : 0, a = L2 ? x[at] - c : x[at];
#pragma unroll
                for (u32 j = 0; j < V; ++j)
                    accumulate<M>(a, L2 ? decoder.one(y[j], at) : decoder.one(y[j], at) + c, 0, sums[j], unused);
            }
        }
        const float sum = warp_sum_many(sums, lane);
        constexpr u32 share = 32 / V;
        if (lane % share == 0 && v0 + lane / share < count) out[v0 + lane / share] = sum;
    }
}

constexpr u32 LIST_Q = 32, LIST_V = 128, LIST_D = 16, LIST_THREADS = 128;

// Sixteen dimensions of 32 queries and of 128 vectors, on their way from memory to shared memory: a thread has four of one
// query and of four vectors. All loads are issued before the first is waited for.
struct Staged {
    Four query, vector[4];

    __device__ __forceinline__ static void put(float* target, u32 stride, const Four& four) {
        target[0] = four.x;
        target[stride] = four.y;
        target[2 * stride] = four.z;
        target[3 * stride] = four.w;
    }
};

// A tile of up to 32 queries that look into one list, and 128 of its vectors after the other; tiles of lists of many vectors
// are shared by `splits` blocks. A warp has the same 8 queries in all lanes, a lane 4 vectors.
template <Metric M, u32 CODE>
__device__ void ivf_tile(const float* queries, u32 d, const Tiles& tiles, const Probes& probes, const Codes& codes,
                         float* distances, i64 stride, u32 splits) {
    constexpr bool L2 = M == Metric::L2;
    __shared__ __align__(16) float q[LIST_D][LIST_Q + 4];
    __shared__ float v[LIST_D][LIST_V + 1];
    __shared__ float* out_rows[LIST_Q];
    __shared__ u32 limits[LIST_Q];
    const u32 tile = blockIdx.x / splits, split = blockIdx.x % splits;
    if (tile >= *tiles.count) return;
    const u32 list = tiles.lists[tile], first = tiles.firsts[tile];
    const u32 pairs = min(LIST_Q, tiles.groups[list + 1] - first);
    const u32 thread = threadIdx.x, warp = thread / 32, lane = thread % 32;
    // Past the last pair its query is read again, and nothing written.
    const u32 row = thread / 4, column = thread % 4 * 4;
    const u32 pair = tiles.order[first + min(row, pairs - 1)], query = pair / probes.nprobe;
    const u32* place = probes.places + (i64)query * (probes.nprobe + 1) + pair % probes.nprobe;
    if (column == 0) {
        limits[row] = row < pairs ? place[1] - place[0] : 0;
        out_rows[row] = distances + query * stride + place[0];
    }
    const float* query_row = queries + (i64)query * d;
    __syncthreads();
    u32 count = 0; // what any query wants of the list
    for (u32 i = 0; i < pairs; ++i) count = max(count, limits[i]);
    const Decoder<CODE> decoder(codes);
    const i64 list_first = codes.starts[list];
    const float* center = CODE != 32 && codes.residual ? codes.centroids + (i64)list * d : nullptr;
    const bool aligned = d % 4 == 0, working = warp * 8 < pairs;

    const auto load = [&](Staged& staged, u32 v0, u32 base) {
        staged.query = staged_row(query_row, base + column, d, aligned);
        Four c = {};
        if (center) c = staged_row(center, base + column, d, aligned);
        if (L2 && center) staged.query = minus(staged.query, c);
#pragma unroll
        for (u32 j = 0; j < 4; ++j) {
            const u8* x = decoder.row(list_first + min(v0 + row + 32 * j, count - 1));
            staged.vector[j] = decoder.staged(x, base + column, d, aligned);
            if (!L2 && center) staged.vector[j] = plus(staged.vector[j], c);
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

// Keys of the squared distances, by differences, of each query to its k candidates, given by their places in the query's row:
// where norms and products decided who the candidates are, this tells their distances without cancellation. One warp a
// candidate; NO_KEY from k to `size`.
template <u32 CODE>
__device__ void ivf_keys(const float* queries, u32 d, u32 query_count, u32 k, u32 size, const i64* positions,
                         const Probes& probes, const Codes& codes, u64* keys) {
    const u32 lane = threadIdx.x % 32, nprobe = probes.nprobe;
    const Decoder<CODE> decoder(codes);
    for (i64 at = grid_thread() / 32; at < (i64)query_count * size; at += grid_threads() / 32) {
        const i64 query = at / size;
        const u32 number = at % size;
        const i64 position = number < k ? positions[query * k + number] : -1;
        u64 key = NO_KEY;
        if (position >= 0) {
            const u32* row = probes.places + query * (nprobe + 1);
            u32 low = 0, high = nprobe;
            while (high - low > 1) {
                const u32 middle = low + (high - low) / 2;
                if (row[middle] <= position) low = middle;
                else high = middle;
            }
            const int list = probes.lists[query * nprobe + low];
            const float* x = queries + query * d;
            const float* center = CODE != 32 && codes.residual ? codes.centroids + (i64)list * d : nullptr;
            const u8* y = decoder.row(codes.starts[list] + position - row[low]);
            float sum = 0;
#pragma unroll 4
            for (u32 i = lane; i < d; i += 32) {
                const float a = center ? x[i] - center[i] : x[i];
                const float difference = a - decoder.one(y, i);
                sum = fmaf(difference, difference, sum);
            }
            key = make_key(warp_sum(sum), (u32)position, false);
        }
        if (lane == 0) keys[at] = key;
    }
}

// The same for 64 queries by matrix units, which make three products of the halves of each number in tf32: together 22 bits, so that sums
// are about as exact as those of f32. Distances come from norms and products, both of differences to the list's centroid,
// which keeps them small; who is near is then decided by differences. Inner products are taken as they are.
#if __CUDA_ARCH__ >= 800

// Rows of 20 numbers: what a warp reads for a matrix unit, four numbers of eight rows, is in 32 banks. Rows of distances of 132
// numbers, so that pairs of eight rows are.
constexpr u32 PRODUCT_Q = 64, PRODUCT_ROW = LIST_D + 4, PRODUCT_OUT = LIST_V + 4;

struct Halves {
    u32 high, low;
};

// The unit reads the upper 19 bits. Cutting is exact and full speed, where a conversion is not: what is cut off is the rest.
__device__ __forceinline__ Halves split(float x) {
    const u32 high = __float_as_uint(x) & 0xffffe000u;
    return {high, __float_as_uint(x - __uint_as_float(high))};
}

__device__ __forceinline__ void multiply_tf32(float (&c)[4], const u32 (&a)[4], u32 b0, u32 b1) {
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

__device__ __forceinline__ float dot(const Four& x, const Four& y) {
    return fmaf(x.x, y.x, fmaf(x.y, y.y, fmaf(x.z, y.z, x.w * y.w)));
}
__device__ __forceinline__ float square(const Four& x) {
    return fmaf(x.x, x.x, fmaf(x.y, x.y, fmaf(x.z, x.z, x.w * x.w)));
}
__device__ __forceinline__ void store_four(float* p, const Four& x) { *reinterpret_cast<float4*>(p) = make_float4(x.x, x.y, x.z, x.w); }

// Over the four lanes that have parts of one row.
__device__ __forceinline__ float quad_sum(float x) {
    x += __shfl_xor_sync(FULL_WARP, x, 1);
    return x + __shfl_xor_sync(FULL_WARP, x, 2);
}

// A warp has 32 queries and 32 vectors.
template <Metric M, u32 CODE>
__device__ void ivf_product(const float* queries, u32 d, const Tiles& tiles, const Probes& probes, const Codes& codes,
                            float* distances, i64 stride, u32 splits) {
    constexpr bool L2 = M == Metric::L2;
    __shared__ __align__(16) float q[PRODUCT_Q][PRODUCT_ROW];
    __shared__ __align__(16) float v[LIST_V][PRODUCT_ROW];
    __shared__ __align__(16) float out[32][PRODUCT_OUT];
    __shared__ float q_norms[PRODUCT_Q], v_norms[LIST_V];
    __shared__ float* out_rows[PRODUCT_Q];
    __shared__ u32 limits[PRODUCT_Q];
    const u32 tile = blockIdx.x / splits, split_number = blockIdx.x % splits;
    if (tile >= *tiles.count) return;
    const u32 list = tiles.lists[tile], first = tiles.firsts[tile];
    const u32 pairs = min(PRODUCT_Q, tiles.groups[list + 1] - first);
    const u32 thread = threadIdx.x, warp = thread / 32, lane = thread % 32;
    // Past the last pair its query is read again, and nothing written.
    const u32 row = thread / 4, column = thread % 4 * 4;
    const u32 pair = tiles.order[first + min(row, pairs - 1)], query = pair / probes.nprobe;
    const u32* place = probes.places + (i64)query * (probes.nprobe + 1) + pair % probes.nprobe;
    if (column == 0) {
        limits[row] = row < pairs ? place[1] - place[0] : 0;
        out_rows[row] = distances + query * stride + place[0];
    }
    const float* query_row = queries + (i64)query * d;
    const Decoder<CODE> decoder(codes);
    const bool residual = CODE != 32 && codes.residual;
    // For L2 all is taken relative to the centroid, which keeps it small; codes of residuals are.
    const float* center = L2 || residual ? codes.centroids + (i64)list * d : nullptr;
    __syncthreads();
    u32 count = 0; // what any query wants of the list
    for (u32 i = 0; i < pairs; ++i) count = max(count, limits[i]);
    const i64 list_first = codes.starts[list];
    const u32 warp_q = warp / 4 * 32, warp_v = warp % 4 * 32;
    const bool aligned = d % 4 == 0, working = warp_q < pairs, many = warp_q + 16 < pairs;

    // Numbers of few bits are exact in the upper half of what is multiplied: their scale goes to the query's side, and the part of the product that is the
    // same for all vectors, with the ranges' starts, to the query's norm.
    constexpr bool SCALED = CODE == 8 || CODE == 0;
    Four next_query, next_vectors[2], c = {}, low = {}, step_sizes = {};
    const auto load = [&](u32 v0, u32 base) {
        next_query = staged_row(query_row, base + column, d, aligned);
        if (center) c = staged_row(center, base + column, d, aligned);
        if constexpr (SCALED) {
            low = decoder.staged_lows(base + column, d, aligned);
            step_sizes = decoder.staged_steps(base + column, d, aligned);
        }
#pragma unroll
        for (u32 j = 0; j < 2; ++j) {
            const u8* x = decoder.row(list_first + min(v0 + row + 64 * j, count - 1));
            if constexpr (SCALED) next_vectors[j] = decoder.staged_numbers(x, base + column, d, aligned);
            else next_vectors[j] = decoder.staged(x, base + column, d, aligned);
        }
    };
    u32 v0 = split_number * LIST_V, base = 0;
    if (v0 >= count) return;
    load(v0, base);
    float sums[2][4][4] = {}, q_square = 0, v_squares[2] = {};
    const u32 part = lane / 4, step = lane % 4;
    while (true) {
        if constexpr (SCALED) {
            if (L2 && !residual) low = minus(low, c);
            if (!L2 && residual) low = plus(low, c);
            if (L2) next_query = minus(next_query, c);
            const float both = dot(next_query, low);
            q_square += L2 ? square(next_query) - 2.0f * both : both;
            if (L2) {
#pragma unroll
                for (u32 j = 0; j < 2; ++j) v_squares[j] += square(multiply_add(step_sizes, next_vectors[j], low));
            }
            next_query = multiply_add(next_query, step_sizes, {0, 0, 0, 0});
        } else if constexpr (L2) {
            next_query = minus(next_query, c);
            q_square += square(next_query);
#pragma unroll
            for (u32 j = 0; j < 2; ++j) {
                if (!residual) next_vectors[j] = minus(next_vectors[j], c);
                v_squares[j] += square(next_vectors[j]);
            }
        } else if (residual) {
#pragma unroll
            for (u32 j = 0; j < 2; ++j) next_vectors[j] = plus(next_vectors[j], c);
        }
        store_four(&q[row][column], next_query);
#pragma unroll
        for (u32 j = 0; j < 2; ++j) store_four(&v[row + 64 * j][column], next_vectors[j]);
        __syncthreads();
        // What comes next is on its way while this is worked on.
        u32 next_v0 = v0, next_base = base + LIST_D;
        if (next_base >= d) {
            next_base = 0;
            next_v0 += splits * LIST_V;
        }
        const bool more = next_v0 < count;
        if (more) load(next_v0, next_base);
        if (working) {
#pragma unroll
            for (u32 k = 0; k < LIST_D; k += 8) {
                u32 high[2][4], low_part[2][4];
#pragma unroll
                for (u32 m = 0; m < 2; ++m)
#pragma unroll
                    for (u32 i = 0; i < 4; ++i) {
                        const Halves halves = split(q[warp_q + m * 16 + part + i % 2 * 8][k + step + i / 2 * 4]);
                        high[m][i] = halves.high;
                        low_part[m][i] = halves.low;
                    }
#pragma unroll
                for (u32 n = 0; n < 4; ++n) {
                    const float* x = &v[warp_v + n * 8 + part][k + step];
                    if constexpr (SCALED) {
                        const u32 b0 = __float_as_uint(x[0]), b1 = __float_as_uint(x[4]);
#pragma unroll
                        for (u32 m = 0; m < 2; ++m) {
                            if (m > 0 && !many) break;
                            multiply_tf32(sums[m][n], low_part[m], b0, b1);
                            multiply_tf32(sums[m][n], high[m], b0, b1);
                        }
                        continue;
                    }
                    const Halves b0 = split(x[0]), b1 = split(x[4]);
#pragma unroll
                    for (u32 m = 0; m < 2; ++m) {
                        if (m > 0 && !many) break;
                        multiply_tf32(sums[m][n], low_part[m], b0.high, b1.high);
                        multiply_tf32(sums[m][n], high[m], b0.low, b1.low);
                        multiply_tf32(sums[m][n], high[m], b0.high, b1.high);
                    }
                }
            }
        }
        if (next_base == 0) {
            if constexpr (L2 || SCALED) {
                q_square = quad_sum(q_square);
#pragma unroll
                for (u32 j = 0; j < 2; ++j) v_squares[j] = quad_sum(v_squares[j]);
                if (column == 0) {
                    q_norms[row] = q_square;
                    v_norms[row] = v_squares[0];
                    v_norms[row + 64] = v_squares[1];
                }
                q_square = v_squares[0] = v_squares[1] = 0;
            }
            // Through shared memory, so that rows are written in whole lines: 16 queries of each half at a time.
#pragma unroll
            for (u32 m = 0; m < 2; ++m) {
                const u32 out_row = warp / 4 * 16 + part;
#pragma unroll
                for (u32 n = 0; n < 4; ++n) {
                    float* target = &out[out_row][warp_v + n * 8 + step * 2];
                    *reinterpret_cast<float2*>(target) = make_float2(sums[m][n][0], sums[m][n][1]);
                    *reinterpret_cast<float2*>(target + 8 * PRODUCT_OUT) = make_float2(sums[m][n][2], sums[m][n][3]);
#pragma unroll
                    for (u32 i = 0; i < 4; ++i) sums[m][n][i] = 0;
                }
                __syncthreads();
#pragma unroll
                for (u32 r = 0; r < 4; ++r) {
                    const u32 from = warp * 4 + r, at = from / 16 * 32 + m * 16 + from % 16;
                    const u32 limit = limits[at];
                    float* target = out_rows[at] + v0;
#pragma unroll
                    for (u32 c = 0; c < 4; ++c) {
                        const u32 there = lane + 32 * c;
                        float value = out[from][there];
                        if constexpr (L2) {
                            value = fmaf(-2.0f, value, q_norms[at] + v_norms[there]);
                            value = value < 0 ? 0 : value; // rounding may go below zero; NaN stays
                        } else if constexpr (SCALED) {
                            value += q_norms[at];
                        }
                        if (v0 + there < limit) target[there] = value;
                    }
                }
                if (m == 0) __syncthreads();
            }
        }
        if (!more) break;
        __syncthreads();
        v0 = next_v0;
        base = next_base;
    }
}

#endif

} // namespace faiss
