// Distances of queries to the vectors in the lists that they look into, each to its place in the query's row. A list has the vectors
// themselves or codes of them (codes.cuh); where codes are of residuals, the list's centroid goes with them: to the query's side,
// subtracted, for L2, and to the vector's for inner products.
#include "codes.cuh"
#include "keys.cuh"
#include "metrics.cuh"
#include "mma.cuh"

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

// Keys of the exact values of each query's candidates, given by their places in the query's row: k best so far, and what the filter found;
// NO_KEY behind them up to `size`, a power of two from 32 up. Squared distances by differences, or with `inner` products. A warp has 32
// places of a query's keys: a lane finds where the candidate of each is, and all of them compute it.
template <u32 CODE>
__device__ void ivf_keys(const float* queries, u32 d, u32 inner, u32 query_count, u32 k, u32 size, const i64* best, const u32* counts,
                         const u32* candidates, u32 capacity, const Probes& probes, const Codes& codes, u64* keys) {
    const u32 lane = threadIdx.x % 32, nprobe = probes.nprobe;
    const Decoder<CODE> decoder(codes);
    for (i64 at = grid_thread(); at < (i64)query_count * size; at += grid_threads()) {
        const i64 query = at / size;
        const u32 number = (u32)(at % size);
        // A query of more candidates than there is room for is done in another way, and one without a limit has none.
        const u32 found = counts[query] > capacity ? 0 : counts[query];
        i64 position = -1, entry = 0;
        if (number < k) position = best[query * k + number];
        else if (number - k < found) position = candidates[query * capacity + number - k];
        int list = 0;
        if (position >= 0) {
            const u32* row = probes.places + query * (nprobe + 1);
            u32 low = 0, high = nprobe;
            while (high - low > 1) {
                const u32 middle = low + (high - low) / 2;
                if (row[middle] <= position) low = middle;
                else high = middle;
            }
            list = probes.lists[query * nprobe + low];
            entry = codes.starts[list] + position - row[low];
        }
        u64 key = NO_KEY;
        const float* x = queries + query * d;
        for (u32 left = __ballot_sync(FULL_WARP, position >= 0); left; left &= left - 1) {
            const u32 turn = __ffs(left) - 1;
            const int its_list = __shfl_sync(FULL_WARP, list, turn);
            const u8* y = decoder.row(__shfl_sync(FULL_WARP, entry, turn));
            const float* center = CODE != 32 && codes.residual ? codes.centroids + (i64)its_list * d : nullptr;
            float sum = 0;
#pragma unroll 4
            for (u32 i = lane; i < d; i += 32) {
                const float c = center ? center[i] : 0.0f, v = decoder.one(y, i);
                if (inner) {
                    sum = fmaf(x[i], center ? v + c : v, sum);
                } else {
                    const float difference = (center ? x[i] - c : x[i]) - v;
                    sum = fmaf(difference, difference, sum);
                }
            }
            sum = warp_sum(sum);
            if (lane == turn) key = make_key(sum, (u32)position, inner != 0);
        }
        keys[at] = key;
    }
}

// The first lists of each query, `part` of `nprobe`.
__device__ inline void first_lists(const i64* labels, u32 nprobe, u32 part, i64* first, i64 count) {
    for (i64 i = grid_thread(); i < count * part; i += grid_threads()) first[i] = labels[i / part * nprobe + i % part];
}

// The lists of the pairs that the filter looks at, -1 for the first `part` of a query and for all of a query that has no k results yet, so that no
// limit is known: its count is beyond `capacity`. Other counts begin as 0.
__device__ inline void rest_lists(const int* lists, u32 nprobe, u32 part, const i64* best, u32 k, u32 capacity, int* rest, u32* counts,
                                  i64 pairs) {
    for (i64 pair = grid_thread(); pair < pairs; pair += grid_threads()) {
        const i64 query = pair / nprobe;
        const u32 number = pair % nprobe;
        const bool known = best[query * k + k - 1] >= 0;
        rest[pair] = number < part || !known ? -1 : lists[pair];
        if (number == 0) counts[query] = known ? 0 : capacity + 1;
    }
}

// Which vectors of the lists that a query looks into may be among its k best, where a limit is known from its first lists: by products of bf16, whose
// errors are counted in, so that no such vector is missed. Distances by L2 are of differences to the list's centroid, which keeps them small:
// |a - b|^2 = |a|^2 + |b|^2 - 2 <a, b>, and a product of two numbers rounded to 9 bits is off by 2^-8 of |a||b| at most.
#if __CUDA_ARCH__ >= 800

constexpr u32 FILTER_Q = 64, FILTER_V = 128, FILTER_D = 32, FILTER_PITCH = FILTER_D + 8;
constexpr float BF16_ERROR = 1.01f / 256;
// Sums of d numbers, each rounded; a generous bound.
__device__ __forceinline__ float sum_error(u32 d) { return (float)(d + 64) / 16777216.0f; }

