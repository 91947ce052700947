// The k best columns of each row by matrix units, proven. Products of f16 give each column a lower bound of its value for a row,
// with everything counted in that rounding may do; a column whose bound beats a row's limit is a candidate. Exact values of the
// `wide` candidates with the lowest bounds decide, and prove that no other column is among the k best where the k-th exact value
// is below the last candidate's bound.
//
// Every row and every column has a power of two of its own by which it fills the range of f16, and errors of its own, measured
// while it is split: what is far from all others, or tiny, makes nothing worse but itself. X = scale * (x - center) is h + e, h
// being the halves and |e| measured, and likewise Y; then |<X, Y> - <h, h'>| <= |e||Y| + |X||e'| and what the sum rounds. Split
// into two halves, h + l + e, three products are summed and |l||l'| is added.
#include "halved.cuh"
#include "keys.cuh"

namespace faiss {

// What rows are at most, for the columns' bounds: |X|, |e|, |l|, and their scales.
constexpr u32 MOST_LENGTH = 0, MOST_ERROR = 1, MOST_LOW = 2, MOST_SCALE = 3;
// Rows are scaled by no more than this, so that a tiny one leaves room for the norms of columns.
constexpr float MOST_ROW_SCALE = 1099511627776.0f;
// A number of a column, and above it that of a row of a tile.
constexpr u32 COLUMN_BITS = 25;

// The place of the i-th vector that is met: `step` has no common divisor with `total`, so that each comes once and any run of
// them is spread over all.
__device__ __forceinline__ i64 met(u64 i, u64 step, u64 total) { return (i64)(i * step % total); }

// Queries as halves, with their scales, their squared lengths (of the scaled; infinite where nothing can be near them, NaN where
// only exact values tell) and, for inner products, theirs with the center as two numbers. `most` begins as zeros. One warp a row.
template <typename T, u32 LOW>
__device__ void found_queries(const T* rows, const float* center, u32 count, u32 d, u32 inner, __half* out, float* scales,
                              float* squares, float* centers, float* most) {
    const u32 lane = threadIdx.x % 32, width = LOW ? CHUNK_DIMS : CHUNK_HALVES, chunks = (d + width - 1) / width;
    float length = 0, error = 0, low = 0, scale = 0;
    const u32 padded = (count + TILE_ROWS - 1) / TILE_ROWS * TILE_ROWS;
    for (u32 at = (u32)(grid_thread() / 32); at < padded; at += (u32)(grid_threads() / 32)) {
        if (at >= count) {
            fill_row(chunks, out, at);
            continue;
        }
        const T* x = rows + (i64)at * d;
        const Halved row = halve_row<T, LOW>(x, inner ? nullptr : center, d, chunks, MOST_ROW_SCALE, out, at);
        double product = 0;
        if (inner && center) {
            for (u32 i = lane; i < d; i += 32) product += (double)to_float(x[i]) * (double)center[i];
#pragma unroll
            for (u32 lanes = 16; lanes > 0; lanes /= 2) product += __shfl_xor_sync(FULL_WARP, product, lanes);
        }
        const float infinite = __int_as_float(0x7f800000), unknown = __int_as_float(0x7fc00000);
        if (lane == 0) {
            scales[at] = row.scale;
            squares[at] = row.finite ? row.square : row.nan || !inner ? infinite : unknown;
            centers[2 * at] = (float)product;
            centers[2 * at + 1] = (float)(product - (double)(float)product);
        }
        length = fmaxf(length, row.length);
        error = fmaxf(error, row.error);
        low = fmaxf(low, row.low);
        scale = fmaxf(scale, row.scale);
    }
    // Positive floats are in the order of their bits.
    if (lane == 0) {
        atomicMax(reinterpret_cast<int*>(most) + MOST_LENGTH, __float_as_int(length));
        atomicMax(reinterpret_cast<int*>(most) + MOST_ERROR, __float_as_int(error));
        atomicMax(reinterpret_cast<int*>(most) + MOST_LOW, __float_as_int(low));
        atomicMax(reinterpret_cast<int*>(most) + MOST_SCALE, __float_as_int(scale));
    }
}

// Vectors met from `begin` on as halves, with terms[0][i], [1][i] and [2][i], `padded` apart: half of the squared length, or 0
// for inner products; the error; what undoes the scale. Those from `count` to `padded`, those that are not allowed and those that
// cannot be near anything are candidates of no row. `products` is how many products of 16 numbers are summed. One warp a vector.
template <typename T, u32 LOW>
__device__ void found_vectors(const T* rows, const float* center, const unsigned char* allowed, u32 count, u32 padded, u32 d,
                              u32 inner, u32 products, u64 begin, u64 step, u64 total, const float* most, __half* out,
                              float* terms) {
    const u32 lane = threadIdx.x % 32, width = LOW ? CHUNK_DIMS : CHUNK_HALVES, chunks = (d + width - 1) / width;
    const u32 first = (u32)(grid_thread() / 32), warps = (u32)(grid_threads() / 32);
    const u64 further = (u64)warps * step % total;
    u64 place = (u64)met(begin + first, step, total);
    const float rounding = product_rounding(products);
    for (u32 at = first; at < padded; at += warps, place = place + further >= total ? place + further - total : place + further) {
        float norm = 0, error = -LARGEST, undo = 0;
        if (at < count) {
            const Halved row = halve_row<T, LOW>(rows + place * d, center, d, chunks, LARGEST, out, at);
            if (row.nan || (allowed && !allowed[place])) {
                // Of no row.
            } else if (!row.finite) {
                // Infinite numbers make L2 distances infinite, and inner products maybe the best. Where just the difference to the
                // center is infinite, exact values tell.
                bool infinite = false;
                for (u32 i = lane; i < d; i += 32) infinite |= isinf(to_float(rows[place * d + i]));
                if (inner || !__any_sync(FULL_WARP, infinite)) error = LARGEST;
            } else {
                undo = 1.0f / row.scale;
                norm = inner ? 0.0f : 0.5f * (row.square * undo) * undo * (1.0f - square_rounding(d));
                error = most[MOST_ERROR] * row.length + most[MOST_LENGTH] * row.error + most[MOST_LOW] * row.low +
                        rounding * most[MOST_LENGTH] * row.length;
                error *= undo * 1.001f;
                const float reach = undo * most[MOST_LENGTH] * row.length;
                if (!(norm * most[MOST_SCALE] <= BEYOND && error <= BEYOND && reach <= BEYOND)) {
                    norm = undo = 0;
                    error = LARGEST;
                }
            }
        }
        if (at >= count) fill_row(chunks, out, at);
        if (lane == 0) {
            terms[at] = norm;
            terms[padded + at] = error;
            terms[2 * padded + at] = undo;
        }
    }
}

// Merges what was found of each row among the vectors met from `begin` on with its best so far, which are keys. The row's limit
// becomes the value of its last, its count 0; more found than there were places marks the row as not proven. `dense` > 0 is the
// number found by every row. Shared memory: 8 bytes * (the power of two from wide up + that from wide and found up), at most the power
// of two from wide + capacity up, where wide is 8192 or less. Blocks: rows.
__device__ inline void found_merge(const u64* found, u32 capacity, u32 dense, u64 begin, u64 step, u64 total, u32 wide,
                                   u32* counts, u64* best, float* limits, u32* unproven) {
    extern __shared__ u64 merged[];
    const i64 row = blockIdx.x;
    const u32 wanted = dense ? dense : counts[row], count = min(wanted, capacity);
    u64* mine = best + row * wide;
    const u32 before = begin > 0 ? wide : 0;
    if (count > 0 || begin == 0) {
        // Powers of two from `wide` and from what was found up.
        u32 top = 32, size = 32;
        while (top < wide) top *= 2;
        while (size < count || size < top) size *= 2;
        u64* fresh = merged + top;
        for (u32 i = threadIdx.x; i < top; i += blockDim.x) merged[i] = i < before ? mine[i] : NO_KEY;
        for (u32 i = threadIdx.x; i < size; i += blockDim.x) {
            u64 key = NO_KEY;
            if (i < count) {
                const u64 it = found[row * capacity + i];
                key = make_key(__uint_as_float((u32)(it >> 32)), (u32)met(begin + (u32)it, step, total), false);
            }
            fresh[i] = key;
        }
        __syncthreads();
        sort_keys(fresh, size);
        // The best so far are in order already: of two ascending runs, the smaller of mirrored places are the best, bitonic.
        for (u32 i = threadIdx.x; i < top; i += blockDim.x) merged[i] = min(merged[i], fresh[top - 1 - i]);
        __syncthreads();
        merge_keys(merged, top);
        for (u32 i = threadIdx.x; i < wide; i += blockDim.x) mine[i] = merged[i];
        // Below what no candidate has.
        if (threadIdx.x == 0) limits[row] = merged[wide - 1] == NO_KEY ? BEYOND * 30 : key_value(merged[wide - 1], false);
    }
    __syncthreads(); // all have read the count
    if (threadIdx.x == 0) {
        counts[row] = 0;
        if (wanted > capacity) unproven[row] = 1;
    }
}

// unproven[row] = 1 where the k-th exact value, a squared distance or an inner product, does not prove that no vector beyond the
// `wide` candidates is among the k best. `squares`, `scales` and `centers` are the queries'.
__device__ inline void found_proof(const u64* best, u32 wide, const float* squares, const float* scales, const float* centers,
                                   const float* exact, const i64* ids, u32 k, u32 d, u32 inner, u32 count, u32* unproven) {
    for (u32 row = (u32)grid_thread(); row < count; row += (u32)grid_threads()) {
        const u64 last = best[(i64)row * wide + wide - 1];
        const double square = squares[row], scale = scales[row];
        bool proven = isinf(squares[row]) || (last == NO_KEY && !isnan(squares[row])); // all others are candidates of no row
        if (!proven && ids[(i64)row * k + k - 1] >= 0) {
            const double value = key_value(last, false), kth = exact[(i64)row * k + k - 1];
            if (inner) {
                proven = kth > (double)centers[2 * row] + (double)centers[2 * row + 1] - value / scale;
            } else {
                const double low = square * (1.0 - (double)square_rounding(d));
                proven = kth < (low / scale + 2 * value) / scale;
            }
        }
        if (!proven) unproven[row] = 1;
    }
}

// Results of rows that were searched apart go where they belong.
__device__ inline void found_return(const i64* rows, const float* values, const i64* ids, u32 count, u32 k, float* out_values,
                                    i64* out_ids) {
    for (i64 i = grid_thread(); i < (i64)count * k; i += grid_threads()) {
        const i64 to = rows[i / k] * k + i % k;
        out_values[to] = values[i];
        out_ids[to] = ids[i];
    }
}

#if __CUDA_ARCH__ >= 800

// Appends the columns whose bound is at most the row's limit, each with its bound, to the row's `capacity` places, and counts
// them on beyond those; with `dense`, where all of at most `capacity` columns are wanted, column i stands at i. Block b has rows
// b % row_blocks and tiles of split b / row_blocks. What is found waits in a queue of `places` and goes to its rows many at once, so that
// nobody waits for a count of the device's memory in the middle of a tile. Shared memory: split_shared + 8 * places.
template <u32 LOW>
__device__ void found_filter(const __half* rows, const __half* columns, const float* terms, const float* limits,
                             const float* scales, i64 count, u32 k, u32 tiles, u32 chunks, u32 resident, u32 splits, u32 dense,
                             u32 places, u32 capacity, u32* counts, u64* found) {
    extern __shared__ __align__(TILE_ALIGNMENT) unsigned char tile_memory[];
    const u32 row_blocks = (u32)((count + TILE_ROWS - 1) / TILE_ROWS), padded = tiles * TILE_ROWS;
    const i64 first = (i64)(blockIdx.x % row_blocks) * TILE_ROWS;
    const u32 split = blockIdx.x / row_blocks, share = (tiles + splits - 1) / splits;
    const u32 tile = min(split * share, tiles), end = min(tile + share, tiles);
    if (tile == end) return;
    // Limits and scales of the rows, in shared memory for want of registers.
    __shared__ float2 shared_rows[TILE_ROWS];
    {
        const i64 row = first + threadIdx.x;
        const bool inside = row < count;
        shared_rows[threadIdx.x] = {!inside ? -__int_as_float(0x7f800000) : dense ? LARGEST : limits[row], inside ? scales[row] : 0.0f};
    }
    u32* my_counts = counts + first;
    u64* my_found = found + first * capacity;
    const u32 rows_here = (u32)min((i64)TILE_ROWS, count - first);
    const auto give = [&](u32 to, u32 place, u32 value, u32 from) {
        if (place < capacity) my_found[to * capacity + place] = (u64)value << 32 | from;
    };
    u64* queue = reinterpret_cast<u64*>(tile_memory + split_shared<DEEP>(chunks, resident, 3));
    __shared__ u32 queued;
    if (threadIdx.x == 0) queued = 0; // seen by all behind the first barrier
    bool full = false;
    const auto flush = [&] {
        const u32 all = min(queued, places);
        __syncthreads();
        if (threadIdx.x == 0) queued = 0;
        for (u32 i = threadIdx.x; i < all; i += 4 * TILE_ROWS) {
            u32 place[4];
#pragma unroll
            for (u32 j = 0; j < 4; ++j)
                if (i + j * TILE_ROWS < all) place[j] = atomicAdd(&my_counts[(u32)queue[i + j * TILE_ROWS] >> COLUMN_BITS], 1u);
#pragma unroll
            for (u32 j = 0; j < 4; ++j) {
                if (i + j * TILE_ROWS >= all) break;
                const u64 entry = queue[i + j * TILE_ROWS];
                give((u32)entry >> COLUMN_BITS, place[j], (u32)(entry >> 32), (u32)entry & ((1u << COLUMN_BITS) - 1));
            }
        }
        full = false;
        __syncthreads();
    };
    const auto meet = [&] {
        if (__syncthreads_or(full)) flush();
    };
    const auto finish = [&](u32 column, const float* terms_here, Sums& sum) {
        float2 row[2 * SUM_ROWS];
#pragma unroll
        for (u32 i = 0; i < 2 * SUM_ROWS; ++i) row[i] = shared_rows[split_row(i / 2, i % 2)];
#pragma unroll
        for (u32 j = 0; j < SUM_COLUMNS; ++j) {
            const u32 at = column + split_column(j);
            const float* term = terms_here + split_column(j);
            const float2 norm = *reinterpret_cast<const float2*>(term);
            const float2 error = *reinterpret_cast<const float2*>(term + TILE_ROWS);
            const float2 undo = *reinterpret_cast<const float2*>(term + 2 * TILE_ROWS);
            bool any = false;
#pragma unroll
            for (u32 i = 0; i < SUM_ROWS; ++i)
#pragma unroll
                for (u32 l = 0; l < 4; ++l) {
                    const float2 mine = row[2 * i + l / 2];
                    const float fixed = fmaf(mine.y, l % 2 ? norm.y : norm.x, -(l % 2 ? error.y : error.x));
                    sum[i][j][l] = fmaf(-(l % 2 ? undo.y : undo.x), sum[i][j][l], fixed);
                    any |= sum[i][j][l] <= mine.x;
                }
            if (!__any_sync(FULL_WARP, any || dense)) continue;
            u32 hits = 0;
#pragma unroll
            for (u32 i = 0; i < SUM_ROWS; ++i)
#pragma unroll
                for (u32 l = 0; l < 4; ++l) {
                    const bool wanted = dense ? at + l % 2 < k : sum[i][j][l] <= row[2 * i + l / 2].x;
                    hits |= (u32)wanted << (4 * i + l);
                }
            // One loop for all places of the tile, so that the code stays small.
#pragma unroll 1
            while (hits) {
                const u32 hit = __ffs(hits) - 1;
                hits &= hits - 1;
                float value = sum[0][j][0];
#pragma unroll
                for (u32 other = 1; other < 4 * SUM_ROWS; ++other) value = hit == other ? sum[other / 4][j][other % 4] : value;
                const u32 to = split_row(hit / 4, hit / 2 % 2), from = at + hit % 2;
                if (to >= rows_here) continue;
                if (dense) {
                    give(to, from, __float_as_uint(value), from);
                    continue;
                }
                const u32 slot = places ? atomicAdd(&queued, 1u) : 0;
                full |= places && slot >= places / 2;
                if (slot < places) queue[slot] = (u64)__float_as_uint(value) << 32 | to << COLUMN_BITS | from;
                else give(to, atomicAdd(&my_counts[to], 1u), __float_as_uint(value), from);
            }
        }
    };
    split_products<LOW != 0, 3, DEEP>(rows, columns, terms, padded, blockIdx.x % row_blocks, tile, end, chunks, resident, tile_memory, meet, finish);
    __syncthreads();
    flush();
}

#endif

} // namespace faiss
