// Products of tiles of rows and columns by matrix units, handed over tile by tile in registers, so that they are never written.
#pragma once

#include "mma.cuh"

namespace faiss {

// Rows lie in chunks of 64 f16: 32 high halves and 32 low ones of as many numbers, or 64 numbers as one f16 each; zeros behind
// the last number. They are in the order in which they are read: tiles of 128 rows, of a tile its chunks, of a chunk its rows. The
// eight segments of 16 bytes of a row's chunk are swapped by the number of the row, so that reads of 8 rows hit all banks of shared
// memory. The last tile is filled up with zeros.
constexpr u32 CHUNK_DIMS = 32, CHUNK_HALVES = 2 * CHUNK_DIMS, CHUNK_BYTES = 2 * CHUNK_HALVES;
constexpr u32 TILE_ROWS = 128, TILE_BYTES = TILE_ROWS * CHUNK_BYTES, TILE_HALVES = TILE_BYTES / 2;

// Where a row's first chunk is; its others are TILE_HALVES apart, and half i of a chunk is at place i of it.
__device__ __forceinline__ __half* split_at(__half* rows, u32 row, u32 chunks) {
    return rows + (i64)(row / TILE_ROWS) * chunks * TILE_HALVES + row % TILE_ROWS * CHUNK_HALVES;
}
__device__ __forceinline__ u32 split_place(u32 row, u32 i) { return ((i / 8 ^ row % 8) * 8) + i % 8; }
constexpr float LARGEST = 3.402823466e+38f;

// The power of two by which numbers up to `largest` fill the range of f16, with room for rounding.
__device__ __forceinline__ float scale_for(float largest) {
    if (!(largest > 0)) return 1.0f;
    const int exponent = (__float_as_int(largest) >> 23 & 255) - 127; // of the leading bit; -127 for the tiniest
    return exp2f((float)min(max(14 - exponent, -100), 100));
}

#if __CUDA_ARCH__ >= 800

// Tiles on their way to the multiprocessor: as many as hide it, or so few that more blocks share one.
constexpr u32 DEEP = 3, SHALLOW = 2;

// What a thread has of a tile's sums: sum[i][j][l] is that of row split_row(i, l / 2) and column split_column(j) + l % 2. On Hopper
// the block's four warps multiply as one, and each has 32 whole rows of a tile; elsewhere a warp has 64 x 64 of it.
#ifdef FAISS_WGMMA
constexpr u32 SUM_ROWS = 2, SUM_COLUMNS = 16, ROW_WARPS = 1, TILE_ALIGNMENT = 1024;
__device__ __forceinline__ u32 split_row(u32 i, u32 half) {
    return i * 64 + threadIdx.x / 32 * 16 + half * 8 + threadIdx.x % 32 / 4;
}
__device__ __forceinline__ u32 split_column(u32 j) { return threadIdx.x % 4 * 2 + j * 8; }
#else
constexpr u32 SUM_ROWS = 4, SUM_COLUMNS = 8, ROW_WARPS = 2, TILE_ALIGNMENT = 128; // ROW_WARPS: those that share rows
__device__ __forceinline__ u32 split_row(u32 i, u32 half) {
    return threadIdx.x / 64 * 64 + i * 16 + half * 8 + threadIdx.x % 32 / 4;
}
__device__ __forceinline__ u32 split_column(u32 j) { return threadIdx.x / 32 % 2 * 64 + threadIdx.x % 4 * 2 + j * 8; }
#endif
typedef float Sums[SUM_ROWS][SUM_COLUMNS][4];

__device__ __forceinline__ void copy_async_16(u32 shared, const void* global) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(shared), "l"(global));
}

// One chunk of 128 rows, 128 bytes each.
__device__ __forceinline__ void load_tile(u32 shared, const __half* split, u32 tile, u32 chunks, u32 chunk) {
    const __half* from = split + ((i64)tile * chunks + chunk) * TILE_HALVES + threadIdx.x * 8;
#pragma unroll
    for (u32 i = 0; i < 8; ++i) copy_async_16(shared + threadIdx.x * 16 + i * TILE_BYTES / 8, from + i * TILE_HALVES / 8);
}

// TERMS numbers of each column of a tile, from arrays that are `padded` apart.
template <u32 TERMS> __device__ __forceinline__ void load_terms(u32 shared, const float* terms, u32 padded, u32 tile) {
    if (threadIdx.x >= TERMS * 32) return;
    const u32 term = threadIdx.x / 32, four = threadIdx.x % 32 * 4;
    copy_async_16(shared + (term * TILE_ROWS + four) * 4, terms + (i64)term * padded + tile * TILE_ROWS + four);
}

