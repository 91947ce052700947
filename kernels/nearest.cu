// The nearest centroid of each row by matrix units, fused with the choice, so that the products are never written. Each f32
// is centred, scaled by a power of two and split into two f16 that together hold 22 bits of it; three of the four products of
// halves, summed in f32, are then about as exact as f32 products.
#include "keys.cuh"
#include "mma.cuh"

namespace faiss {

// Rows are split by chunks of 32 numbers: 32 high halves, then 32 low ones; zeros behind the last number.
constexpr u32 CHUNK_DIMS = 32, CHUNK_HALVES = 2 * CHUNK_DIMS, CHUNK_BYTES = 2 * CHUNK_HALVES;
constexpr float LARGEST = 3.402823466e+38f, UNLIMITED = 3.4028230e+38f; // the padding's value, and what all others are below

// The mean of up to 4096 rows, by column; 0 where it is no number. Blocks: ceil(d / 32).
__device__ inline void column_means(const float* rows, i64 count, u32 d, float* means) {
    __shared__ float sums[8][32];
    const u32 lane = threadIdx.x % 32, warp = threadIdx.x / 32, column = blockIdx.x * 32 + lane;
    const u32 used = (u32)min(count, (i64)4096);
    float sum = 0;
    if (column < d)
        for (u32 row = warp; row < used; row += 8) sum += rows[(i64)row * d + column];
    sums[warp][lane] = sum;
    __syncthreads();
    if (warp == 0 && column < d) {
        for (u32 w = 1; w < 8; ++w) sum += sums[w][lane];
        sum /= used;
        means[column] = isfinite(sum) ? sum : 0.0f;
    }
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

// The power of two by which numbers up to `largest` fill the range of f16, with room for rounding.
__device__ __forceinline__ float scale_for(float largest) {
    if (!(largest > 0)) return 1.0f;
    const int exponent = (__float_as_int(largest) >> 23 & 255) - 127; // of the leading bit; -127 for the tiniest
    return exp2f((float)min(max(14 - exponent, -100), 100));
}

// The place of the i-th vector that is met: `step` has no common divisor with `total`, so that each comes once and any run of
// them is spread over all.
__device__ __forceinline__ i64 met(u64 i, u64 step, u64 total) { return (i64)(i * step % total); }

// Rows met from `begin` on, less the center, as scaled halves. Where `norms` is not null: half of their squared norms, scaled as
// their products with rows of `other` are, or 0 for inner products; the places from `count` to `padded` get a value that is above
// all others. `farthest`, where it is not null, becomes the largest of the squared norms and itself. One warp a row.
__device__ inline void split_rows(const float* rows, const float* center, const float* largest, const float* other, u32 count,
                                  u32 padded, u32 d, u32 inner, u64 begin, u64 step, u64 total, __half* out, float* norms,
                                  float* farthest) {
    const u32 lane = threadIdx.x % 32, chunks = (d + CHUNK_DIMS - 1) / CHUNK_DIMS;
    const float scale = scale_for(*largest);
    float most = 0;
    for (u32 row = (u32)(grid_thread() / 32); row < padded; row += (u32)(grid_threads() / 32)) {
        float sum = 0;
        if (row < count) {
            const float* x = rows + met(begin + row, step, total) * d;
            __half* to = out + (i64)row * chunks * CHUNK_HALVES + lane;
#pragma unroll 4
            for (u32 chunk = 0; chunk < chunks; ++chunk) {
                const u32 column = chunk * CHUNK_DIMS + lane;
                const float centred = column < d ? x[column] - (center ? center[column] : 0.0f) : 0.0f, value = centred * scale;
                const __half high = __float2half_rn(value);
                to[chunk * CHUNK_HALVES] = high;
                to[chunk * CHUNK_HALVES + CHUNK_DIMS] = __float2half_rn(value - __half2float(high));
                sum = fmaf(centred, centred, sum);
            }
        }
        if (!norms) continue;
        sum = warp_sum(sum);
        if (sum <= LARGEST) most = fmaxf(most, sum);
        if (lane == 0) norms[row] = row >= count ? LARGEST : inner ? 0.0f : sum * (scale * 0.5f) * scale_for(*other);
    }
    if (lane == 0 && farthest) atomicMax(reinterpret_cast<int*>(farthest), __float_as_int(most));
}

// The same for rows that are f16: as they are, by chunks of 64 numbers.
__device__ inline void copy_halves(const __half* rows, u32 count, u32 padded, u32 d, u32 inner, u64 begin, u64 step, u64 total,
                                   __half* out, float* norms, float* farthest) {
    const u32 lane = threadIdx.x % 32, width = (d + CHUNK_HALVES - 1) / CHUNK_HALVES * CHUNK_HALVES;
    float most = 0;
    for (u32 row = (u32)(grid_thread() / 32); row < padded; row += (u32)(grid_threads() / 32)) {
        float sum = 0;
        if (row < count) {
            const __half* x = rows + met(begin + row, step, total) * d;
#pragma unroll 4
            for (u32 column = lane; column < width; column += 32) {
                const __half value = column < d ? x[column] : __float2half_rn(0.0f);
                out[(i64)row * width + column] = value;
                sum = fmaf(__half2float(value), __half2float(value), sum);
            }
        }
        sum = warp_sum(sum);
        if (sum <= LARGEST) most = fmaxf(most, sum);
        if (lane == 0) norms[row] = row >= count ? LARGEST : inner ? 0.0f : sum * 0.5f;
    }
    if (lane == 0 && farthest) atomicMax(reinterpret_cast<int*>(farthest), __float_as_int(most));
}

// Merges what was found of each row among the vectors met from `begin` on with its best so far, which are keys. The row's limit becomes the value of its last, its count 0;
// more found than there were places for sets `overflow`. `dense` > 0 is the number found by every row. Shared memory: 8 bytes *
// the power of two from wide + min(found, capacity) up, at most that of wide + capacity. Blocks: rows.
__device__ inline void merge_found(const u64* found, u32 capacity, u32 dense, u64 begin, u64 step, u64 total, u32 wide,
                                   u32* counts, u64* best, float* limits, u32* overflow) {
    extern __shared__ u64 merged[];
    const i64 row = blockIdx.x;
    const u32 wanted = dense ? dense : counts[row], count = min(wanted, capacity);
    u64* mine = best + row * wide;
    const u32 before = begin > 0 ? wide : 0;
    if (count > 0 || begin == 0) {
        u32 size = 32;
        while (size < before + count || size < wide) size *= 2;
        for (u32 i = threadIdx.x; i < size; i += blockDim.x) {
            u64 key = i < before ? mine[i] : NO_KEY;
            if (i >= before && i < before + count) {
                const u64 it = found[row * capacity + (i - before)];
                key = make_key(__uint_as_float((u32)(it >> 32)), (u32)met(begin + (u32)it, step, total), false);
            }
            merged[i] = key;
        }
        __syncthreads();
        sort_keys(merged, size);
        for (u32 i = threadIdx.x; i < wide; i += blockDim.x) mine[i] = merged[i];
        if (threadIdx.x == 0) limits[row] = merged[wide - 1] == NO_KEY ? UNLIMITED : fminf(key_value(merged[wide - 1], false), UNLIMITED);
    }
    __syncthreads(); // all have read the count
    if (threadIdx.x == 0) {
        counts[row] = 0;
        if (wanted > capacity) *overflow = 1;
    }
}

// Whether the k best of exact values are proven: no vector beyond the `wide` nearest by split values can be among them, for
// those are off by no more than a bound, which is tighter where the numbers are f16 (`halves`) and nothing is split. uncertain[row] is 1 where that does not follow. `norms` are of the rows, as
// split_norms gives them with the rows' own scale twice; `exact` is the k-th exact squared distance or inner product.
__device__ inline void certify(const u64* best, u32 wide, const float* norms, const float* exact, const i64* ids, u32 k, u32 d,
                               u32 inner, const float* largest_row, const float* largest_column, const float* farthest, u32 halves,
                               u32 count, u32* uncertain) {
    const float row_scale = 1.0f / scale_for(*largest_row), column_scale = 1.0f / scale_for(*largest_column);
    const float unit = 1.0f / 16777216.0f;
    // Each of the sums' steps may cut its 17 addends at 24 bits of the largest, which is no more than half of the squared length.
    const float sums = 17 * (3.0f * ((d + 31) / 32 * 2)) / 2 * unit;
    // What the halves leave out, and the rounding of norms and exact values.
    const float relative = sums + (12 + d / 32.0f + 24) * unit;
    for (u32 row = (u32)grid_thread(); row < count; row += (u32)grid_threads()) {
        const u64 last = best[(i64)row * wide + wide - 1];
        bool proven = last == NO_KEY; // fewer than `wide` vectors: all are candidates
        if (!proven && ids[(i64)row * k + k - 1] >= 0) {
            const float norm = 2 * norms[row] * row_scale * row_scale, length = sqrtf(norm) + sqrtf(*farthest);
            const float bound = relative * length * length + (halves ? 0.0f : *largest_row * *largest_column * (d / 6.8e10f));
            const float value = key_value(last, false) * row_scale * column_scale, kth = exact[(i64)row * k + k - 1];
            proven = inner ? bound - kth < value : kth + bound < norm + 2 * value;
        }
        uncertain[row] = !proven;
    }
}

#if __CUDA_ARCH__ >= 800

constexpr u32 TILE_ROWS = 128, TILE_BYTES = TILE_ROWS * CHUNK_BYTES, STAGES = 3;

__device__ __forceinline__ void copy_async_16(u32 shared, const void* global) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(shared), "l"(global));
}

