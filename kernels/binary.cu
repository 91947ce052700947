// Hamming distances: a thread has one vector and up to eight queries, which lie in shared memory.
#include "common.cuh"

namespace faiss {

constexpr u32 HAMMING_QUERIES = 8;

// Bytes past the end of a vector are zeros, in queries too. A distance, at most 2^24, is exact as f32.
__device__ inline void hamming(const u32* queries, u32 query_count, const u32* vectors, u32 vector_count, u32 words,
                               float* distances, i64 stride) {
    extern __shared__ u32 query_words[];
    const u32 vector_blocks = (vector_count + blockDim.x - 1) / blockDim.x;
    const u32 first = blockIdx.x / vector_blocks * HAMMING_QUERIES;
    const u32 v = blockIdx.x % vector_blocks * blockDim.x + threadIdx.x;
    const u32 here = min(HAMMING_QUERIES, query_count - first);
    // Words of all queries side by side: a warp reads one word of each at a time, the same for all lanes.
    for (u32 i = threadIdx.x; i < words * HAMMING_QUERIES; i += blockDim.x) {
        const u32 q = i % HAMMING_QUERIES, word = i / HAMMING_QUERIES;
        query_words[i] = q < here ? queries[(i64)(first + q) * words + word] : 0;
    }
    __syncthreads();
    if (v >= vector_count) return;
    const u32* y = vectors + (i64)v * words;
    u32 sums[HAMMING_QUERIES] = {};
#pragma unroll 4
    for (u32 word = 0; word < words; ++word) {
        const u32 bits = y[word];
#pragma unroll
        for (u32 q = 0; q < HAMMING_QUERIES; ++q) sums[q] += __popc(bits ^ query_words[word * HAMMING_QUERIES + q]);
    }
    for (u32 q = 0; q < here; ++q) distances[(first + q) * stride + v] = (float)sums[q];
}

} // namespace faiss
