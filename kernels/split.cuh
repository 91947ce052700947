// Products of tiles of rows and columns by matrix units, handed over tile by tile in registers, so that they are never written.
#pragma once

#include "mma.cuh"

namespace faiss {

// Rows lie in chunks of 64 f16: 32 high halves and 32 low ones of as many numbers, or 64 numbers as one f16 each; zeros behind
// the last number.
constexpr u32 CHUNK_DIMS = 32, CHUNK_HALVES = 2 * CHUNK_DIMS, CHUNK_BYTES = 2 * CHUNK_HALVES;
constexpr float LARGEST = 3.402823466e+38f;

// The power of two by which numbers up to `largest` fill the range of f16, with room for rounding.
__device__ __forceinline__ float scale_for(float largest) {
    if (!(largest > 0)) return 1.0f;
    const int exponent = (__float_as_int(largest) >> 23 & 255) - 127; // of the leading bit; -127 for the tiniest
    return exp2f((float)min(max(14 - exponent, -100), 100));
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

#endif

} // namespace faiss
