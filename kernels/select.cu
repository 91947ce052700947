// The k best values of each row of a matrix, best first, ties by lower position: the same result on every run.
//
// NaN and what is no better than the worst value (FLT_MAX, or -FLT_MAX where larger is better) have no key: such a place in
// the result keeps the worst value and id -1.
#include "keys.cuh"
#include "lanes.cuh"

namespace faiss {

// A row of values. Where `allowed` is given, a column counts only if its byte is not 0.
struct Row {
    const float* values;
    const unsigned char* allowed;

    __device__ __forceinline__ float operator[](u32 column) const {
        return allowed && !allowed[column] ? __uint_as_float(0x7fc00000u) : values[column];
    }
};

constexpr u32 BUFFER = 2048, PER_THREAD = 4;

// k up to 2048. Block b does part b % splits of row b / splits: it keeps the best k in order, and collects what beats the
// worst of them in a buffer that is sorted and merged when it may overflow. `best_*`, where given, is an earlier result of
// the same rows with lower ids, which takes part first. `row_columns`, where given, is the number of columns of each row. k_size is k rounded up to a power of two; shared memory holds
// k_size + 2048 keys.
__device__ inline void select_block(const float* values, i64 stride, u32 columns, const unsigned char* allowed,
                                    const u32* row_columns, const i64* ids,
                                    i64 first_id, const float* best_values, const i64* best_ids, u32 k, u32 k_size, u32 descending, u32 splits,
                                    float* out_values, i64* out_ids) {
    extern __shared__ u64 shared_keys[];
    __shared__ u32 filled;
    u64* best = shared_keys;
    u64* buffer = shared_keys + k_size;
    const i64 row_number = blockIdx.x / splits;
    const u32 split = blockIdx.x % splits, thread = threadIdx.x;
    const Row row = {values + row_number * stride, allowed};
    if (row_columns) columns = row_columns[row_number];
    const u32 earlier = best_values ? k : 0;
    const u32 part = (columns + splits - 1) / splits;
    const u32 begin = min(split * part, columns), end = min(begin + part, columns);

    for (u32 i = thread; i < k_size; i += blockDim.x)
        best[i] = i < earlier ? make_key(best_values[row_number * k + i], i, descending) : NO_KEY;
    if (thread == 0) filled = 0;
    __syncthreads();
    u64 limit = best[k - 1];

    // Sorts the buffer and merges it: of two ascending runs, the smaller of mirrored places are the best, bitonic.
    const auto flush = [&] {
        u32 size = 32;
        while (size < filled) size *= 2;
        for (u32 i = filled + thread; i < max(size, k_size); i += blockDim.x) buffer[i] = NO_KEY;
        __syncthreads();
        sort_keys(buffer, size);
        for (u32 i = thread; i < k_size; i += blockDim.x) best[i] = min(best[i], buffer[k_size - 1 - i]);
        if (thread == 0) filled = 0;
        __syncthreads();
        merge_keys(best, k_size);
        limit = best[k - 1];
    };

    const u32 round = blockDim.x * PER_THREAD;
    // At first everything is wanted: for small k a short first round tells soon what the others have to beat.
    const bool short_start = earlier == 0 && k_size <= 256;
    u32 take = short_start ? (k_size <= 128 ? 1 : 2) : PER_THREAD;
    for (u32 base = begin; base < end;) {
        float value[PER_THREAD];
#pragma unroll
        for (u32 j = 0; j < PER_THREAD; ++j) {
            const u32 column = base + j * blockDim.x + thread;
            value[j] = j < take && column < end ? row[column] : __uint_as_float(0x7fc00000u);
        }
        u32 last = 0;
#pragma unroll
        for (u32 j = 0; j < PER_THREAD; ++j) {
            const u64 key = make_key(value[j], earlier + base + j * blockDim.x + thread, descending);
            const bool wanted = key < limit;
            const u32 mask = __ballot_sync(FULL_WARP, wanted);
            if (mask == 0) continue;
            u32 start = 0;
            if (thread % 32 == 0) start = atomicAdd(&filled, __popc(mask));
            start = __shfl_sync(FULL_WARP, start, 0);
            if (wanted) buffer[start + __popc(mask & ((1u << thread % 32) - 1))] = key;
            last = start + __popc(mask);
        }
        const bool started = short_start && base == begin;
        if (__syncthreads_or(last + round > BUFFER) || started) flush();
        base += take * blockDim.x;
        take = PER_THREAD;
    }
    flush();

    for (u32 i = thread; i < k; i += blockDim.x) {
        const i64 at = ((i64)row_number * splits + split) * k + i;
        const u64 key = best[i];
        const u32 position = (u32)key;
        i64 id = -1;
        if (key != NO_KEY) {
            if (position < earlier)
                id = best_ids[row_number * k + position];
            else if (ids)
                id = ids[row_number * stride + (position - earlier)];
            else
                id = first_id + (position - earlier);
        }
        out_ids[at] = id;
        out_values[at] = key == NO_KEY ? (descending ? -WORST : WORST) : key_value(key, descending);
    }
}

// Any k, one block a row: finds the k-th smallest key digit by digit, then writes the keys up to it in any order, and
// NO_KEY up to `size`.
__device__ inline void select_radix(const float* values, i64 stride, u32 columns, const unsigned char* allowed,
                                    const u32* row_columns, u32 k, u32 descending, u64* keys, u32 size) {
    __shared__ u32 counts[256];
    __shared__ u64 shared_prefix;
    __shared__ u32 shared_left, done, written;
    const Row row = {values + blockIdx.x * stride, allowed};
    const u32 thread = threadIdx.x;
    if (row_columns) columns = row_columns[blockIdx.x];
    u64* out = keys + (i64)blockIdx.x * size;
    u64 prefix = 0; // the digits known so far, in place
    u32 left = k;   // the rank that is looked for among the keys with this prefix
    u64 last = NO_KEY - 1;
    for (int shift = 56; shift >= 0; shift -= 8) {
        for (u32 i = thread; i < 256; i += blockDim.x) counts[i] = 0;
        if (thread == 0) done = 0;
        __syncthreads();
        for (u32 base = 0; base < columns; base += blockDim.x) {
            const u32 column = base + thread;
            const u64 key = column < columns ? make_key(row[column], column, descending) : NO_KEY;
            const bool counts_here = key != NO_KEY && (shift == 56 || key >> (shift + 8) == prefix >> (shift + 8));
            const u32 mask = __ballot_sync(FULL_WARP, counts_here);
            if (mask == 0) continue;
            // The first digits are the exponent: mostly one for the whole warp, which then adds once.
            const u32 digit = key >> shift & 255, leader = __ffs(mask) - 1;
            const bool equal = digit == __shfl_sync(FULL_WARP, digit, leader);
            if (__ballot_sync(FULL_WARP, counts_here && equal) == mask) {
                if (thread % 32 == leader) atomicAdd(&counts[digit], __popc(mask));
            } else if (counts_here) {
                atomicAdd(&counts[digit], 1u);
            }
        }
        __syncthreads();
        if (thread == 0) {
            u32 digit = 0, rank = left;
            while (digit < 256 && counts[digit] < rank) rank -= counts[digit++];
            // Fewer keys than k: all are wanted. The whole digit wanted: the later digits don't matter.
            if (digit == 256) done = 2;
            else if (counts[digit] == rank) done = 1;
            shared_prefix = prefix | (u64)digit << shift;
            shared_left = rank;
        }
        __syncthreads();
        const u32 state = done;
        prefix = shared_prefix;
        left = shared_left;
        __syncthreads();
        if (state == 2) break;
        last = prefix | ((1ull << shift) - 1);
        if (state == 1) break;
    }
    if (thread == 0) written = 0;
    __syncthreads();
    for (u32 column = thread; column < columns; column += blockDim.x) {
        const u64 key = make_key(row[column], column, descending);
        if (key <= last) out[atomicAdd(&written, 1u)] = key;
    }
    __syncthreads();
    for (u32 i = written + thread; i < size; i += blockDim.x) out[i] = NO_KEY;
}

constexpr u32 CHUNK = 4096;

// Sorts every chunk of min(size, 4096) keys, or with `run` > 4096 finishes the phase of that run: its strides below 4096.
__device__ inline void sort_chunks(u64* keys, u32 chunk, u32 run) {
    __shared__ u64 shared[CHUNK];
    u64* mine = keys + (i64)blockIdx.x * chunk;
    for (u32 i = threadIdx.x; i < chunk; i += blockDim.x) shared[i] = mine[i];
    __syncthreads();
    if (run <= chunk) sort_keys(shared, chunk);
    else merge_keys(shared, chunk);
    for (u32 i = threadIdx.x; i < chunk; i += blockDim.x) mine[i] = shared[i];
}

// One step of a phase over all keys: mirrored places of a run first, then strides.
__device__ inline void sort_step(u64* keys, i64 count, u32 run, u32 stride) {
    for (i64 i = grid_thread(); i < count / 2; i += grid_threads()) {
        if (stride == run / 2) {
            const i64 inner = i & (stride - 1), start = (i - inner) * 2;
            order(keys[start + inner], keys[start + run - 1 - inner]);
        } else {
            const i64 low = 2 * i - (i & (stride - 1));
            order(keys[low], keys[low + stride]);
        }
    }
}

// The first k keys of each row of `size` as values and ids.
__device__ inline void unpack_keys(const u64* keys, u32 rows, u32 size, u32 k, u32 descending, i64 first_id,
                                   float* out_values, i64* out_ids) {
    for (i64 i = grid_thread(); i < (i64)rows * k; i += grid_threads()) {
        const u64 key = keys[i / k * size + i % k];
        out_ids[i] = key == NO_KEY ? -1 : first_id + (u32)key;
        out_values[i] = key == NO_KEY ? (descending ? -WORST : WORST) : key_value(key, descending);
    }
}

// Keys of the squared distances of each query to its k candidates, computed by differences, or of the inner products: where products decided
// who the candidates are, this tells their distances without cancellation. One warp a candidate; NO_KEY from k to `size`.
template <typename T>
__device__ void exact_keys(const T* queries, const T* vectors, u32 d, u32 query_count, u32 k, u32 size, u32 inner,
                           i64 first_id, const i64* ids, u64* keys) {
    const u32 lane = threadIdx.x % 32;
    for (i64 at = grid_thread() / 32; at < (i64)query_count * size; at += grid_threads() / 32) {
        const i64 row = at / size;
        const u32 place = at % size;
        const i64 id = place < k ? ids[row * k + place] : -1;
        u64 key = NO_KEY;
        if (id >= 0) {
            const float value = warp_value(queries + row * d, vectors + (id - first_id) * d, d, inner, lane);
            key = make_key(value, (u32)(id - first_id), inner);
        }
        if (lane == 0) keys[at] = key;
    }
}

} // namespace faiss
