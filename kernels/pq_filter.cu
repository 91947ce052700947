// A filter before the exact distances of a scan of product-quantized lists: where many queries look into one list, its codes
// are decoded once for all of them, and products of f16 by matrix units tell which codes cannot be among the best. What cannot
// be told apart by f16 is a candidate, so that exact distances decide: the filter changes no result.
//
// A distance is coarse + term + scale * <x - o, r>, by a query x, the origin o and the decoded code r (see ops/pq.rs). Both
// vectors are scaled by powers of two into the range of f16 first.
#include "mma.cuh"

namespace faiss {

typedef unsigned char u8;

constexpr float NOTHING = 3.402823466e+38f;
// Each factor of a product is rounded to 11 bits, so a product is off by less than 2^-10; a tenth more is for the sums and for
// what f16 cannot hold of small numbers. F32_ERROR is for the exact distances, which are sums of rounded numbers, too.
constexpr float F16_ERROR = 1.1f / 1024, F32_ERROR = 1.0f / (1 << 18);

// The power of two by which numbers up to `largest` come below 2^14.
__device__ __forceinline__ float f16_scale(float largest) {
    if (!(largest > 0) || !(largest <= NOTHING)) return 1.0f;
    const int exponent = (__float_as_int(largest) >> 23 & 255) - 127;
    return exp2f((float)min(max(13 - exponent, -100), 100));
}

// For each query x: x - origin, scaled, as `width` numbers of f16, zeros behind the last; the factor that turns a product with
// a scaled code into its part of the distance; and the limit beyond which no distance, less its coarse part, is of interest:
// the worst of the k best so far, and what rounding may do to it. `counts` begin as 0, or beyond `capacity` for queries that
// have no k results yet, so that no limit is known. One warp a query.
__device__ inline void pq_filter_queries(const float* queries, const float* origin, u32 query_count, u32 d, u32 width,
                                         float scale, float code_scale, float longest_code, const float* best_values,
                                         const i64* best_ids, u32 k, u32 negate, u32 capacity, __half* rows, float* factors,
                                         float* limits, u32* counts) {
    const u32 lane = threadIdx.x % 32;
    for (i64 query = grid_thread() / 32; query < query_count; query += grid_threads() / 32) {
        const float* x = queries + query * d;
        float largest = 0, norm = 0;
        for (u32 i = lane; i < d; i += 32) {
            const float value = x[i] - (origin ? origin[i] : 0.0f);
            largest = fmaxf(largest, fabsf(value));
            norm = fmaf(value, value, norm);
        }
#pragma unroll
        for (u32 step = 16; step > 0; step /= 2) largest = fmaxf(largest, __shfl_xor_sync(FULL_WARP, largest, step));
        norm = sqrtf(warp_sum(norm));
        const float own = f16_scale(largest);
        for (u32 i = lane; i < width; i += 32)
            rows[query * width + i] =
                __float2half_rn(i < d ? (x[i] - (origin ? origin[i] : 0.0f)) * own : 0.0f);
        if (lane == 0) {
            const bool known = best_ids[query * k + k - 1] >= 0;
            const float value = best_values[query * k + k - 1], worst = negate ? 0.0f - value : value;
            const float product = fabsf(scale) * norm * longest_code;
            factors[query] = scale / own / code_scale;
            limits[query] = worst + product * F16_ERROR + (fabsf(worst) + product) * F32_ERROR;
            counts[query] = known ? 0 : capacity + 1;
        }
    }
}

// The lists of the pairs that the filter looks at, -1 for those whose positions are all among the first `seen` of their query,
// and for queries without a limit.
__device__ inline void pq_filter_keys(const int* lists, const u32* places, const u32* counts, u32 nprobe, u32 seen, u32 capacity,
                                      int* keys, i64 pairs) {
    for (i64 pair = grid_thread(); pair < pairs; pair += grid_threads()) {
        const i64 query = pair / nprobe;
        const bool done = places[query * (nprobe + 1) + pair % nprobe + 1] <= seen;
        keys[pair] = done || counts[query] > capacity ? -1 : lists[pair];
    }
}

#if __CUDA_ARCH__ >= 800

constexpr u32 FILTER_QUERIES = 128, FILTER_CODES = 32;

// Candidates of each query among the codes of its lists: positions in its row, in any order, as many as `counts` says; those
// beyond `capacity` are counted only. A tile is up to 128 pairs of one list; blocks take tiles in turn. A warp decodes 32 codes
// into registers and multiplies them with 16 queries at a time. Vectors have up to 16 * STEPS numbers; PART is the width of a
// part, or 0 for any even one, and 4 wants code sizes of whole words. Codes are of 8 bits.
//
// Shared memory: the codebooks (512 * m_count * dsub bytes), 128 queries (16 * STEPS + 8 halves each), and 12 bytes a query.
template <u32 STEPS, u32 PART>
__device__ void pq_filter(const __half* rows, const float* factors, const float* limits, const __half* codebooks, u32 m_count,
                          u32 dsub, const u32* order, const u32* groups, const u32* tile_lists, const u32* tile_firsts,
                          const u32* tile_count, const u32* places, u32 nprobe, const float* coarse, float coarse_scale,
                          const i64* offsets, const u32* lengths, const u8* codes, u32 code_size, const float* terms,
                          const u8* allowed, u32 seen, u32 capacity, u32* counts, u32* candidates) {
    constexpr u32 WIDTH = 16 * STEPS, PITCH = WIDTH + 8, WARP = 32;
    extern __shared__ __align__(16) u8 filter_memory[];
    const u32 book_size = 256 * m_count * dsub; // a multiple of 512 bytes
    __half* book = reinterpret_cast<__half*>(filter_memory);
    __half* shared_rows = book + book_size;
    float* thresholds = reinterpret_cast<float*>(shared_rows + FILTER_QUERIES * PITCH);
    float* shared_factors = thresholds + FILTER_QUERIES;
    u32* pair_of = reinterpret_cast<u32*>(shared_factors + FILTER_QUERIES);
    const u32 lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, quad = lane % 4, group = lane / 4;

    for (u32 i = threadIdx.x; i < book_size / 8; i += blockDim.x)
        reinterpret_cast<uint4*>(book)[i] = reinterpret_cast<const uint4*>(codebooks)[i];
    const u32 a_address = (u32)__cvta_generic_to_shared(shared_rows) + (lane % 16 * PITCH + lane / 16 * 8) * 2;

    for (u32 tile = blockIdx.x; tile < *tile_count; tile += gridDim.x) {
        const u32 list = tile_lists[tile], first = tile_firsts[tile];
        const u32 row_count = min(groups[list + 1] - first, FILTER_QUERIES), padded = (row_count + 15) / 16 * 16;
        const u32 length = lengths[list];
        const i64 place = offsets[list];
        __syncthreads(); // the tile before is done with the shared memory
        if (threadIdx.x < padded) {
            const u32 i = threadIdx.x;
            float threshold = -NOTHING, factor = 0;
            if (i < row_count) {
                const u32 pair = order[first + i];
                const float own = coarse ? coarse[pair] * coarse_scale : 0.0f;
                pair_of[i] = pair;
                threshold = limits[pair / nprobe] - own + fabsf(own) * F32_ERROR;
                factor = factors[pair / nprobe];
            }
            thresholds[i] = threshold;
            shared_factors[i] = factor;
        }
        __syncthreads();
        for (u32 i = threadIdx.x; i < padded * (WIDTH / 8); i += blockDim.x) {
            const u32 row = i / (WIDTH / 8), column = i % (WIDTH / 8) * 8;
            uint4 eight = {0, 0, 0, 0};
            if (row < row_count)
                eight = *reinterpret_cast<const uint4*>(rows + (i64)(pair_of[row] / nprobe) * WIDTH + column);
            *reinterpret_cast<uint4*>(shared_rows + row * PITCH + column) = eight;
        }
        __syncthreads();

#pragma unroll 1
        for (u32 base = warp * FILTER_CODES; base < length; base += blockDim.x / WARP * FILTER_CODES) {
            // The codes as the second matrix: this lane has numbers 2 * quad and 8 + 2 * quad of each 16, with their neighbours, of
            // code `group` of each 8.
            u32 decoded[STEPS][4][2];
#pragma unroll
            for (u32 j = 0; j < 4; ++j) {
                const u8* code = codes + (place + min(base + 8 * j + group, length - 1)) * code_size;
#pragma unroll
                for (u32 s = 0; s < STEPS; ++s) {
                    if (PART == 4) {
                        const u32 word = 4 * s < m_count ? reinterpret_cast<const u32*>(code)[s] : 0;
#pragma unroll
                        for (u32 h = 0; h < 2; ++h) {
                            const u32 byte = 2 * h + quad / 2, m = 4 * s + byte;
                            const u32 number = word >> 8 * byte & 255;
                            decoded[s][j][h] =
                                m < m_count ? *reinterpret_cast<const u32*>(book + (m * 256 + number) * 4 + quad % 2 * 2) : 0;
                        }
                    } else {
#pragma unroll
                        for (u32 h = 0; h < 2; ++h) {
                            const u32 column = 16 * s + 8 * h + 2 * quad, m = column / dsub;
                            decoded[s][j][h] =
                                m < m_count
                                    ? *reinterpret_cast<const u32*>(book + (m * 256 + code[m]) * dsub + (column - m * dsub))
                                    : 0;
                        }
                    }
                }
            }
            // The terms of the codes whose products this lane gets, lowered by what rounding may do to them.
            float low_terms[4][2];
#pragma unroll
            for (u32 j = 0; j < 4; ++j)
#pragma unroll
                for (u32 l = 0; l < 2; ++l) {
                    const u32 i = base + 8 * j + 2 * quad + l;
                    const float term = terms ? terms[place + min(i, length - 1)] : 0.0f;
                    low_terms[j][l] = term - fabsf(term) * F32_ERROR;
                }
#pragma unroll 1
            for (u32 row = 0; row < padded; row += 16) {
                float sums[4][4] = {};
#pragma unroll
                for (u32 s = 0; s < STEPS; ++s) {
                    u32 a[4];
                    load_matrices(a, a_address + (row * PITCH + 16 * s) * 2);
#pragma unroll
                    for (u32 j = 0; j < 4; ++j) multiply(sums[j], a, decoded[s][j][0], decoded[s][j][1]);
                }
                bool any = false;
#pragma unroll
                for (u32 h = 0; h < 2; ++h) {
                    const float threshold = thresholds[row + group + 8 * h], factor = shared_factors[row + group + 8 * h];
#pragma unroll
                    for (u32 j = 0; j < 4; ++j)
#pragma unroll
                        for (u32 l = 0; l < 2; ++l)
                            // What is no number is for the exact distances to judge.
                            any |= !(fmaf(factor, sums[j][2 * h + l], low_terms[j][l]) > threshold);
                }
                if (!any) continue;
#pragma unroll
                for (u32 h = 0; h < 2; ++h) {
                    const u32 i = row + group + 8 * h;
                    if (i >= row_count) continue;
                    const u32 pair = pair_of[i], query = pair / nprobe, slot = query * (nprobe + 1) + pair % nprobe;
                    const u32 start = places[slot], count = places[slot + 1] - start; // less than the list, with max_codes
                    const float threshold = thresholds[i], factor = shared_factors[i];
#pragma unroll
                    for (u32 j = 0; j < 4; ++j)
#pragma unroll
                        for (u32 l = 0; l < 2; ++l) {
                            const u32 n = base + 8 * j + 2 * quad + l;
                            const bool far = fmaf(factor, sums[j][2 * h + l], low_terms[j][l]) > threshold;
                            if (far || n >= count || start + n < seen || (allowed && !allowed[place + n])) continue;
                            const u32 at = atomicAdd(&counts[query], 1u);
                            if (at < capacity) candidates[(i64)query * capacity + at] = start + n;
                        }
                }
            }
        }
    }
}

#endif

} // namespace faiss
