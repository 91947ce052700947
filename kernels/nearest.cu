// The nearest centroid of each row by matrix units, fused with the choice, so that the products are never written. Each f32
// is centred, scaled by a power of two and split into two f16 that together hold 22 bits of it; three of the four products of
// halves, summed in f32, are then about as exact as f32 products.
#include "common.cuh"

namespace faiss {

// Rows are split by chunks of 32 numbers: 32 high halves, then 32 low ones; zeros behind the last number.
constexpr u32 CHUNK_DIMS = 32, CHUNK_HALVES = 2 * CHUNK_DIMS, CHUNK_BYTES = 2 * CHUNK_HALVES;
constexpr float LARGEST = 3.402823466e+38f;

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

// One warp a chunk of 32 numbers.
__device__ inline void split_rows(const float* rows, const float* center, const float* largest, i64 count, u32 d, u32 chunks,
                                  __half* out) {
    const u32 lane = threadIdx.x % 32;
    const float scale = scale_for(*largest);
    for (i64 at = grid_thread() / 32; at < count * chunks; at += grid_threads() / 32) {
        const i64 row = at / chunks;
        const u32 column = (u32)(at - row * chunks) * CHUNK_DIMS + lane;
        float value = 0;
        if (column < d) value = (rows[row * d + column] - (center ? center[column] : 0.0f)) * scale;
        const __half high = __float2half_rn(value);
        out[at * CHUNK_HALVES + lane] = high;
        out[at * CHUNK_HALVES + CHUNK_DIMS + lane] = __float2half_rn(value - __half2float(high));
    }
}

// What is to be added to the negative scaled products: half of the centred centroid's squared norm, scaled as they are; 0 for
// inner products. The places behind the last centroid get a value that is never the lowest. One warp a centroid.
__device__ inline void split_norms(const float* centroids, const float* center, const float* largest_row,
                                   const float* largest_centroid, u32 count, u32 padded, u32 d, u32 inner, float* norms) {
    const u32 lane = threadIdx.x % 32;
    const float scale = scale_for(*largest_row) * 0.5f, other = scale_for(*largest_centroid);
    for (u32 row = (u32)(grid_thread() / 32); row < padded; row += (u32)(grid_threads() / 32)) {
        float sum = 0;
        if (row < count && !inner)
            for (u32 i = lane; i < d; i += 32) {
                const float value = centroids[(i64)row * d + i] - center[i];
                sum = fmaf(value, value, sum);
            }
        sum = warp_sum(sum);
        if (lane == 0) norms[row] = row < count ? sum * scale * other : LARGEST;
    }
}

#if __CUDA_ARCH__ >= 800

constexpr u32 TILE_ROWS = 128, TILE_BYTES = TILE_ROWS * CHUNK_BYTES, STAGES = 3;

__device__ __forceinline__ void copy_async_16(u32 shared, const void* global) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(shared), "l"(global));
}

// Four 8 x 8 matrices of f16.
__device__ __forceinline__ void load_matrices(u32 (&r)[4], u32 shared) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared));
}

__device__ __forceinline__ void multiply(float (&c)[4], const u32 (&a)[4], u32 b0, u32 b1) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
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

// The nearest of `tiles` * 128 centroids for each row. A block has 128 rows and goes through the centroids by tiles of 128; each
// of its 4 warps has 64 x 64 of a tile. With `resident` the rows' chunks stay in shared memory, else they come again with each
// tile. Blocks: ceil(count / 128); shared memory: 16 KB * (resident ? chunks + 3 : 6).
__device__ inline void nearest_split(const __half* rows, const __half* centroids, const float* norms, i64 count, u32 k, u32 tiles,
                                     u32 chunks, u32 resident, int* labels) {
    extern __shared__ __align__(128) unsigned char tile_memory[];
    const u32 memory = (u32)__cvta_generic_to_shared(tile_memory);
    const u32 b_memory = memory + (resident ? chunks : STAGES) * TILE_BYTES;
    const u32 lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const u32 warp_row = warp / 2 * 64, warp_column = warp % 2 * 64;
    const i64 first = (i64)blockIdx.x * TILE_ROWS;
    const u32 steps = tiles * chunks;

    float sum[4][8][4];
    float best[8];
    u32 number[8];
#pragma unroll
    for (u32 i = 0; i < 8; ++i) {
        best[i] = LARGEST;
        number[i] = 0xffffffffu;
    }
#pragma unroll
    for (u32 i = 0; i < 4; ++i)
#pragma unroll
        for (u32 j = 0; j < 8; ++j)
#pragma unroll
            for (u32 l = 0; l < 4; ++l) sum[i][j][l] = 0;

    u32 load_tile_number = 0, load_chunk = 0, load_stage = 0;
    const auto load = [&] {
        if (load_tile_number < tiles) {
            if (!resident) load_tile(memory + load_stage * TILE_BYTES, rows, first, count - 1, chunks, load_chunk);
            else if (load_tile_number == 0) load_tile(memory + load_chunk * TILE_BYTES, rows, first, count - 1, chunks, load_chunk);
            load_tile(b_memory + load_stage * TILE_BYTES, centroids, (i64)load_tile_number * TILE_ROWS, k - 1, chunks, load_chunk);
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
    u32 tile = 0, chunk = 0, stage = 0;
#pragma unroll 1
    for (u32 step = 0; step < steps; ++step) {
        asm volatile("cp.async.wait_group %0;" ::"n"(STAGES - 2));
        __syncthreads();
        load();
        const u32 a_base = memory + (resident ? chunk : stage) * TILE_BYTES + a_row * CHUNK_BYTES;
        const u32 b_base = b_memory + stage * TILE_BYTES + b_row * CHUNK_BYTES;
#pragma unroll
        for (u32 half = 0; half < 2; ++half) {
            u32 a[4][4], b[4][4], low[4][4];
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
            load_a(a, half * 2);
            load_b(b, half * 2);
            add(a, b);
            load_b(low, 4 + half * 2);
            add(a, low);
            load_a(low, 4 + half * 2);
            add(low, b);
        }
        if (++stage == STAGES) stage = 0;
        if (++chunk < chunks) continue;
        // All products of the tile are there: columns ascend, so that the first of equal ones stays.
        chunk = 0;
        const u32 column = tile * TILE_ROWS + warp_column + lane % 4 * 2;
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
                    sum[i][j][l] = 0;
                }
        }
        ++tile;
    }
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
        const u32 row = warp_row + i / 2 * 16 + i % 2 * 8 + lane / 4;
        if (lane % 4 == 0) {
            shared_best[warp % 2 * TILE_ROWS + row] = best[i];
            shared_number[warp % 2 * TILE_ROWS + row] = number[i];
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

#endif

} // namespace faiss
