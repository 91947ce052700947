// What proves that the kernels of this wheel run: a hash that anyone can compute again.
#include "common.cuh"

namespace faiss {

constexpr u32 SHA256_ROUNDS = 64;

// The constants of SHA-256 (FIPS 180-4): the first 32 bits of the fractional parts of the cube roots of the first 64 primes.
__device__ const u32 SHA256_K[SHA256_ROUNDS] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be,
    0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa,
    0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85,
    0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
    0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f,
    0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

__device__ __forceinline__ u32 rotate_right(u32 x, u32 by) { return __funnelshift_r(x, x, by); }

// SHA-256 of `blocks` blocks of 64 bytes, which the host has padded, as 8 numbers. One thread.
__device__ inline void sha256(const unsigned char* message, u32 blocks, u32* digest) {
    if (grid_thread() != 0) return;
    u32 state[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    for (u32 block = 0; block < blocks; ++block, message += 64) {
        u32 words[16], v[8];
        for (u32 i = 0; i < 16; ++i) {
            const unsigned char* at = message + 4 * i;
            words[i] = (u32)at[0] << 24 | (u32)at[1] << 16 | (u32)at[2] << 8 | (u32)at[3];
        }
#pragma unroll
        for (u32 i = 0; i < 8; ++i) v[i] = state[i];
#pragma unroll
        for (u32 round = 0; round < SHA256_ROUNDS; ++round) {
            if (round >= 16) {
                const u32 two = words[(round + 14) % 16], fifteen = words[(round + 1) % 16];
                const u32 late = rotate_right(two, 17) ^ rotate_right(two, 19) ^ two >> 10;
                const u32 early = rotate_right(fifteen, 7) ^ rotate_right(fifteen, 18) ^ fifteen >> 3;
                words[round % 16] += late + words[(round + 9) % 16] + early;
            }
            const u32 one = rotate_right(v[4], 6) ^ rotate_right(v[4], 11) ^ rotate_right(v[4], 25);
            const u32 chosen = (v[4] & v[5]) ^ (~v[4] & v[6]);
            const u32 first = v[7] + one + chosen + SHA256_K[round] + words[round % 16];
            const u32 zero = rotate_right(v[0], 2) ^ rotate_right(v[0], 13) ^ rotate_right(v[0], 22);
            const u32 most = (v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]);
            v[7] = v[6], v[6] = v[5], v[5] = v[4], v[4] = v[3] + first;
            v[3] = v[2], v[2] = v[1], v[1] = v[0], v[0] = first + zero + most;
        }
#pragma unroll
        for (u32 i = 0; i < 8; ++i) state[i] += v[i];
    }
    for (u32 i = 0; i < 8; ++i) digest[i] = state[i];
}

} // namespace faiss
