// Grouping of items by key, stable: a radix sort of (key, item) pairs by 8 bits a pass, then the place where each group
// begins. Counts are whole numbers and every item's place follows from the order of the input, so results are the same
// from run to run.
#include "common.cuh"

namespace faiss {

constexpr u32 DIGITS = 256, GROUP_WARPS = 8, ITEMS_PER_LANE = 8, GROUP_TILE = GROUP_WARPS * 32 * ITEMS_PER_LANE;

// Items of no group come behind all groups.
__device__ __forceinline__ u32 group_of(u32 key, u32 groups) { return min(key, groups); }

// The lanes whose digit is this lane's; `valid` lanes only.
__device__ __forceinline__ u32 same_digit(u32 digit, bool valid) {
    u32 same = __ballot_sync(FULL_WARP, valid);
#pragma unroll
    for (u32 bit = 0; bit < 8; ++bit) {
        const u32 set = __ballot_sync(FULL_WARP, digit >> bit & 1);
        same &= digit >> bit & 1 ? set : ~set;
    }
    return same;
}

// counts[digit * tiles + tile]: how many keys of a tile have the digit. One block a tile.
__device__ inline void group_count(const u32* keys, u32 count, u32 groups, u32 shift, u32* counts) {
    __shared__ u32 found[DIGITS];
    found[threadIdx.x] = 0;
    __syncthreads();
    const i64 first = (i64)blockIdx.x * GROUP_TILE;
#pragma unroll 1
    for (u32 i = 0; i < ITEMS_PER_LANE; ++i) {
        const i64 at = first + i * blockDim.x + threadIdx.x;
        const bool valid = at < count;
        const u32 digit = valid ? group_of(keys[at], groups) >> shift & (DIGITS - 1) : 0;
        const u32 same = same_digit(digit, valid);
        // One lane adds for all that agree: often a warp's keys are equal.
        if (valid && (same & ((1u << threadIdx.x % 32) - 1)) == 0) atomicAdd(&found[digit], __popc(same));
    }
    __syncthreads();
    counts[(i64)threadIdx.x * gridDim.x + blockIdx.x] = found[threadIdx.x];
}

// Adds up 256 values, one a thread; every thread gets the sum of those before its own, and `total`.
__device__ __forceinline__ u32 exclusive_sum(u32 value, u32* warp_sums, u32& total) {
    const u32 lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    u32 sum = value;
#pragma unroll
    for (u32 step = 1; step < 32; step *= 2) {
        const u32 other = __shfl_up_sync(FULL_WARP, sum, step);
        if (lane >= step) sum += other;
    }
    __syncthreads(); // the former call's readers
    if (lane == 31) warp_sums[warp] = sum;
    __syncthreads();
    u32 before = 0;
    total = 0;
#pragma unroll
    for (u32 w = 0; w < GROUP_WARPS; ++w) {
        if (w < warp) before += warp_sums[w];
        total += warp_sums[w];
    }
    return before + sum - value;
}

// Turns the counts of one digit into sums of those before, within the digit; totals[digit] is their sum. One block a digit.
__device__ inline void group_sum(u32* counts, u32 tiles, u32* totals) {
    __shared__ u32 warp_sums[GROUP_WARPS];
    u32* row = counts + (i64)blockIdx.x * tiles;
    u32 before = 0;
    for (u32 base = 0; base < tiles; base += blockDim.x) {
        const u32 at = base + threadIdx.x, value = at < tiles ? row[at] : 0;
        u32 total;
        const u32 sum = exclusive_sum(value, warp_sums, total);
        if (at < tiles) row[at] = before + sum;
        before += total;
    }
    if (threadIdx.x == 0) totals[blockIdx.x] = before;
}

// Puts every item behind those with a lower digit, and those with its digit that come before it. `items` is null in the
// first pass, where item i stands at i. One block a tile; a warp has consecutive items.
__device__ inline void group_scatter(const u32* keys, const u32* items, u32 count, u32 groups, u32 shift, const u32* counts,
                                     const u32* totals, u32* out_keys, u32* out_items) {
    __shared__ u32 next[GROUP_WARPS][DIGITS], warp_sums[GROUP_WARPS];
    const u32 lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    for (u32 i = threadIdx.x; i < GROUP_WARPS * DIGITS; i += blockDim.x) (&next[0][0])[i] = 0;
    u32 total;
    u32 place = exclusive_sum(totals[threadIdx.x], warp_sums, total);
    place += counts[(i64)threadIdx.x * gridDim.x + blockIdx.x];
    const i64 first = (i64)blockIdx.x * GROUP_TILE + warp * (32 * ITEMS_PER_LANE) + lane;
    u32 key[ITEMS_PER_LANE], rank[ITEMS_PER_LANE];
    __syncthreads();
#pragma unroll
    for (u32 i = 0; i < ITEMS_PER_LANE; ++i) {
        const i64 at = first + i * 32;
        const bool valid = at < count;
        key[i] = valid ? group_of(keys[at], groups) : 0;
        const u32 digit = key[i] >> shift & (DIGITS - 1), same = same_digit(digit, valid);
        const u32 before = __popc(same & ((1u << lane) - 1));
        if (valid) rank[i] = next[warp][digit] + before;
        __syncwarp();
        if (valid && before == 0) next[warp][digit] += __popc(same);
        __syncwarp();
    }
    __syncthreads();
    // From how many each warp has of a digit to where its first one goes.
#pragma unroll
    for (u32 w = 0; w < GROUP_WARPS; ++w) {
        const u32 mine = next[w][threadIdx.x];
        next[w][threadIdx.x] = place;
        place += mine;
    }
    __syncthreads();
#pragma unroll
    for (u32 i = 0; i < ITEMS_PER_LANE; ++i) {
        const i64 at = first + i * 32;
        if (at >= count) continue;
        const u32 to = next[warp][key[i] >> shift & (DIGITS - 1)] + rank[i];
        out_keys[to] = key[i];
        out_items[to] = items ? items[at] : (u32)at;
    }
}

// offsets[g] = how many of the ascending keys are below g; for g up to `groups`.
__device__ inline void group_offsets(const u32* keys, u32 count, u32 groups, u32* offsets) {
    for (i64 g = grid_thread(); g <= groups; g += grid_threads()) {
        u32 low = 0, high = count;
        while (low < high) {
            const u32 middle = low + (high - low) / 2;
            if (keys[middle] < g) low = middle + 1;
            else high = middle;
        }
        offsets[g] = low;
    }
}

} // namespace faiss
