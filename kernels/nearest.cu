// The nearest centroid of each row by matrix units, fused with the choice, so that the products are never written.
//
// First one product of f16, whose error is known: a row is proven where no other centroid can be as near as the one that seems to be the
// nearest. For the rest, each f32 is centred, scaled by a power of two and split into two f16 that together hold 22 bits of it; three
// of the four products of halves, summed in f32, are then about as exact as f32 products.
#include "halved.cuh"
#include "keys.cuh"

namespace faiss {

constexpr u32 MEAN_WARPS = 32, MEAN_GROUPS = 8, MEAN_ROWS = 512;

// A few rows far from all others must not draw a mean away: of eight means of as many groups of rows, those in the middle count.
__device__ __forceinline__ float middle(float (&values)[MEAN_GROUPS]) {
#pragma unroll
    for (u32 i = 0; i < MEAN_GROUPS; ++i)
#pragma unroll
        for (u32 j = i % 2; j + 1 < MEAN_GROUPS; j += 2)
            if (!(values[j] <= values[j + 1])) {
                const float kept = values[j];
                values[j] = values[j + 1];
                values[j + 1] = kept;
            }
    return 0.25f * ((values[2] + values[3]) + (values[4] + values[5]));
}

// The mean of up to 512 rows spread over all, by column; 0 where it is no number. Where `spreads` is not null, also how far their
// squares are from it, roughly. Blocks: ceil(d / 32).
template <typename T>
__device__ void column_means(const T* rows, i64 count, u32 d, float* means, float* spreads) {
    __shared__ float sums[MEAN_WARPS][32], squares[MEAN_WARPS][32];
    const u32 lane = threadIdx.x % 32, warp = threadIdx.x / 32, column = blockIdx.x * 32 + lane;
    const u32 used = (u32)min(count, (i64)MEAN_ROWS);
    const i64 step = count / used;
    // Sums of differences to a row of the warp's own, which cancel less.
    const float first = column < d && warp < used ? to_float(rows[warp * step * d + column]) : 0.0f;
    float sum = 0, square = 0;
    if (column < d) {
        float values[MEAN_ROWS / MEAN_WARPS];
#pragma unroll
        for (u32 i = 0; i < MEAN_ROWS / MEAN_WARPS; ++i) {
            const u32 row = warp + i * MEAN_WARPS;
            values[i] = row < used ? to_float(rows[row * step * d + column]) : first;
        }
#pragma unroll
        for (u32 i = 0; i < MEAN_ROWS / MEAN_WARPS; ++i) {
            const float difference = values[i] - first;
            sum += difference;
            square = fmaf(difference, difference, square);
        }
    }
    const u32 mine = warp < used ? (used - warp + MEAN_WARPS - 1) / MEAN_WARPS : 1;
    const float mean = sum / mine;
    sums[warp][lane] = first + mean;
    squares[warp][lane] = fmaxf(square / mine - mean * mean, 0.0f);
    __syncthreads();
    if (warp > 0 || column >= d) return;
    float center = 0, spread = 0;
    const u32 warps = min(used, MEAN_WARPS);
    if (used < 256) {
        for (u32 w = 0; w < warps; ++w) {
            const u32 rows_of = (used - w + MEAN_WARPS - 1) / MEAN_WARPS;
            center += sums[w][lane] * rows_of / used;
        }
        // One row tells of no spread: that of the warps' means is there, too.
        for (u32 w = 0; w < warps; ++w) {
            const float difference = sums[w][lane] - center;
            spread += (squares[w][lane] + difference * difference) / warps;
        }
    } else {
        float groups[MEAN_GROUPS], group_squares[MEAN_GROUPS];
#pragma unroll
        for (u32 i = 0; i < MEAN_GROUPS; ++i) {
            groups[i] = group_squares[i] = 0;
#pragma unroll
            for (u32 w = i; w < MEAN_WARPS; w += MEAN_GROUPS) {
                groups[i] += sums[w][lane] * (1.0f * MEAN_GROUPS / MEAN_WARPS);
                group_squares[i] += squares[w][lane] * (1.0f * MEAN_GROUPS / MEAN_WARPS);
            }
        }
        center = middle(groups);
        spread = middle(group_squares);
    }
    means[column] = isfinite(center) ? center : 0.0f;
    if (spreads) spreads[column] = isfinite(spread) ? spread : 0.0f;
}

// The largest magnitude of the centred numbers, into `largest`, which begins as 0; infinite ones and NaN don't count.
__device__ inline void largest_centred(const float* rows, const float* center, i64 count, u32 d, float* largest) {
    float most = 0;
    const i64 step = grid_threads();
    u32 column = (u32)(grid_thread() % d);
    const u32 column_step = (u32)(step % d);
#pragma unroll 4
    for (i64 i = grid_thread(); i < count * d; i += step) {
        const float value = fabsf(rows[i] - (center ? center[column] : 0.0f));
        if (value <= LARGEST) most = fmaxf(most, value);
        column += column_step;
        if (column >= d) column -= d;
    }
#pragma unroll
    for (u32 lanes = 16; lanes > 0; lanes /= 2) most = fmaxf(most, __shfl_xor_sync(FULL_WARP, most, lanes));
    // Positive floats are in the order of their bits.
    if (threadIdx.x % 32 == 0) atomicMax(reinterpret_cast<int*>(largest), __float_as_int(most));
}

// Of the rows that are listed in `chosen`, those from `first` on, `count` at most; all of them where it is null.
struct Chosen {
    const u32 *rows, *listed;
    u32 first;

