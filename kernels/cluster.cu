// k-means: the nearest centroid of each row, and from assignments to centroids.
#include "common.cuh"

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
                sum = inner ? fmaf(a, b, sum) : fmaf(difference, difference, sum);
            }
        }
        sum = warp_sum(sum);
        if (lane == 0) distances[row] = label >= 0 ? sum : inner ? -WORST_VALUE : WORST_VALUE;
    }
}

} // namespace faiss
