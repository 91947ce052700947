// Distances of queries to the vectors in the lists that they look into, by any metric but L2 and inner product, which have a family of their own
// (ivf_scan.cu): each to its place in the query's row.
#include "lanes.cuh"
#include "metrics.cuh"

namespace faiss {

// One query and one list a block, or one of `splits` parts of it. A warp takes a vector at a time, its lanes the dimensions.
template <Metric M>
__device__ void list_metric(const float* queries, u32 d, float arg, const Probes& probes, const float* vectors, const i64* starts,
                            float* distances, i64 stride, u32 splits) {
    const i64 pair = blockIdx.x / splits, query = pair / probes.nprobe;
    const int list = probes.lists[pair];
    if (list < 0) return;
    const u32* place = probes.places + query * (probes.nprobe + 1) + pair % probes.nprobe;
    const u32 count = place[1] - place[0], lane = threadIdx.x % 32, warps = blockDim.x / 32;
    const float* x = queries + query * d;
    float* out = distances + query * stride + place[0];
    for (u32 v = blockIdx.x % splits * warps + threadIdx.x / 32; v < count; v += splits * warps) {
        const float* y = vectors + (starts[list] + v) * d;
        float a = 0, b = 0;
#pragma unroll 1
        for (u32 i = lane; i < d; i += 32) accumulate<M>(x[i], y[i], arg, a, b);
#pragma unroll
        for (u32 step = 16; step > 0; step /= 2) {
            const float other = __shfl_xor_sync(FULL_WARP, a, step);
            a = M == Metric::Linf ? fmaxf(a, other) : a + other;
        }
        b = warp_sum(b);
        if (lane == 0) out[v] = finish<M>(a, b, d);
    }
}

} // namespace faiss
