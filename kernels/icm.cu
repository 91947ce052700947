// Local search over the codes of an additive quantizer (iterated conditional modes), as the CPU does it: sums in its order, ties to the lowest entry.
#include "common.cuh"

namespace faiss {

// One warp a vector. `own`: -2 times the products of the vectors and all entries; `norms`: squared norms of the entries; `pairs`: twice the
// products of any two entries. `numbers` has a code's m numbers, which the passes change.
__device__ inline void icm_descend(const float* own, const float* norms, const float* pairs, u32* numbers, i64 count, u32 m, u32 k, u32 passes) {
    const u32 lane = threadIdx.x % 32, total = m * k;
    const i64 row = grid_thread() / 32;
    if (row >= count) return;
    const float* mine = own + row * total;
    u32* code = numbers + row * m;
    for (u32 pass = 0; pass < passes; ++pass) {
        for (u32 part = 0; part < m; ++part) {
            float best = __uint_as_float(0x7f800000u); // infinity
            u32 at = 0;
            for (u32 entry = lane; entry < k; entry += 32) {
                const u32 column = part * k + entry;
                float value = __fadd_rn(mine[column], norms[column]);
                for (u32 other = 0; other < m; ++other) {
                    if (other != part) value = __fadd_rn(value, pairs[(i64)(other * k + code[other]) * total + column]);
                }
                if (value < best) best = value, at = entry;
            }
#pragma unroll
            for (int step = 16; step > 0; step /= 2) {
                const float theirs = __shfl_xor_sync(FULL_WARP, best, step);
                const u32 place = __shfl_xor_sync(FULL_WARP, at, step);
                // A lane that found nothing below infinity has entry 0, which is what all of them have then.
                if (theirs < best || (theirs == best && place < at)) best = theirs, at = place;
            }
            if (lane == 0) code[part] = at;
            __syncwarp();
        }
    }
}

} // namespace faiss