__device__ __forceinline__ u32 bf16_pair(float low, float high) {
    u32 pair;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
    return pair;
}

__device__ __forceinline__ void multiply_bf16(float (&c)[4], const u32 (&a)[4], u32 b0, u32 b1) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

__device__ __forceinline__ float square(const Four& x) { return fmaf(x.x, x.x, fmaf(x.y, x.y, fmaf(x.z, x.z, x.w * x.w))); }

// Over `lanes` lanes, a power of two, that have parts of one row.
template <u32 LANES> __device__ __forceinline__ float lanes_sum(float x) {
#pragma unroll
    for (u32 step = 1; step < LANES; step *= 2) x += __shfl_xor_sync(FULL_WARP, x, step);
    return x;
}

// Positions in their rows of the candidates of each query, in any order, as many as `counts` says; those beyond `capacity` are counted only. A tile is
// up to 64 pairs of one list, whose queries are in shared memory as bf16; the list's vectors go by, 128 at a time, in pieces of 32 numbers. A warp
// has 32 queries and 32 vectors.
//
// Shared memory: 128 * (d rounded up to a multiple of 32, and 8) bytes.
template <u32 CODE>
__device__ void ivf_filter(const float* queries, u32 d, u32 inner, const Tiles& tiles, const Probes& probes, const Codes& codes,
                           const float* best_values, u32 k, const u8* allowed, u32 splits, u32 capacity, u32* counts,
                           u32* candidates) {
    extern __shared__ __align__(16) u8 filter_memory[];
    __shared__ __align__(16) u32 pieces[2][FILTER_V][FILTER_PITCH / 2];
    __shared__ float row_limits[FILTER_Q], row_lengths[FILTER_Q], v_terms[2][FILTER_V], v_lengths[2][FILTER_V];
    __shared__ u32 pair_of[FILTER_Q], limits[FILTER_Q];
    const u32 tile = blockIdx.x / splits, split = blockIdx.x % splits;
    if (tile >= *tiles.count) return;
    const u32 list = tiles.lists[tile], first = tiles.firsts[tile];
    const u32 pairs = min(FILTER_Q, tiles.groups[list + 1] - first);
    const u32 thread = threadIdx.x, warp = thread / 32, lane = thread % 32, quad = lane % 4, group = lane / 4;
    const u32 width = (d + FILTER_D - 1) / FILTER_D * FILTER_D, pitch = width + 8;
    const Decoder<CODE> decoder(codes);
    const bool residual = CODE != 32 && codes.residual, aligned = d % 4 == 0;
    const float* center = codes.centroids && (!inner || residual) ? codes.centroids + (i64)list * d : nullptr;
    const float slack = sum_error(d), product_error = (inner ? 1.0f : 2.0f) * (BF16_ERROR + 2 * slack);
    const i64 list_first = codes.starts[list];

    if (thread < FILTER_Q) {
        const u32 pair = tiles.order[first + min(thread, pairs - 1)], query = pair / probes.nprobe;
        const u32* place = probes.places + (i64)query * (probes.nprobe + 1) + pair % probes.nprobe;
        pair_of[thread] = pair;
        limits[thread] = thread < pairs ? place[1] - place[0] : 0;
    }
    __syncthreads();
    u32 count = 0; // what any query wants of the list
    for (u32 i = 0; i < pairs; ++i) count = max(count, limits[i]);
    u32 v0 = split * FILTER_V, base = 0;
    if (v0 >= count) return;
    {
        // Past the last pair its query is there again, and nothing is found.
        const u32 row = thread / 4, column = thread % 4 * 4, query = pair_of[row] / probes.nprobe;
        const float* x = queries + (i64)query * d;
        u32* to = reinterpret_cast<u32*>(filter_memory) + row * pitch / 2;
        float own = 0;
        for (u32 at = column; at < width; at += 16) {
            Four a = staged_row(x, at, d, aligned);
            if (center && !inner) a = minus(a, staged_row(center, at, d, aligned));
            own += square(a);
            *reinterpret_cast<uint2*>(to + at / 2) = make_uint2(bf16_pair(a.x, a.y), bf16_pair(a.z, a.w));
        }
        own = lanes_sum<4>(own);
        if (column == 0) {
            const float worst = best_values[(i64)query * k + k - 1];
            const float reach = worst + (inner ? -1.0f : 1.0f) * slack * fabsf(worst);
            row_limits[row] = (inner ? reach : own * (1 - slack) - reach) - 1e-36f;
            row_lengths[row] = sqrtf(own) * (1 + slack);
        }
    }

    const u32 row = thread / 8, column = thread % 8 * 4;
    Four next[4], c = {};
    const auto load = [&](u32 v0, u32 base) {
        if (center) c = staged_row(center, base + column, d, aligned);
#pragma unroll
        for (u32 j = 0; j < 4; ++j)
            next[j] = decoder.staged(decoder.row(list_first + min(v0 + row + 32 * j, count - 1)), base + column, d, aligned);
    };
    load(v0, base);
    const u32 warp_q = warp / 4 * 32, warp_v = warp % 4 * 32;
    const bool working = warp_q < pairs;
    const u32 a_address = (u32)__cvta_generic_to_shared(filter_memory) + ((warp_q + lane % 16) * pitch + lane / 16 * 8) * 2;
    const u32 b_address = (u32)__cvta_generic_to_shared(pieces) +
                          ((warp_v + lane % 8 + lane / 16 * 8) * FILTER_PITCH + lane / 8 % 2 * 8) * 2;
    float sums[2][4][4] = {}, squares[4] = {};
    u32 piece = 0, side = 0;
    while (true) {
#pragma unroll
        for (u32 j = 0; j < 4; ++j) {
            if (center && inner) next[j] = plus(next[j], c);
            else if (center && !residual) next[j] = minus(next[j], c);
            squares[j] += square(next[j]);
            *reinterpret_cast<uint2*>(&pieces[piece][row + 32 * j][column / 2]) =
                make_uint2(bf16_pair(next[j].x, next[j].y), bf16_pair(next[j].z, next[j].w));
        }
        const u32 now_v0 = v0, now_base = base;
        const bool last = base + FILTER_D >= d;
        if (last) {
#pragma unroll
            for (u32 j = 0; j < 4; ++j) {
                const float own = lanes_sum<8>(squares[j]);
                if (column == 0) {
                    v_terms[side][row + 32 * j] = inner ? 0.0f : own * (1 - slack);
                    v_lengths[side][row + 32 * j] = sqrtf(own) * (1 + slack) * product_error;
                }
                squares[j] = 0;
            }
        }
        __syncthreads();
        // What comes next is on its way while this is worked on.
        base += FILTER_D;
        if (last) {
            base = 0;
            v0 += splits * FILTER_V;
        }
        const bool more = v0 < count;
        if (more) load(v0, base);
        if (working) {
#pragma unroll
            for (u32 step = 0; step < FILTER_D; step += 16) {
                u32 a[2][4], b[2][4];
#pragma unroll
                for (u32 m = 0; m < 2; ++m) load_matrices(a[m], a_address + (m * 16 * pitch + now_base + step) * 2);
#pragma unroll
                for (u32 n = 0; n < 2; ++n)
                    load_matrices(b[n], b_address + ((piece * FILTER_V + n * 16) * FILTER_PITCH + step) * 2);
#pragma unroll
                for (u32 m = 0; m < 2; ++m)
#pragma unroll
                    for (u32 n = 0; n < 4; ++n) multiply_bf16(sums[m][n], a[m], b[n / 2][n % 2 * 2], b[n / 2][n % 2 * 2 + 1]);
            }
        }
        if (last && working) {
            const float factor = inner ? 1.0f : 2.0f;
#pragma unroll
            for (u32 m = 0; m < 2; ++m) {
#pragma unroll
                for (u32 h = 0; h < 2; ++h) {
                    const u32 at = warp_q + m * 16 + h * 8 + group;
                    const float limit = row_limits[at], length = row_lengths[at];
                    u32 found = 0;
#pragma unroll
                    for (u32 n = 0; n < 4; ++n)
#pragma unroll
                        for (u32 l = 0; l < 2; ++l) {
                            const u32 v = warp_v + n * 8 + quad * 2 + l;
                            const float least = fmaf(-length, v_lengths[side][v], v_terms[side][v]) + limit;
                            // What is no number is for the exact distances to judge.
                            found |= (u32) !(factor * sums[m][n][2 * h + l] < least) << (2 * n + l);
                        }
                    while (found) {
                        const u32 bit = __ffs(found) - 1;
                        found &= found - 1;
                        const u32 v = now_v0 + warp_v + bit / 2 * 8 + quad * 2 + bit % 2;
                        if (v >= limits[at] || (allowed && !allowed[list_first + v])) continue;
                        const u32 query = pair_of[at] / probes.nprobe;
                        const u32 start = probes.places[(i64)query * (probes.nprobe + 1) + pair_of[at] % probes.nprobe];
                        const u32 place = atomicAdd(&counts[query], 1u);
                        if (place < capacity) candidates[(i64)query * capacity + place] = start + v;
                    }
                }
            }
        }
        if (last) {
            side ^= 1;
#pragma unroll
            for (u32 m = 0; m < 2; ++m)
#pragma unroll
                for (u32 n = 0; n < 4; ++n)
#pragma unroll
                    for (u32 i = 0; i < 4; ++i) sums[m][n][i] = 0;
        }
        if (!more) break;
        piece ^= 1;
    }
}

#endif

} // namespace faiss