    __device__ __forceinline__ u32 left(u32 count) const {
        return !rows ? count : *listed > first ? min(count, *listed - first) : 0;
    }
    __device__ __forceinline__ u32 operator[](u32 row) const { return rows ? rows[first + row] : row; }
};

// Rows less the center as scaled halves. Where `norms` is not null: half of their squared norms, scaled as their products with rows
// of `other` are, or 0 for inner products; behind the last to the end of its tile, a value that is above all others, and zeros. One warp a row.
__device__ inline void split_rows(const float* rows, const float* center, const float* largest, const float* other, const u32* chosen,
                                  const u32* listed, u32 first, u32 count, u32 d, u32 inner, __half* out, float* norms) {
    const u32 lane = threadIdx.x % 32, chunks = (d + CHUNK_DIMS - 1) / CHUNK_DIMS;
    const float scale = scale_for(*largest);
    const Chosen from = {chosen, listed, first};
    count = from.left(count);
    const u32 padded = (count + TILE_ROWS - 1) / TILE_ROWS * TILE_ROWS;
    for (u32 row = (u32)(grid_thread() / 32); row < padded; row += (u32)(grid_threads() / 32)) {
        float sum = 0;
        const float* x = rows + (i64)(row < count ? from[row] : 0) * d;
        __half* to = split_at(out, row, chunks);
        const u32 high_at = split_place(row, lane), low_at = split_place(row, CHUNK_DIMS + lane);
#pragma unroll 4
        for (u32 chunk = 0; chunk < chunks; ++chunk) {
            const u32 column = chunk * CHUNK_DIMS + lane;
            const bool inside = column < d && row < count;
            const float centred = inside ? x[column] - (center ? center[column] : 0.0f) : 0.0f;
            const float value = centred * scale;
            const __half high = __float2half_rn(value);
            to[chunk * TILE_HALVES + high_at] = high;
            to[chunk * TILE_HALVES + low_at] = __float2half_rn(value - __half2float(high));
            sum = fmaf(centred, centred, sum);
        }
        if (!norms) continue;
        sum = warp_sum(sum);
        if (lane == 0) norms[row] = row >= count ? LARGEST : inner ? 0.0f : sum * (scale * 0.5f) * scale_for(*other);
    }
}

// Rows less the center as halves, scaled by one power of two for all. reach[row] is how long the scaled row and its halves are at
// most, infinite where one product is to tell nothing of it. `ratio`, which begins as 0, becomes what the error of the others is of
// their length, at most. One warp a row.
__device__ inline void nearest_rows(const float* rows, const float* center, const float* largest, u32 count, u32 d, __half* out,
                                    float* reach, float* ratio) {
    // Halves of numbers that are no smaller than f16's smallest are off by a 2048th.
    constexpr float COARSE = 1.0f / 1024.0f;
    const u32 lane = threadIdx.x % 32, chunks = (d + CHUNK_HALVES - 1) / CHUNK_HALVES;
    const u32 padded = (count + TILE_ROWS - 1) / TILE_ROWS * TILE_ROWS;
    const float scale = scale_for(*largest);
    float most = 0;
    for (u32 at = (u32)(grid_thread() / 32); at < padded; at += (u32)(grid_threads() / 32)) {
        if (at >= count) {
            fill_row(chunks, out, at);
            continue;
        }
        const Halved row = halve_row<float, 0>(rows + (i64)at * d, center, d, chunks, scale, out, at);
        const bool fine = row.finite && row.error <= COARSE * row.length;
        if (fine && row.length > 0) most = fmaxf(most, row.error / row.length * (1 + 4 * UNIT));
        if (lane == 0) reach[at] = fine ? row.length + row.error : __int_as_float(0x7f800000);
    }
    // Positive floats are in the order of their bits.
    if (lane == 0) atomicMax(reinterpret_cast<int*>(ratio), __float_as_int(most));
}

// Centroids less the center as halves, each scaled by a power of two of its own, with terms[0][i], [1][i] and [2][i], `padded` apart, by
// which rows that `largest` scaled are compared with it: half of its squared length, or 0 for inner products, less what that is off by;
// what a product with a row of length 1 is off by; what undoes its scale. One warp a centroid.
__device__ inline void nearest_columns(const float* centroids, const float* center, const float* largest, const float* ratio,
                                       u32 count, u32 padded, u32 d, u32 inner, u32 products, __half* out, float* terms) {
    // With these, lengths of rows of f16 stay within f32.
    constexpr float FAR = 1e28f;
    const u32 lane = threadIdx.x % 32, chunks = (d + CHUNK_HALVES - 1) / CHUNK_HALVES;
    const float scale = scale_for(*largest), rows_error = *ratio, rounding = product_rounding(products);
    for (u32 at = (u32)(grid_thread() / 32); at < padded; at += (u32)(grid_threads() / 32)) {
        float norm = LARGEST, error = 0, undo = 0;
        if (at < count) {
            const Halved row = halve_row<float, 0>(centroids + (i64)at * d, center, d, chunks, LARGEST, out, at);
            undo = 1.0f / row.scale;
            norm = inner ? 0.0f : 0.5f * (row.square * undo) * undo * scale * (1.0f - square_rounding(d));
            error = (rows_error + rounding) * row.length + (1.0f + rows_error + rounding) * row.error;
            error *= undo * 1.001f;
            // What can't be told is nearest to all rows, and below what proves.
            if (!(row.finite && norm <= BEYOND && error <= FAR && undo * row.length <= FAR)) {
                norm = -LARGEST;
                error = undo = 0;
            }
        } else {
            fill_row(chunks, out, at);
        }
        if (lane == 0) {
            terms[at] = norm;
            terms[padded + at] = error;
            terms[2 * padded + at] = undo;
        }
    }
}

#if __CUDA_ARCH__ >= 800

// The nearest of `tiles` * 128 centroids for each row that one product proves; the others are listed. Blocks: ceil(count / 128); shared
// memory: split_shared.
__device__ inline void nearest_proven(const __half* rows, const __half* centroids, const float* terms, const float* reach, u32 count,
                                      u32 tiles, u32 chunks, u32 resident, u32 d, int* labels, u32* listed, u32* unproven) {
    extern __shared__ __align__(TILE_ALIGNMENT) unsigned char tile_memory[];
    const u32 first = blockIdx.x * TILE_ROWS, padded = tiles * TILE_ROWS, lane = threadIdx.x % 32;
    // How long the rows of this tile are at most, of those that can be proven.
    const float mine = first + threadIdx.x < count ? reach[first + threadIdx.x] : 0.0f;
    __shared__ float reaches[TILE_ROWS / 32];
    const float longest_here = warp_max(mine <= LARGEST ? mine : 0.0f);
    if (lane == 0) reaches[threadIdx.x / 32] = longest_here;
    __syncthreads();
    const float longest = fmaxf(fmaxf(reaches[0], reaches[1]), fmaxf(reaches[2], reaches[3]));
    // The lowest bound of each row, whose it is, and the lowest of all others. The last bits of a bound are the number of its column among
    // those of the thread: a number kept beside it costs more than all else.
    constexpr u32 OWN = 2 * SUM_COLUMNS - 1;
    constexpr float CUT = 1.01f * (OWN + 1) / 8388608.0f;
    constexpr u32 ROWS = 2 * SUM_ROWS;
    float best[ROWS], second[ROWS];
    u32 number[ROWS];
#pragma unroll
    for (u32 i = 0; i < ROWS; ++i) {
        best[i] = second[i] = LARGEST;
        number[i] = 0;
    }
    const auto finish = [&](u32 column, const float* terms_here, Sums& sum) {
        float before[ROWS];
#pragma unroll
        for (u32 i = 0; i < ROWS; ++i) before[i] = best[i];
#pragma unroll
        for (u32 j = 0; j < SUM_COLUMNS; ++j) {
            const float* term = terms_here + split_column(j);
            const float2 norm = *reinterpret_cast<const float2*>(term);
            const float2 error = *reinterpret_cast<const float2*>(term + TILE_ROWS);
            const float2 undo = *reinterpret_cast<const float2*>(term + 2 * TILE_ROWS);
            const float low[2] = {fmaf(-longest, error.x, norm.x), fmaf(-longest, error.y, norm.y)};
#pragma unroll
            for (u32 i = 0; i < SUM_ROWS; ++i)
#pragma unroll
                for (u32 l = 0; l < 4; ++l) {
                    const float bound = fmaf(-(l % 2 ? undo.y : undo.x), sum[i][j][l], low[l % 2]);
                    const float value = __uint_as_float((__float_as_uint(bound) & ~OWN) | (2 * j + l % 2));
                    const u32 row = 2 * i + l / 2;
                    second[row] = fminf(second[row], fmaxf(value, best[row]));
                    best[row] = fminf(best[row], value);
                }
        }
#pragma unroll
        for (u32 i = 0; i < ROWS; ++i) {
            const u32 own = __float_as_uint(best[i]) & OWN;
            if (best[i] < before[i]) number[i] = column + split_column(own / 2) + own % 2;
        }
    };
    split_products<false, 3, SHALLOW>(rows, centroids, terms, padded, blockIdx.x, 0, tiles, chunks, resident, tile_memory,
                                      [] { __syncthreads(); }, finish);
    // Over the four lanes that share rows, then over the warps that do.
    __syncthreads();
    float* shared_best = reinterpret_cast<float*>(tile_memory);
    float* shared_second = shared_best + ROW_WARPS * TILE_ROWS;
    u32* shared_number = reinterpret_cast<u32*>(shared_second + ROW_WARPS * TILE_ROWS);
#pragma unroll
    for (u32 i = 0; i < ROWS; ++i) {
#pragma unroll
        for (u32 other = 1; other < 4; other *= 2) {
            const float value = __shfl_xor_sync(FULL_WARP, best[i], other);
            const float its_second = __shfl_xor_sync(FULL_WARP, second[i], other);
            const u32 its_number = __shfl_xor_sync(FULL_WARP, number[i], other);
            second[i] = fminf(fminf(second[i], its_second), fmaxf(value, best[i]));
            if (value < best[i]) {
                best[i] = value;
                number[i] = its_number;
            }
        }
        if (threadIdx.x % 4 == 0) {
            const u32 at = threadIdx.x / 32 % ROW_WARPS * TILE_ROWS + split_row(i / 2, i % 2);
            shared_best[at] = best[i];
            shared_second[at] = second[i];
            shared_number[at] = number[i];
        }
    }
    __syncthreads();
    const u32 row = threadIdx.x, other = (ROW_WARPS - 1) * TILE_ROWS + row;
    const bool inside = first + row < count;
    const float left = shared_best[row], right = shared_best[other], lowest = fminf(left, right);
    const u32 nearest = right < left ? shared_number[other] : shared_number[row];
    float next = fminf(shared_second[row], shared_second[other]);
    if (ROW_WARPS > 1) next = fminf(next, fmaxf(left, right));
    // Its own value is at most this: the bound, and twice what it may be off by.
    const float off = longest * terms[padded + nearest] + 2 * square_rounding(d) * fabsf(terms[nearest]);
    const bool apart = next - CUT * fabsf(next) > lowest + CUT * fabsf(lowest) + 2.0001f * off + 1e-30f;
    const bool proven = inside && mine <= LARGEST && lowest > -BEYOND && apart;
    if (proven) labels[first + row] = (int)nearest;
    const u32 mask = __ballot_sync(FULL_WARP, inside && !proven);
    u32 start = 0;
    if (lane == 0 && mask) start = atomicAdd(listed, __popc(mask));
    start = __shfl_sync(FULL_WARP, start, 0);
    if (inside && !proven) unproven[start + __popc(mask & ((1u << lane) - 1))] = first + row;
}

// The nearest of `tiles` * 128 centroids for each row. With `chosen`, those of the rows that it lists, as keys, which begin as NO_KEY; where these
// are few, up to `splits` blocks share 128 of them. Blocks: any number, which go through the work; shared memory: split_shared.
__device__ inline void nearest_split(const __half* rows, const __half* centroids, const float* norms, const u32* chosen,
                                     const u32* listed, u32 first_chosen, u32 count, u32 tiles, u32 chunks, u32 resident, u32 splits,
                                     int* labels, u64* keys) {
    extern __shared__ __align__(TILE_ALIGNMENT) unsigned char tile_memory[];
    count = Chosen{chosen, listed, first_chosen}.left(count);
    const u32 row_tiles = (count + TILE_ROWS - 1) / TILE_ROWS, sharing = min(splits, max(1u, gridDim.x / max(1u, row_tiles)));
    const u32 share = (tiles + sharing - 1) / sharing;
#pragma unroll 1
    for (u32 work = blockIdx.x; work < row_tiles * sharing; work += gridDim.x) {
        const u32 row_tile = work / sharing, first = row_tile * TILE_ROWS;
        const u32 tile = min(work % sharing * share, tiles), end = min(tile + share, tiles);
        __syncthreads(); // the last work's results are read
        constexpr u32 ROWS = 2 * SUM_ROWS;
        float best[ROWS];
        u32 number[ROWS];
#pragma unroll
        for (u32 i = 0; i < ROWS; ++i) {
            best[i] = LARGEST;
            number[i] = 0xffffffffu;
        }
        // Columns ascend, so that the first of equal ones stays.
        const auto finish = [&](u32 column, const float* norms_here, Sums& sum) {
#pragma unroll
            for (u32 j = 0; j < SUM_COLUMNS; ++j) {
                const float2 norm = *reinterpret_cast<const float2*>(norms_here + split_column(j));
#pragma unroll
                for (u32 i = 0; i < SUM_ROWS; ++i)
#pragma unroll
                    for (u32 l = 0; l < 4; ++l) {
                        const float value = (l % 2 ? norm.y : norm.x) - sum[i][j][l];
                        const u32 row = 2 * i + l / 2;
                        if (value < best[row]) {
                            best[row] = value;
                            number[row] = column + split_column(j) + l % 2;
                        }
                    }
            }
        };
        split_products<true, 1, DEEP>(rows, centroids, norms, 0, row_tile, tile, end, chunks, resident, tile_memory, [] { __syncthreads(); },
                                finish);
        // Over the four lanes that share rows, then over the warps that do.
        __syncthreads();
        float* shared_best = reinterpret_cast<float*>(tile_memory);
        u32* shared_number = reinterpret_cast<u32*>(shared_best + ROW_WARPS * TILE_ROWS);
#pragma unroll
        for (u32 i = 0; i < ROWS; ++i) {
#pragma unroll
            for (u32 other = 1; other < 4; other *= 2) {
                const float value = __shfl_xor_sync(FULL_WARP, best[i], other);
                const u32 its_number = __shfl_xor_sync(FULL_WARP, number[i], other);
                if (value < best[i] || (value == best[i] && its_number < number[i])) {
                    best[i] = value;
                    number[i] = its_number;
                }
            }
            if (threadIdx.x % 4 == 0) {
                const u32 at = threadIdx.x / 32 % ROW_WARPS * TILE_ROWS + split_row(i / 2, i % 2);
                shared_best[at] = best[i];
                shared_number[at] = number[i];
            }
        }
        __syncthreads();
        const u32 row = threadIdx.x;
        if (first + row < count) {
            const u32 other = (ROW_WARPS - 1) * TILE_ROWS + row;
            const float left = shared_best[row], right = shared_best[other];
            const u32 a = shared_number[row], b = shared_number[other];
            const bool other_wins = right < left || (right == left && b < a);
            if (keys) atomicMin(&keys[first + row], make_key(other_wins ? right : left, other_wins ? b : a, false));
            else labels[first + row] = (int)(other_wins ? b : a);
        }
    }
}

// The labels of chosen rows from their keys; -1 where there is none.
__device__ inline void chosen_labels(const u64* keys, const u32* chosen, const u32* listed, u32 first, u32 count, int* labels) {
    const Chosen from = {chosen, listed, first};
    count = from.left(count);
    for (u32 i = (u32)grid_thread(); i < count; i += (u32)grid_threads()) labels[from[i]] = keys[i] == NO_KEY ? -1 : (int)(u32)keys[i];
}

#endif

} // namespace faiss
