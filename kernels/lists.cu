// Inverted lists: an array of entries for each kind of data (codes, ids), in which every list has a place of its own with room
// to grow. Moving, appending, and what a search needs to know of the lists that it looks into.
#include "common.cuh"

namespace faiss {

// Copies `bytes` by `lanes` threads, sixteen or four at a time where addresses and length allow.
__device__ __forceinline__ void copy_bytes(const unsigned char* source, unsigned char* target, u32 bytes, u32 lane, u32 lanes) {
    const u64 odd = (u64)source | (u64)target | bytes;
    if (odd % 16 == 0) {
        for (u32 i = lane; i < bytes / 16; i += lanes)
            reinterpret_cast<uint4*>(target)[i] = reinterpret_cast<const uint4*>(source)[i];
    } else if (odd % 4 == 0) {
        for (u32 i = lane; i < bytes / 4; i += lanes)
            reinterpret_cast<u32*>(target)[i] = reinterpret_cast<const u32*>(source)[i];
    } else {
        for (u32 i = lane; i < bytes; i += lanes) target[i] = source[i];
    }
}

// Copies every list to its place in another array. `splits` blocks a list. Places begin at multiples of 16 bytes and have
// whole ones, so that the last 16 bytes of a list may be copied in full.
__device__ inline void move_lists(const unsigned char* source, const i64* source_starts, unsigned char* target,
                                  const i64* target_starts, const u32* lengths, u32 width, u32 splits) {
    const u32 list = blockIdx.x / splits, split = blockIdx.x % splits;
    const i64 units = ((i64)lengths[list] * width + 15) / 16;
    const uint4* from = reinterpret_cast<const uint4*>(source + source_starts[list] * width);
    uint4* to = reinterpret_cast<uint4*>(target + target_starts[list] * width);
    for (i64 i = (i64)split * blockDim.x + threadIdx.x; i < units; i += (i64)splits * blockDim.x) to[i] = from[i];
}

// Appends entries to their lists: item order[p] is number p - groups[list] of those that come behind the list's `lengths`
// entries. One warp an entry.
__device__ inline void scatter_entries(const int* list_of, const u32* order, const u32* groups, u32 nlist, const i64* starts,
                                       const u32* lengths, const unsigned char* source, unsigned char* target, u32 width) {
    const u32 count = groups[nlist];
    for (i64 p = grid_thread() / 32; p < count; p += grid_threads() / 32) {
        const u32 item = order[p], list = (u32)list_of[item];
        const i64 at = starts[list] + lengths[list] + (u32)p - groups[list];
        copy_bytes(source + (i64)item * width, target + at * width, width, threadIdx.x % 32, 32);
    }
}

// For each query, where the entries of its lists go in its row of distances: places[query * (nprobe + 1) + p] is where those
// of list p begin, the last number is the row's length. Lists are labels of the quantizer; what is no list has no entries,
// and `max_codes` ends the row. One warp a query.
__device__ inline void probe_places(const i64* labels, const u32* list_lengths, u32 queries, u32 nprobe, u32 nlist,
                                    u32 max_codes, int* lists, u32* places, u32* row_lengths) {
    const u32 lane = threadIdx.x % 32;
    for (i64 query = grid_thread() / 32; query < queries; query += grid_threads() / 32) {
        u32* row = places + query * (nprobe + 1);
        u64 before = 0; // lists of billions, of which `max_codes` takes a part, add up to more than 32 bits hold
        for (u32 base = 0; base < nprobe; base += 32) {
            const u32 p = base + lane;
            u32 length = 0;
            if (p < nprobe) {
                const i64 label = labels[query * nprobe + p];
                const bool valid = label >= 0 && label < nlist;
                lists[query * nprobe + p] = valid ? (int)label : -1;
                length = valid ? list_lengths[label] : 0;
            }
            u64 sum = length;
#pragma unroll
            for (u32 step = 1; step < 32; step *= 2) {
                const u64 other = __shfl_up_sync(FULL_WARP, sum, step);
                if (lane >= step) sum += other;
            }
            if (p < nprobe) row[p] = (u32)min(before + sum - length, (u64)max_codes);
            before += __shfl_sync(FULL_WARP, sum, 31);
        }
        if (lane == 0) row[nprobe] = row_lengths[query] = (u32)min(before, (u64)max_codes);
    }
}

// Tiles of at most `width` pairs of one list each, from pairs grouped by list: tile t is of list tile_lists[t] and begins
// with pair tile_firsts[t] of the grouped order; `tile_count` is how many there are. One block.
__device__ inline void list_tiles(const u32* groups, u32 nlist, u32 width, u32* tile_lists, u32* tile_firsts, u32* tile_count) {
    __shared__ u32 warp_sums[32];
    const u32 lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    u32 before = 0;
    for (u32 base = 0; base < nlist; base += blockDim.x) {
        const u32 list = base + threadIdx.x;
        const u32 pairs = list < nlist ? groups[list + 1] - groups[list] : 0, tiles = (pairs + width - 1) / width;
        u32 sum = tiles;
#pragma unroll
        for (u32 step = 1; step < 32; step *= 2) {
            const u32 other = __shfl_up_sync(FULL_WARP, sum, step);
            if (lane >= step) sum += other;
        }
        if (lane == 31) warp_sums[warp] = sum;
        __syncthreads();
        u32 total = 0, place = before + sum - tiles;
        for (u32 w = 0; w < blockDim.x / 32; ++w) {
            if (w < warp) place += warp_sums[w];
            total += warp_sums[w];
        }
        for (u32 t = 0; t < tiles; ++t) {
            tile_lists[place + t] = list;
            tile_firsts[place + t] = groups[list] + t * width;
        }
        before += total;
        __syncthreads();
    }
    if (threadIdx.x == 0) *tile_count = before;
}

// Puts NaN for the distances of entries that a filter does not allow: a byte for each entry of the arena. One block a pair.
__device__ inline void mask_distances(const int* lists, const u32* places, u32 nprobe, const i64* starts,
                                      const unsigned char* allowed, float* distances, i64 stride) {
    const i64 query = blockIdx.x / nprobe;
    const u32 p = blockIdx.x % nprobe;
    const int list = lists[query * nprobe + p];
    if (list < 0) return;
    const u32 first = places[query * (nprobe + 1) + p], end = places[query * (nprobe + 1) + p + 1];
    for (u32 i = threadIdx.x; i < end - first; i += blockDim.x)
        if (!allowed[starts[list] + i]) distances[query * stride + first + i] = __uint_as_float(0x7fc00000u);
}

// The id of what stands at a position of a query's row of distances: that of one array that is not null, or list << 32 | offset.
__device__ __forceinline__ i64 label_of(i64 query, i64 position, const int* lists, const u32* places, u32 nprobe,
                                        const i64* starts, const i64* ids, const int* narrow_ids) {
    const u32* row = places + query * (nprobe + 1);
    // The last list that begins at the position or before it; empty ones begin where the next does.
    u32 low = 0, high = nprobe;
    while (high - low > 1) {
        const u32 middle = low + (high - low) / 2;
        if (row[middle] <= position) low = middle;
        else high = middle;
    }
    const i64 list = lists[query * nprobe + low], offset = position - row[low];
    const i64 entry = starts[list] + offset;
    return ids ? ids[entry] : narrow_ids ? narrow_ids[entry] : list << 32 | offset;
}

// Turns positions in rows of distances into ids, in place.
__device__ inline void place_labels(i64* labels, u32 queries, u32 k, const int* lists, const u32* places, u32 nprobe,
                                    const i64* starts, const i64* ids, const int* narrow_ids) {
    for (i64 at = grid_thread(); at < (i64)queries * k; at += grid_threads()) {
        if (labels[at] >= 0)
            labels[at] = label_of(at / k, labels[at], lists, places, nprobe, starts, ids, narrow_ids);
    }
}

// The same for positions of the rows that are given beside them.
__device__ inline void range_labels(i64* labels, const u32* rows, i64 count, const int* lists, const u32* places, u32 nprobe,
                                    const i64* starts, const i64* ids, const int* narrow_ids) {
    for (i64 at = grid_thread(); at < count; at += grid_threads())
        labels[at] = label_of(rows[at], labels[at], lists, places, nprobe, starts, ids, narrow_ids);
}

} // namespace faiss
