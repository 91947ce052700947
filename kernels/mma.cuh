// Matrix units, from compute capability 8.0 on: products of f16 summed in f32 by one warp, and on Hopper by four.
#pragma once

#include "common.cuh"

namespace faiss {

#if __CUDA_ARCH__ >= 800

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

#endif

// Hopper's own instructions, which only machine code for that architecture may have: PTX for later GPUs may not.
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
#define FAISS_WGMMA

// Where 64 or more rows of 128 bytes begin in shared memory, from an address of 1024 bytes' alignment or some multiple of 16 bytes
// within its first row on; the eight segments of 16 bytes of a row are swapped by the number of the row.
__device__ __forceinline__ u64 wgmma_rows(u32 shared) {
    constexpr u64 SWAPPED_128 = 1ull << 62, EIGHT_ROWS = (u64)(8 * 128 / 16) << 32, UNUSED = 1ull << 16;
    return SWAPPED_128 | EIGHT_ROWS | UNUSED | (shared & 0x3ffff) >> 4;
}

// Copies that this thread waited for are there for the matrix units, once all threads have met behind this.
__device__ __forceinline__ void wgmma_sees_copies() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

// Products of 64 rows and 128 columns of 16 f16 each, all in shared memory, added to the sums or in their place. They go on while
// the threads do, until wgmma_wait.
__device__ __forceinline__ void wgmma(float (&c)[16][4], u32 rows, u32 columns, bool add) {
#define FOUR(j) "+f"(c[j][0]), "+f"(c[j][1]), "+f"(c[j][2]), "+f"(c[j][3])
    asm volatile("{ .reg .pred add; setp.ne.b32 add, %66, 0; "
                 "wgmma.mma_async.sync.aligned.m64n128k16.f32.f16.f16 "
                 "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
                 "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
                 "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
                 "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}, %64, %65, add, 1, 1, 0, 0; }"
                 : FOUR(0), FOUR(1), FOUR(2), FOUR(3), FOUR(4), FOUR(5), FOUR(6), FOUR(7), FOUR(8), FOUR(9), FOUR(10), FOUR(11),
                   FOUR(12), FOUR(13), FOUR(14), FOUR(15)
                 : "l"(wgmma_rows(rows)), "l"(wgmma_rows(columns)), "r"((u32)add));
#undef FOUR
}

// The sums stay where they are between these.
template <u32 ROWS> __device__ __forceinline__ void wgmma_hold(float (&c)[ROWS][16][4]) {
#pragma unroll
    for (u32 i = 0; i < ROWS; ++i)
#pragma unroll
        for (u32 j = 0; j < 16; ++j)
#pragma unroll
            for (u32 l = 0; l < 4; ++l) asm volatile("" : "+f"(c[i][j][l])::"memory");
}

template <u32 ROWS> __device__ __forceinline__ void wgmma_begin(float (&c)[ROWS][16][4]) {
    wgmma_hold(c);
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}

template <u32 ROWS> __device__ __forceinline__ void wgmma_wait(float (&c)[ROWS][16][4]) {
    asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
    wgmma_hold(c);
}

#endif

} // namespace faiss
