// Scalar quantization: each number of a row by itself to a few bits, as the CPU does it.
#include "common.cuh"

namespace faiss {

// A number's place in its range, from 0 to `top`. A NaN becomes 0.
__device__ __forceinline__ u32 place_in_range(float x, float start, float width, float top) {
    const float part = width == 0.0f ? 0.0f : __fdiv_rn(x - start, width);
    return (u32)(fminf(fmaxf(part, 0.0f), 1.0f) * top);
}

// f16, of two equally near ones that with the larger magnitude, as the CPU has it.
__device__ __forceinline__ u32 f16_bits(float x) {
    const u32 bits = __float_as_uint(x), sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return sign | 0x7e00u;
    if (magnitude >= 0x477ff000u) return sign | 0x7c00u;                                     // from 65520 on
    if (magnitude >= 0x38800000u) return sign | (magnitude + 0x1000u - (112u << 23)) >> 13; // normal numbers
    if (magnitude < 0x33000000u) return sign;                                                // less than half of the smallest
    const u32 shift = 126 - (magnitude >> 23);
    return sign | ((magnitude & 0x7fffffu | 0x800000u) + (1u << (shift - 1))) >> shift;
}

// bf16, likewise.
__device__ __forceinline__ u32 bf16_bits(float x) { return __float_as_uint(x) + 0x8000u >> 16; }

__device__ inline void sq_encode(const float* rows, i64 count, u32 d, const int* lists, const float* centroids, u32 bits,
                                 const float* starts, const float* widths, u32 code_size, unsigned char* codes) {
    const u32 groups = (d + 3) / 4;
    for (i64 at = grid_thread(); at < count * groups; at += grid_threads()) {
        const i64 row = at / groups;
        const u32 first = (u32)(at % groups) * 4, here = min(4u, d - first);
        const int list = lists ? lists[row] : 0;
        const float* x = rows + row * d + first;
        u64 packed = 0;
        const u32 width = bits == 17 ? 16 : bits == 9 ? 8 : bits;
        for (u32 i = 0; i < here; ++i) {
            float v = x[i];
            if (lists && list >= 0) v -= centroids[(i64)list * d + first + i];
            u32 code;
            if (bits == 16) code = f16_bits(v);
            else if (bits == 17) code = bf16_bits(v);
            else if (bits == 9) {
                v += widths ? 128.0f : 0.0f;
                // The whole part, of which the lowest 8 bits count; 0 where 32 bits do not hold it.
                code = fabsf(v) < 2147483648.0f ? (u32)(int)v & 255 : 0;
            } else code = place_in_range(v, starts[first + i], widths[first + i], (float)((1u << bits) - 1));
            packed |= (u64)code << (width * i);
        }
        unsigned char* target = codes + row * code_size + (i64)first * width / 8;
        for (u32 byte = 0; byte < (here * width + 7) / 8; ++byte) target[byte] = (unsigned char)(packed >> (8 * byte));
    }
}

} // namespace faiss
