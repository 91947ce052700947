// k-means: the nearest centroid of each row, and from assignments to centroids.
#include "lanes.cuh"

namespace faiss {

// Better is a lower value, or at equal values a lower number.
__device__ __forceinline__ bool better(float value, u32 number, float than, u32 than_number) {
    return value < than || (value == than && number < than_number);
}

constexpr u32 NO_LABEL = 0xffffffffu;
constexpr float WORST_VALUE = 3.402823466e+38f;

// The best over a warp, in every lane.
__device__ __forceinline__ void warp_best(float& value, u32& number) {
#pragma unroll
    for (u32 step = 16; step > 0; step /= 2) {
        const float other = __shfl_xor_sync(FULL_WARP, value, step);
        const u32 other_number = __shfl_xor_sync(FULL_WARP, number, step);
        if (better(other, other_number, value, number)) {
            value = other;
            number = other_number;
        }
    }
}

// The column with the lowest product (+ norm, where there are norms) of each row, merged with what `labels` and `values` hold
// of columns before `first_column`, where that is not 0. One warp a row. NaN is never lowest; -1 where nothing is.
__device__ inline void argmin_rows(const float* products, i64 stride, u32 columns, const float* column_norms, u32 first_column,
                                   float* values, int* labels, i64 count) {
    const u32 lane = threadIdx.x % 32;
    for (i64 row = grid_thread() / 32; row < count; row += grid_threads() / 32) {
        const float* at = products + row * stride;
        float best = WORST_VALUE;
        u32 number = NO_LABEL;
#pragma unroll 4
        for (u32 column = lane; column < columns; column += 32) {
            const float value = at[column] + (column_norms ? column_norms[column] : 0.0f);
            if (value < best) {
                best = value;
                number = first_column + column;
            }
        }
        warp_best(best, number);
        if (lane == 0) {
            const bool keeps = first_column > 0 && labels[row] >= 0 && !(best < values[row]);
            if (!keeps) {
                values[row] = best;
                labels[row] = (int)number;
            }
        }
    }
}

// The distance of each row to its own centroid, by differences; the inner product where `inner` is not 0. One warp a row.
template <typename T>
__device__ void assigned_distances(const float* rows, const T* centroids, const int* labels, u32 d, u32 inner, float* distances,
                                   i64 count) {
    const u32 lane = threadIdx.x % 32;
    for (i64 row = grid_thread() / 32; row < count; row += grid_threads() / 32) {
        const int label = labels[row];
        float sum = 0;
        if (label >= 0) {
            const float* x = rows + row * d;
            const T* c = centroids + (i64)label * d;
#pragma unroll 4
            for (u32 i = lane; i < d; i += 32) {
                const float a = x[i], b = to_float(c[i]), difference = a - b;
                // Choosing the result instead of the factors makes NVRTC 11.8 and 12.1 crash for sm_90.
                sum = fmaf(inner ? a : difference, inner ? b : difference, sum);
            }
        }
        sum = warp_sum(sum);
        if (label < 0) sum = inner ? -WORST_VALUE : WORST_VALUE;
        if (lane == 0) distances[row] = sum;
    }
}

// Labels of rows that have none, by inner products of all numbers: those of rows with infinite ones can't be told from sums of parts. NaN is
// never best; -1 where nothing is. One warp a row.
__device__ inline void label_rest(const float* rows, const float* centroids, u32 k, u32 d, int* labels, i64 count) {
    const u32 lane = threadIdx.x % 32;
    for (i64 row = grid_thread() / 32; row < count; row += grid_threads() / 32) {
        if (labels[row] >= 0) continue;
        float best = -WORST_VALUE;
        u32 number = NO_LABEL;
        for (u32 i = 0; i < k; ++i) {
            const float value = warp_value(rows + row * d, centroids + (i64)i * d, d, 1, lane);
            if (value > best) {
                best = value;
                number = i;
            }
        }
        if (lane == 0) labels[row] = (int)number;
    }
}

constexpr u32 PART_TILE = 64, PART_DIMS = 16;

// The nearest centroid of each part of each row, by differences (or inner products): labels[part * count + row] is it, plus
// part * k; -1 where none is. Rows have `stride` numbers, part p of them from p * d on; its centroids are k from p * k on.
// A block does 64 rows of one part, a thread 4 rows x 4 centroids at a time. Blocks: parts * ceil(count / 64).
__device__ inline void part_nearest(const float* rows, const float* centroids, u32 count, u32 stride, u32 parts, u32 d, u32 k,
                                    u32 inner, float* distances, int* labels) {
    __shared__ float x[PART_DIMS][PART_TILE + 1], c[PART_DIMS][PART_TILE + 1];
    const u32 part = blockIdx.x % parts, first = blockIdx.x / parts * PART_TILE;
    const u32 tx = threadIdx.x % 16, ty = threadIdx.x / 16;
    const float* base = rows + part * d;
    const float* mine = centroids + (i64)part * k * d;
    float best[4];
    u32 number[4];
#pragma unroll
    for (u32 r = 0; r < 4; ++r) {
        best[r] = WORST_VALUE;
        number[r] = NO_LABEL;
    }
    for (u32 c0 = 0; c0 < k; c0 += PART_TILE) {
        float sum[4][4] = {};
        for (u32 d0 = 0; d0 < d; d0 += PART_DIMS) {
            __syncthreads();
            // Thread tx loads dimension tx of rows ty, ty + 16, ...
            const bool inside = d0 + tx < d;
#pragma unroll
            for (u32 i = ty; i < PART_TILE; i += 16) {
                x[tx][i] = inside && first + i < count ? base[(i64)(first + i) * stride + d0 + tx] : 0.0f;
                c[tx][i] = inside && c0 + i < k ? mine[(i64)(c0 + i) * d + d0 + tx] : 0.0f;
            }
            __syncthreads();
            const u32 left = min(PART_DIMS, d - d0);
#pragma unroll 2
            for (u32 j = 0; j < left; ++j) {
                float a[4], b[4];
#pragma unroll
                for (u32 i = 0; i < 4; ++i) {
                    a[i] = x[j][ty * 4 + i];
                    b[i] = c[j][tx + 16 * i];
                }
#pragma unroll
                for (u32 r = 0; r < 4; ++r)
#pragma unroll
                    for (u32 i = 0; i < 4; ++i) {
                        const float difference = a[r] - b[i];
                        sum[r][i] = inner ? fmaf(-a[r], b[i], sum[r][i]) : fmaf(difference, difference, sum[r][i]);
                    }
            }
        }
#pragma unroll
        for (u32 r = 0; r < 4; ++r)
#pragma unroll
            for (u32 i = 0; i < 4; ++i) {
                const u32 column = c0 + tx + 16 * i;
                if (column < k && better(sum[r][i], column, best[r], number[r])) {
                    best[r] = sum[r][i];
                    number[r] = column;
                }
            }
    }
#pragma unroll
    for (u32 r = 0; r < 4; ++r) {
#pragma unroll
        for (u32 step = 8; step > 0; step /= 2) {
            const float other = __shfl_xor_sync(FULL_WARP, best[r], step);
            const u32 other_number = __shfl_xor_sync(FULL_WARP, number[r], step);
            if (better(other, other_number, best[r], number[r])) {
                best[r] = other;
                number[r] = other_number;
            }
        }
        const u32 row = first + ty * 4 + r;
        if (tx == 0 && row < count) {
            const i64 at = (i64)part * count + row;
            labels[at] = number[r] == NO_LABEL ? -1 : (int)(part * k + number[r]);
            distances[at] = inner ? -best[r] : best[r];
        }
    }
}

// Sums of the rows of each group, in their order: block (group, split) has every `splits`-th run of the group's items. Item i
// is row i % count, part i / count. partial[(split * groups + group) * d], weight_sums[split * groups + group].
__device__ inline void group_sums(const float* rows, const float* weights, const u32* order, const u32* offsets, u32 count,
                                  u32 stride, u32 d, u32 groups, u32 splits, float* partial, float* weight_sums) {
    constexpr u32 WARPS = 8, WIDTH = 128;
    __shared__ float sums[WARPS][WIDTH], totals[WARPS];
    const u32 group = blockIdx.x % groups, split = blockIdx.x / groups;
    const u32 lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const u32 begin = offsets[group], size = offsets[group + 1] - begin;
    const u32 share = (size + splits - 1) / splits;
    const u32 from = begin + min(split * share, size), to = min(from + share, begin + size);
    const i64 at = (i64)split * groups + group;
    float total = 0;
    if (weights)
        for (u32 i = from + threadIdx.x; i < to; i += blockDim.x) total += weights[order[i] % count];
    total = warp_sum(total);
    if (lane == 0) totals[warp] = total;
    for (u32 base = 0; base < d; base += WIDTH) {
        float sum[4] = {};
#pragma unroll 4
        for (u32 i = from + warp; i < to; i += WARPS) {
            const u32 item = order[i], row = item % count;
            const float* x = rows + (i64)row * stride + (i64)(item / count) * d + base + lane;
            const float weight = weights ? weights[row] : 1.0f;
#pragma unroll
            for (u32 j = 0; j < 4; ++j)
                if (base + lane + 32 * j < d) sum[j] = fmaf(weight, x[32 * j], sum[j]);
        }
        __syncthreads();
#pragma unroll
        for (u32 j = 0; j < 4; ++j) sums[warp][lane + 32 * j] = sum[j];
        __syncthreads();
        if (threadIdx.x < WIDTH && base + threadIdx.x < d) {
            float all = 0;
#pragma unroll
            for (u32 w = 0; w < WARPS; ++w) all += sums[w][threadIdx.x];
            partial[at * d + base + threadIdx.x] = all;
        }
    }
    __syncthreads();
    if (threadIdx.x == 0) {
        float all = 0;
        for (u32 w = 0; w < WARPS; ++w) all += totals[w];
        weight_sums[at] = weights ? all : (float)(to - from);
    }
}

// Each centroid that is not frozen becomes the mean of its group: zeros where that is empty. sizes[group]: sums of weights, 0
// for a frozen one. The first `frozen` of every k are. One warp a group.
__device__ inline void group_means(const float* partial, const float* weight_sums, u32 d, u32 groups, u32 k, u32 splits,
                                   u32 frozen, float* centroids, float* sizes) {
    const u32 lane = threadIdx.x % 32;
    for (i64 group = grid_thread() / 32; group < groups; group += grid_threads() / 32) {
        const bool fixed = group % k < frozen;
        float size = 0;
        for (u32 s = 0; s < splits; ++s) size += weight_sums[(i64)s * groups + group];
        if (lane == 0) sizes[group] = fixed ? 0.0f : size;
        if (fixed) continue;
        const float scale = size > 0 ? 1.0f / size : 1.0f;
        for (u32 i = lane; i < d; i += 32) {
            float sum = 0;
            for (u32 s = 0; s < splits; ++s) sum += partial[((i64)s * groups + group) * d + i];
            centroids[group * d + i] = sum * scale;
        }
    }
}

// Unit length and whole numbers, each if wanted. One warp a centroid.
__device__ inline void finish_centroids(float* centroids, u32 count, u32 d, u32 spherical, u32 whole) {
    const u32 lane = threadIdx.x % 32;
    for (i64 row = grid_thread() / 32; row < count; row += grid_threads() / 32) {
        float* c = centroids + row * d;
        float scale = 1;
        if (spherical) {
            float norm = 0;
            for (u32 i = lane; i < d; i += 32) norm = fmaf(c[i], c[i], norm);
            norm = warp_sum(norm);
            if (norm > 0) scale = 1.0f / sqrtf(norm);
        }
        for (u32 i = lane; i < d; i += 32) {
            const float value = c[i] * scale;
            c[i] = whole ? roundf(value) : value;
        }
    }
}

// target[part * k + i] = part `part` of row ids[i], for i of `count` ids. One warp a target.
__device__ inline void take_parts(const float* rows, const int* ids, u32 count, u32 stride, u32 parts, u32 d, u32 k, float* target) {
    const u32 lane = threadIdx.x % 32;
    for (i64 at = grid_thread() / 32; at < (i64)count * parts; at += grid_threads() / 32) {
        const u32 i = at % count, part = at / count;
        const float* x = rows + (i64)ids[i] * stride + (i64)part * d;
        float* to = target + ((i64)part * k + i) * d;
        for (u32 j = lane; j < d; j += 32) to[j] = x[j];
    }
}

// sums[block] = the sum of a block's share of the values; which values those are depends on the launch alone.
__device__ inline void block_sums(const float* values, i64 count, float* sums) {
    __shared__ float warp_sums[8];
    float sum = 0;
    for (i64 i = grid_thread(); i < count; i += grid_threads()) sum += values[i];
    sum = warp_sum(sum);
    if (threadIdx.x % 32 == 0) warp_sums[threadIdx.x / 32] = sum;
    __syncthreads();
    if (threadIdx.x == 0) {
        float all = 0;
        for (u32 w = 0; w < 8; ++w) all += warp_sums[w];
        sums[blockIdx.x] = all;
    }
}

// Writes 1 to `found` if any value is NaN or infinite.
__device__ inline void find_not_finite(const float* values, i64 count, int* found) {
    bool any = false;
    for (i64 i = grid_thread(); i < count; i += grid_threads()) any |= !isfinite(values[i]);
    if (any) *found = 1;
}

} // namespace faiss