// Adds the products of a chunk of rows and of columns to the sums, or begins them anew.
template <bool LOW> __device__ __forceinline__ void multiply_chunk(Sums& sum, u32 rows, u32 columns, bool begin) {
#ifdef FAISS_WGMMA
    wgmma_begin(sum);
#pragma unroll
    for (u32 part = 0; part < (LOW ? 2 : 4); ++part)
#pragma unroll
        for (u32 i = 0; i < SUM_ROWS; ++i) {
            const u32 a = rows + i * 64 * CHUNK_BYTES + part * 32, b = columns + part * 32;
            wgmma(sum[i], a, b, part > 0 || !begin);
            if constexpr (LOW) {
                wgmma(sum[i], a, b + CHUNK_BYTES / 2, true);
                wgmma(sum[i], a + CHUNK_BYTES / 2, b, true);
            }
        }
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
#else
    if (begin) {
#pragma unroll
        for (u32 i = 0; i < SUM_ROWS; ++i)
#pragma unroll
            for (u32 j = 0; j < SUM_COLUMNS; ++j)
#pragma unroll
                for (u32 l = 0; l < 4; ++l) sum[i][j][l] = 0;
    }
    // Where this lane's rows of the matrices begin, and how their segments are swapped.
    const u32 lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const u32 a_segment = lane / 16, swap = lane & 7, b_segment = lane >> 3 & 1;
    const u32 a_base = rows + (warp / 2 * 64 + lane % 16) * CHUNK_BYTES;
    const u32 b_base = columns + (warp % 2 * 64 + (lane & 7) + (lane >> 4) * 8) * CHUNK_BYTES;
#pragma unroll
    for (u32 part = 0; part < (LOW ? 2 : 4); ++part) {
        u32 a[4][4], b[4][4];
        const auto load_a = [&](u32 (&to)[4][4], u32 segment) {
#pragma unroll
            for (u32 i = 0; i < 4; ++i) load_matrices(to[i], a_base + i * 16 * CHUNK_BYTES + (((segment + a_segment) ^ swap) << 4));
        };
        const auto load_b = [&](u32 (&to)[4][4], u32 segment) {
#pragma unroll
            for (u32 i = 0; i < 4; ++i) load_matrices(to[i], b_base + i * 16 * CHUNK_BYTES + (((segment + b_segment) ^ swap) << 4));
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
#endif
}

// Bytes of shared memory that split_products takes.
template <u32 STAGES> __device__ __forceinline__ u32 split_shared(u32 chunks, u32 resident, u32 terms) {
    return ((resident ? chunks : STAGES) + STAGES) * TILE_BYTES + 4 * TILE_ROWS * terms * (chunks < STAGES ? STAGES : 1);
}

// Products of a tile of split rows with the columns' tiles from `tile` to `end`, of 128 columns each. Calls finish(first column of the tile,
// its terms, sums) when a tile's sums are there; term t of the tile's column c is terms[t * TILE_ROWS + c], in shared memory, from
// arrays of all columns that are `padded` apart. With `resident` the rows' chunks stay in shared memory, else they come again with
// each tile. Shared memory: split_shared. With LOW a chunk is the high and the low halves of 32 numbers, else 64 numbers that are f16
// as they are. meet() is a barrier of the block; between it and the next one, the threads may be at the end of one tile.
template <bool LOW, u32 TERMS, u32 STAGES, typename Meet, typename Finish>
__device__ __forceinline__ void split_products(const __half* rows, const __half* columns, const float* terms, u32 padded,
                                               u32 row_tile, u32 tile, u32 end, u32 chunks, u32 resident,
                                               unsigned char* tile_memory, Meet meet, Finish finish) {
    const u32 memory = (u32)__cvta_generic_to_shared(tile_memory);
    const u32 b_tiles = resident ? chunks : STAGES, b_memory = memory + b_tiles * TILE_BYTES;
    const u32 steps = (end - tile) * chunks, first_tile = tile;
    // Terms come with the first chunk of their tile, or, where there are enough chunks for them to arrive, when the tile is begun: then
    // those of one tile need a place.
    const bool terms_early = chunks < STAGES;
    constexpr u32 TERM_BYTES = 4 * TERMS * TILE_ROWS;
    const u32 terms_at = (b_tiles + STAGES) * TILE_BYTES;
    Sums sum;

    u32 load_tile_number = tile, load_chunk = 0, load_stage = 0;
    const auto load = [&] {
        if (load_tile_number < end) {
            if (!resident) load_tile(memory + load_stage * TILE_BYTES, rows, row_tile, chunks, load_chunk);
            else if (load_tile_number == first_tile) load_tile(memory + load_chunk * TILE_BYTES, rows, row_tile, chunks, load_chunk);
            load_tile(b_memory + load_stage * TILE_BYTES, columns, load_tile_number, chunks, load_chunk);
            if (terms_early && load_chunk == 0)
                load_terms<TERMS>(memory + terms_at + load_tile_number % STAGES * TERM_BYTES, terms, padded, load_tile_number);
            if (++load_chunk == chunks) {
                load_chunk = 0;
                ++load_tile_number;
            }
            if (++load_stage == STAGES) load_stage = 0;
        }
    };
    const auto commit = [] { asm volatile("cp.async.commit_group;"); };
#pragma unroll
    for (u32 i = 0; i < STAGES - 1; ++i) {
        load();
        commit();
    }
    u32 chunk = 0, stage = 0;
#pragma unroll 1
    for (u32 step = 0; step < steps; ++step) {
        asm volatile("cp.async.wait_group %0;" ::"n"(STAGES - 2));
#ifdef FAISS_WGMMA
        wgmma_sees_copies();
#endif
        meet();
        const u32 a_memory = memory + (resident ? chunk : stage) * TILE_BYTES;
#ifdef FAISS_WGMMA
        // What is multiplied is looked after meanwhile: the next chunks come into the stage that was read before this one.
        multiply_chunk<LOW>(sum, a_memory, b_memory + stage * TILE_BYTES, chunk == 0);
#endif
        load();
        if (!terms_early && chunk == 0) load_terms<TERMS>(memory + terms_at, terms, padded, tile);
        commit();
#ifdef FAISS_WGMMA
        wgmma_wait(sum);
#else
        multiply_chunk<LOW>(sum, a_memory, b_memory + stage * TILE_BYTES, chunk == 0);
#endif
        if (++stage == STAGES) stage = 0;
        if (++chunk < chunks) continue;
        chunk = 0;
        const u32 slot = terms_early ? tile % STAGES : 0;
        finish(tile * TILE_ROWS, reinterpret_cast<const float*>(tile_memory + terms_at + slot * TERM_BYTES), sum);
        ++tile;
    }
}

#endif

} // namespace faiss