// One chunk of 128 rows, 128 bytes each; 16-byte segments are swapped within a row so that reads of 8 rows hit all banks. Rows
// past the end are the last one again.
__device__ __forceinline__ void load_tile(u32 shared, const __half* split, i64 first, i64 last, u32 chunks, u32 chunk) {
    const u32 segment = threadIdx.x % 8;
#pragma unroll
    for (u32 i = 0; i < 8; ++i) {
        const u32 row = threadIdx.x / 8 + 16 * i;
        const i64 from = (min(first + row, last) * chunks + chunk) * CHUNK_HALVES + segment * 8;
        copy_async_16(shared + row * CHUNK_BYTES + ((segment ^ (row & 7)) << 4), split + from);
    }
}

// Products of 128 split rows with the columns' tiles from `tile` to `end`, of 128 columns each; each of the block's 4 warps has
// 64 x 64 of a tile. Calls finish(first column of this lane, sums) when a tile's sums are there: sum[i][j][l] is that of row
// split_row(i, l / 2) and column first + j * 8 + l % 2. With `resident` the rows' chunks stay in shared memory, else they come
// again with each tile. Shared memory: 16 KB * (resident ? chunks + 3 : 6). With LOW a chunk is the high and the low halves of
// 32 numbers, else 64 numbers that are f16 as they are.
template <bool LOW, typename Finish>
__device__ __forceinline__ void split_products(const __half* rows, const __half* columns, i64 first, i64 count, u32 k, u32 tile,
                                               u32 end, u32 chunks, u32 resident, unsigned char* tile_memory, Finish finish) {
    const u32 memory = (u32)__cvta_generic_to_shared(tile_memory);
    const u32 b_memory = memory + (resident ? chunks : STAGES) * TILE_BYTES;
    const u32 lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const u32 warp_row = warp / 2 * 64, warp_column = warp % 2 * 64;
    const u32 steps = (end - tile) * chunks, first_tile = tile;

    float sum[4][8][4];
#pragma unroll
    for (u32 i = 0; i < 4; ++i)
#pragma unroll
        for (u32 j = 0; j < 8; ++j)
#pragma unroll
            for (u32 l = 0; l < 4; ++l) sum[i][j][l] = 0;

    u32 load_tile_number = tile, load_chunk = 0, load_stage = 0;
    const auto load = [&] {
        if (load_tile_number < end) {
            if (!resident) load_tile(memory + load_stage * TILE_BYTES, rows, first, count - 1, chunks, load_chunk);
            else if (load_tile_number == first_tile) load_tile(memory + load_chunk * TILE_BYTES, rows, first, count - 1, chunks, load_chunk);
            load_tile(b_memory + load_stage * TILE_BYTES, columns, (i64)load_tile_number * TILE_ROWS, k - 1, chunks, load_chunk);
            if (++load_chunk == chunks) {
                load_chunk = 0;
                ++load_tile_number;
            }
            if (++load_stage == STAGES) load_stage = 0;
        }
        asm volatile("cp.async.commit_group;");
    };
#pragma unroll
    for (u32 i = 0; i < STAGES - 1; ++i) load();

    // Where this lane's rows of the matrices begin, and how their segments are swapped.
    const u32 a_row = warp_row + lane % 16, a_segment = lane / 16, swap = lane & 7;
    const u32 b_row = warp_column + (lane & 7) + (lane >> 4) * 8, b_segment = lane >> 3 & 1;
    u32 chunk = 0, stage = 0;
#pragma unroll 1
    for (u32 step = 0; step < steps; ++step) {
        asm volatile("cp.async.wait_group %0;" ::"n"(STAGES - 2));
        __syncthreads();
        load();
        const u32 a_base = memory + (resident ? chunk : stage) * TILE_BYTES + a_row * CHUNK_BYTES;
        const u32 b_base = b_memory + stage * TILE_BYTES + b_row * CHUNK_BYTES;
#pragma unroll
        for (u32 part = 0; part < (LOW ? 2 : 4); ++part) {
            u32 a[4][4], b[4][4];
            const auto load_a = [&](u32 (&to)[4][4], u32 segment) {
#pragma unroll
                for (u32 i = 0; i < 4; ++i)
                    load_matrices(to[i], a_base + i * 16 * CHUNK_BYTES + (((segment + a_segment) ^ swap) << 4));
            };
            const auto load_b = [&](u32 (&to)[4][4], u32 segment) {
#pragma unroll
                for (u32 i = 0; i < 4; ++i)
                    load_matrices(to[i], b_base + i * 16 * CHUNK_BYTES + (((segment + b_segment) ^ swap) << 4));
            };
            const auto add = [&](const u32 (&x)[4][4], const u32 (&y)[4][4]) {
#pragma unroll
                for (u32 i = 0; i < 4; ++i)
#pragma unroll
                    for (u32 j = 0; j < 8; ++j) multiply(sum[i][j], x[i], y[j / 2][j % 2 * 2], y[j / 2][j % 2 * 2 + 1]);
            };
            load_a(a, part * 2);
            load_b(b, part * 2);
            add(a, b);
            if constexpr (LOW) {
                u32 low[4][4];
                load_b(low, 4 + part * 2);
                add(a, low);
                load_a(low, 4 + part * 2);
                add(low, b);
            }
        }
        if (++stage == STAGES) stage = 0;
        if (++chunk < chunks) continue;
        chunk = 0;
        finish(tile * TILE_ROWS + warp_column + lane % 4 * 2, sum);
#pragma unroll
        for (u32 i = 0; i < 4; ++i)
#pragma unroll
            for (u32 j = 0; j < 8; ++j)
#pragma unroll
                for (u32 l = 0; l < 4; ++l) sum[i][j][l] = 0;
        ++tile;
    }
}

// The row within the block that sums i, half of a thread belong to.
__device__ __forceinline__ u32 split_row(u32 i, u32 half) {
    return threadIdx.x / 64 * 64 + i * 16 + half * 8 + threadIdx.x % 32 / 4;
}

// The nearest of `tiles` * 128 centroids for each row. Blocks: ceil(count / 128); shared memory: see above.
__device__ inline void nearest_split(const __half* rows, const __half* centroids, const float* norms, i64 count, u32 k, u32 tiles,
                                     u32 chunks, u32 resident, int* labels) {
    extern __shared__ __align__(128) unsigned char tile_memory[];
    const u32 lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const i64 first = (i64)blockIdx.x * TILE_ROWS;
    float best[8];
    u32 number[8];
#pragma unroll
    for (u32 i = 0; i < 8; ++i) {
        best[i] = LARGEST;
        number[i] = 0xffffffffu;
    }
    // Columns ascend, so that the first of equal ones stays.
    split_products<true>(rows, centroids, first, count, k, 0, tiles, chunks, resident, tile_memory, [&](u32 column, float (&sum)[4][8][4]) {
#pragma unroll
        for (u32 j = 0; j < 8; ++j) {
            const float2 norm = *reinterpret_cast<const float2*>(norms + column + j * 8);
#pragma unroll
            for (u32 i = 0; i < 4; ++i)
#pragma unroll
                for (u32 l = 0; l < 4; ++l) {
                    const float value = (l % 2 ? norm.y : norm.x) - sum[i][j][l];
                    const u32 row = 2 * i + l / 2;
                    if (value < best[row]) {
                        best[row] = value;
                        number[row] = column + j * 8 + l % 2;
                    }
                }
        }
    });
    // Over the four lanes that share rows, then over the two warps that do.
    __syncthreads();
    float* shared_best = reinterpret_cast<float*>(tile_memory);
    u32* shared_number = reinterpret_cast<u32*>(shared_best + 2 * TILE_ROWS);
#pragma unroll
    for (u32 i = 0; i < 8; ++i) {
#pragma unroll
        for (u32 other = 1; other < 4; other *= 2) {
            const float value = __shfl_xor_sync(FULL_WARP, best[i], other);
            const u32 its_number = __shfl_xor_sync(FULL_WARP, number[i], other);
            if (value < best[i] || (value == best[i] && its_number < number[i])) {
                best[i] = value;
                number[i] = its_number;
            }
        }
        if (lane % 4 == 0) {
            const u32 at = warp % 2 * TILE_ROWS + split_row(i / 2, i % 2);
            shared_best[at] = best[i];
            shared_number[at] = number[i];
        }
    }
    __syncthreads();
    const u32 row = threadIdx.x;
    if (first + row < count) {
        const float left = shared_best[row], right = shared_best[TILE_ROWS + row];
        const u32 a = shared_number[row], b = shared_number[TILE_ROWS + row];
        labels[first + row] = (int)(right < left || (right == left && b < a) ? b : a);
    }
}

// Appends the columns whose value is at most the row's limit, each with its value, to the row's `capacity` places, and counts
// them on beyond those; with `dense`, where all of at most `capacity` columns are wanted, column i stands at i. Block b has rows b % row_blocks and tiles of split b / row_blocks. Shared memory: see split_products.
template <u32 LOW>
__device__ void split_found(const __half* rows, const __half* columns, const float* norms, const float* limits, i64 count,
                                   u32 k, u32 tiles, u32 chunks, u32 resident, u32 splits, u32 dense, u32 capacity,
                                   u32* counts, u64* found) {
    extern __shared__ __align__(128) unsigned char tile_memory[];
    const u32 row_blocks = (u32)((count + TILE_ROWS - 1) / TILE_ROWS);
    const i64 first = (i64)(blockIdx.x % row_blocks) * TILE_ROWS;
    const u32 split = blockIdx.x / row_blocks, share = (tiles + splits - 1) / splits;
    const u32 tile = min(split * share, tiles), end = min(tile + share, tiles);
    if (tile == end) return;
    // In shared memory, for want of registers.
    __shared__ float limit[TILE_ROWS];
    limit[threadIdx.x] = first + threadIdx.x >= count ? -LARGEST : dense ? UNLIMITED : limits[first + threadIdx.x];
    u32* my_counts = counts + first;
    u64* my_found = found + first * capacity;
    split_products<LOW != 0>(rows, columns, first, count, k, tile, end, chunks, resident, tile_memory, [&](u32 column, float (&sum)[4][8][4]) {
#pragma unroll
        for (u32 j = 0; j < 8; ++j) {
            const float2 norm = *reinterpret_cast<const float2*>(norms + column + j * 8);
#pragma unroll
            for (u32 i = 0; i < 4; ++i)
#pragma unroll
                for (u32 l = 0; l < 4; ++l) {
                    const float value = (l % 2 ? norm.y : norm.x) - sum[i][j][l];
                    const u32 row = split_row(i, l / 2), at = column + j * 8 + l % 2;
                    // NaN is at most nothing.
                    if (value <= limit[row]) {
                        const u32 place = dense ? at : atomicAdd(&my_counts[row], 1u);
                        if (place < capacity) my_found[row * capacity + place] = (u64)__float_as_uint(value) << 32 | at;
                    }
                }
        }
    });
}

#endif

} // namespace faiss
