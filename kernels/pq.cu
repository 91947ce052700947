// Product quantization: encoding, tables of distances, and the scan of inverted lists of codes.
//
// A code is M numbers of nbits bits, lowest bits first. Codebooks come in two layouts: `codebooks` is M x ksub x dsub as the
// quantizer has it, `transposed` is M x dsub x ksub, so that neighbouring threads read neighbouring centroids.
#include "keys.cuh"

namespace faiss {

typedef unsigned char u8;
typedef unsigned short u16;

constexpr float INFINITE = 3.402823466e+38f;

// The part of a row that subquantizer m sees begins at `column`; with `lists` given, its centroid is taken away. Rows of no
// list keep their value: nobody stores their code.
__device__ __forceinline__ float part_of_row(const float* rows, const int* lists, const float* centroids, i64 row, u32 d,
                                             u32 column) {
    const float value = rows[row * d + column];
    if (!lists) return value;
    const int list = lists[row];
    return list < 0 ? value : value - centroids[(i64)list * d + column];
}

// The nearest centroid of one part of each row: numbers[m * count + row]. For parts of at most DS numbers, which a thread
// keeps in registers for R rows while the centroids pass by in shared memory; missing numbers are 0 on both sides. Of equally
// near centroids the first one wins, as on the CPU.
template <u32 DS>
__device__ void pq_encode(const float* rows, const int* lists, const float* centroids, const float* codebooks, u32 d, u32 m_count,
                          u32 dsub, u32 ksub, u16* numbers, i64 count) {
    constexpr u32 R = DS == 1 ? 8 : DS <= 8 ? 4 : 2, CHUNK = 4096 / DS;
    __shared__ float shared[CHUNK * DS];
    const u32 m = blockIdx.x % m_count;
    const i64 first = (i64)(blockIdx.x / m_count) * blockDim.x * R + threadIdx.x;
    float x[R][DS], best[R];
    u32 number[R];
#pragma unroll
    for (u32 r = 0; r < R; ++r) {
        const i64 row = first + r * blockDim.x;
        best[r] = INFINITE;
        number[r] = 0;
#pragma unroll
        for (u32 i = 0; i < DS; ++i)
            x[r][i] = row < count && i < dsub ? part_of_row(rows, lists, centroids, row, d, m * dsub + i) : 0.0f;
    }
#pragma unroll 1
    for (u32 base = 0; base < ksub; base += CHUNK) {
        const u32 size = min(CHUNK, ksub - base);
        __syncthreads();
#pragma unroll 1
        for (u32 i = threadIdx.x; i < size * DS; i += blockDim.x) {
            const u32 j = i / DS, column = i % DS;
            shared[i] = column < dsub ? codebooks[((i64)m * ksub + base + j) * dsub + column] : 0.0f;
        }
        __syncthreads();
#pragma unroll(DS <= 4 ? 4 : 1)
        for (u32 j = 0; j < size; ++j) {
            float y[DS];
#pragma unroll
            for (u32 i = 0; i < DS; ++i) y[i] = shared[j * DS + i];
#pragma unroll
            for (u32 r = 0; r < R; ++r) {
                float sum = 0;
#pragma unroll
                for (u32 i = 0; i < DS; ++i) {
                    const float difference = x[r][i] - y[i];
                    sum = fmaf(difference, difference, sum);
                }
                if (sum < best[r]) {
                    best[r] = sum;
                    number[r] = base + j;
                }
            }
        }
    }
#pragma unroll
    for (u32 r = 0; r < R; ++r) {
        const i64 row = first + r * blockDim.x;
        if (row < count) numbers[m * count + row] = number[r];
    }
}

constexpr u32 TILE = 64, TILE_D = 16;

// The same for parts of any width: a block does 64 rows, 64 centroids at a time, through tiles of 16 numbers.
__device__ inline void pq_encode_wide(const float* rows, const int* lists, const float* centroids, const float* codebooks, u32 d,
                                      u32 m_count, u32 dsub, u32 ksub, u16* numbers, i64 count) {
    __shared__ float x[TILE_D][TILE + 1], y[TILE_D][TILE + 1];
    const u32 m = blockIdx.x % m_count;
    const i64 first = (i64)(blockIdx.x / m_count) * TILE;
    const u32 tx = threadIdx.x % 16, ty = threadIdx.x / 16;
    float best[4] = {INFINITE, INFINITE, INFINITE, INFINITE};
    u32 number[4] = {};
#pragma unroll 1
    for (u32 base = 0; base < ksub; base += TILE) {
        float sums[4][4] = {};
#pragma unroll 1
        for (u32 from = 0; from < dsub; from += TILE_D) {
            const u32 column = from + tx;
            __syncthreads();
            for (u32 i = ty; i < TILE; i += 16) {
                const i64 row = first + i;
                x[tx][i] = row < count && column < dsub
                               ? part_of_row(rows, lists, centroids, row, d, m * dsub + column)
                               : 0.0f;
                y[tx][i] = base + i < ksub && column < dsub
                               ? codebooks[((i64)m * ksub + base + i) * dsub + column]
                               : 0.0f;
            }
            __syncthreads();
#pragma unroll
            for (u32 i = 0; i < TILE_D; ++i)
#pragma unroll
                for (u32 r = 0; r < 4; ++r)
#pragma unroll
                    for (u32 c = 0; c < 4; ++c) {
                        const float difference = x[i][ty * 4 + r] - y[i][tx + 16 * c];
                        sums[r][c] = fmaf(difference, difference, sums[r][c]);
                    }
        }
#pragma unroll
        for (u32 r = 0; r < 4; ++r)
#pragma unroll
            for (u32 c = 0; c < 4; ++c) {
                const u32 j = base + tx + 16 * c;
                if (j < ksub && sums[r][c] < best[r]) {
                    best[r] = sums[r][c];
                    number[r] = j;
                }
            }
    }
#pragma unroll
    for (u32 r = 0; r < 4; ++r) {
#pragma unroll
        for (u32 step = 8; step > 0; step /= 2) {
            const float other = __shfl_xor_sync(FULL_WARP, best[r], step);
            const u32 other_number = __shfl_xor_sync(FULL_WARP, number[r], step);
            if (other < best[r] || (other == best[r] && other_number < number[r])) {
                best[r] = other;
                number[r] = other_number;
            }
        }
        const i64 row = first + ty * 4 + r;
        if (tx == 0 && row < count) numbers[m * count + row] = number[r];
    }
}

// The codes of numbers[m * count + row], code_size bytes a row.
__device__ inline void pq_pack(const u16* numbers, i64 count, u32 m_count, u32 nbits, u32 code_size, u8* codes) {
#pragma unroll 1
    for (i64 row = grid_thread(); row < count; row += grid_threads()) {
        u8* code = codes + row * code_size;
        u32 buffer = 0, filled = 0;
#pragma unroll 1
        for (u32 m = 0; m < m_count; ++m) {
            buffer |= (u32)numbers[m * count + row] << filled;
#pragma unroll 1
            for (filled += nbits; filled >= 8; filled -= 8) {
                *code++ = (u8)buffer;
                buffer >>= 8;
            }
        }
        if (filled > 0) *code = (u8)buffer;
    }
}

// The numbers of one part of a distance that depends on the vector x - origin and a centroid r:
//   difference: ||x - r||^2, else norm * ||r||^2 + scale * <x - origin, r>
struct TableKind {
    float norm, scale;
    u32 difference;
};

__device__ __forceinline__ void fill_table(float* table, const float* x, const float* origin, const float* transposed,
                                           u32 m_count, u32 dsub, u32 nbits, TableKind kind) {
    const u32 ksub = 1u << nbits, size = m_count << nbits;
#pragma unroll 1
    for (u32 i = threadIdx.x; i < size; i += blockDim.x) {
        const u32 column = (i >> nbits) * dsub;
        const float* r = transposed + (i64)column * ksub + (i & (ksub - 1));
        float sum = 0;
#pragma unroll 4
        for (u32 j = 0; j < dsub; ++j) {
            const float v = origin ? x[column + j] - origin[column + j] : x[column + j];
            const float w = r[(i64)j * ksub];
            if (kind.difference)
                sum = fmaf(v - w, v - w, sum);
            else
                sum = fmaf(w, fmaf(kind.norm, w, kind.scale * v), sum);
        }
        table[i] = sum;
    }
}

// Tables of vectors in global memory, for those that do not fit into shared memory. Blocks: vectors.
__device__ inline void pq_tables(const float* vectors, const float* origin, const float* transposed, u32 d, u32 m_count,
                                 u32 dsub, u32 nbits, float norm, float scale, u32 difference, float* tables) {
    fill_table(tables + ((i64)blockIdx.x * m_count << nbits), vectors + (i64)blockIdx.x * d, origin, transposed, m_count, dsub,
               nbits, {norm, scale, difference});
}

// Calls f(m, number) for the numbers of a code. `unit`: bytes that may be loaded at once, by the alignment of codes.
template <u32 BITS, typename F>
__device__ __forceinline__ void for_each_number(const u8* code, u32 m_count, u32 nbits, u32 unit, F f) {
    if (BITS == 8) {
#pragma unroll 4
        for (u32 m = 0; m < m_count; ++m) f(m, (u32)code[m]);
        return;
    }
    u64 buffer = 0;
    u32 filled = 0;
    const u32 mask = (1u << nbits) - 1;
    const u32* words = reinterpret_cast<const u32*>(code);
#pragma unroll 1
    for (u32 m = 0; m < m_count; ++m) {
        if (unit >= 4) {
            if (filled < nbits) {
                buffer |= (u64)*words++ << filled;
                filled += 32;
            }
        } else {
#pragma unroll 1
            for (; filled < nbits; filled += 8) buffer |= (u64)*code++ << filled;
        }
        f(m, (u32)buffer & mask);
        buffer >>= nbits;
        filled -= nbits;
    }
}

// The sum of the entries of the table that a code names.
template <u32 BITS>
__device__ __forceinline__ float look_up(const float* table, const u8* code, u32 m_count, u32 nbits, u32 unit) {
    float a = 0, b = 0, c = 0, e = 0;
    if (BITS == 8 && unit >= 4) {
        const auto add_word = [&](u32 word) {
            a += table[word & 255];
            b += table[256 + (word >> 8 & 255)];
            c += table[512 + (word >> 16 & 255)];
            e += table[768 + (word >> 24)];
            table += 1024;
        };
        if (unit == 16) {
            const uint4* words = reinterpret_cast<const uint4*>(code);
#pragma unroll 2
            for (u32 m = 0; m < m_count; m += 16) {
                const uint4 four = *words++;
                add_word(four.x);
                add_word(four.y);
                add_word(four.z);
                add_word(four.w);
            }
        } else {
            const u32* words = reinterpret_cast<const u32*>(code);
#pragma unroll 4
            for (u32 m = 0; m < m_count; m += 4) add_word(*words++);
        }
        return (a + b) + (c + e);
    }
    for_each_number<BITS>(code, m_count, nbits, unit, [&](u32 m, u32 number) { a += table[(m << nbits) + number]; });
    return a;
}

// The parts of squared distances that depend on no query, for the codes of every list: ||r||^2 + 2 <c - origin, r> of a decoded
// residual r and its list's centroid c, at the code's place. Block b does part b % splits of list b / splits.
template <u32 BITS>
__device__ void pq_terms(const float* centroids, const float* origin, const float* codebooks, u32 d, u32 m_count, u32 dsub,
                         u32 nbits, const i64* offsets, const u32* lengths, const u8* codes, u32 code_size, u32 splits,
                         float* terms) {
    const i64 list = blockIdx.x / splits;
    const u32 length = lengths[list];
    const float* centroid = centroids + list * d;
    for (u32 i = blockIdx.x % splits * blockDim.x + threadIdx.x; i < length; i += splits * blockDim.x) {
        const i64 at = offsets[list] + i;
        float sum = 0;
        for_each_number<BITS>(codes + at * code_size, m_count, nbits, 1, [&](u32 m, u32 number) {
            const float* r = codebooks + (((i64)m << nbits) + number) * dsub;
#pragma unroll 4
            for (u32 j = 0; j < dsub; ++j) {
                const float v = r[j], c = centroid[m * dsub + j] - origin[m * dsub + j];
                sum = fmaf(v, v + 2 * c, sum);
            }
        });
        terms[at] = sum;
    }
}

// Squared distances, or inner products, of queries to the centroids of their lists; one warp a pair. 0 for no list.
__device__ inline void pair_distances(const float* queries, const float* centroids, const int* lists, u32 nprobe, u32 d,
                                      u32 inner, float* distances, i64 pairs) {
    for (i64 pair = grid_thread() / 32; pair < pairs; pair += grid_threads() / 32) {
        const int list = lists[pair];
        const float* x = queries + pair / nprobe * d;
        const float* c = centroids + (i64)max(list, 0) * d;
        float sum = 0;
#pragma unroll 1
        for (u32 i = threadIdx.x % 32; i < d; i += 32)
            sum = inner ? fmaf(x[i], c[i], sum) : fmaf(x[i] - c[i], x[i] - c[i], sum);
        sum = warp_sum(sum);
        if (threadIdx.x % 32 == 0) distances[pair] = list < 0 ? 0.0f : sum;
    }
}

// The last p with places[p] <= i: the probe that position i is in.
__device__ __forceinline__ u32 probe_of(const u32* places, u32 nprobe, u32 i) {
    u32 low = 0, high = nprobe;
#pragma unroll 1
    while (high - low > 1) {
        const u32 middle = (low + high) / 2;
        if (places[middle] <= i) low = middle;
        else high = middle;
    }
    return low;
}

// The best k keys that a block has met, and those that it collects before it sorts: `best` and `buffer` are in shared memory.
struct Collected {
    u64 *best, *buffer;
    u32* filled;
    u32 k, k_size, buffer_size;
    u64 limit; // no key from here on is wanted

    // Called by whole warps; `last` is where the warp's keys end.
    __device__ __forceinline__ void add(u64 key, u32& last) {
        const bool wanted = key < limit;
        const u32 mask = __ballot_sync(FULL_WARP, wanted), lane = threadIdx.x % 32;
        if (mask == 0) return;
        u32 start = 0;
        if (lane == 0) start = atomicAdd(filled, __popc(mask));
        start = __shfl_sync(FULL_WARP, start, 0);
        if (wanted) buffer[start + __popc(mask & ((1u << lane) - 1))] = key;
        last = start + __popc(mask);
    }

    // Called by the block after as many keys as fill half of the buffer, or when no more come.
    __device__ __forceinline__ void end_round(u32 last, bool more) {
        // A first limit early saves most of the rest from entering the buffer.
        if (!__syncthreads_or(!more || last + buffer_size / 2 > buffer_size || (limit == NO_KEY && last >= k))) return;
        // Sorts the buffer and merges it: of two ascending runs, the smaller of mirrored places are the best, bitonic.
        u32 size = 32;
#pragma unroll 1
        while (size < *filled) size *= 2;
#pragma unroll 1
        for (u32 i = *filled + threadIdx.x; i < max(size, k_size); i += blockDim.x) buffer[i] = NO_KEY;
        __syncthreads();
        sort_keys(buffer, size);
#pragma unroll 1
        for (u32 i = threadIdx.x; i < k_size; i += blockDim.x) best[i] = min(best[i], buffer[k_size - 1 - i]);
        if (threadIdx.x == 0) *filled = 0;
        __syncthreads();
        merge_keys(best, k_size);
        limit = best[k - 1];
    }

    // Values and positions, best first, from `at` on.
    __device__ __forceinline__ void write(bool negate, float* values, i64* ids, i64 at) const {
#pragma unroll 1
        for (u32 i = threadIdx.x; i < k; i += blockDim.x) {
            const u64 key = best[i];
            const float value = key == NO_KEY ? WORST : key_value(key, false);
            ids[at + i] = key == NO_KEY ? -1 : (i64)(u32)key;
            values[at + i] = negate ? 0.0f - value : value;
        }
    }
};

// The distances of queries to the codes of their probed lists: the table's sum, plus the coarse distance times `coarse_scale`,
// plus the code's own term. Smaller is better; `negate` turns them round at the end.
//
// A code's position counts over all probes of its query, in order: those of probe p begin at places[query * (nprobe + 1) + p],
// and the last of these numbers is the total, at most 2^32 - 2^16. Only the first `seen` positions are looked at. Block b does part b % splits of the positions of query
// b / splits. With `distances` given it writes them all, NaN for codes that are not allowed. Otherwise it keeps the best k,
// whose ids are their positions: ties go to the lower one, so the result does not depend on splits.
//
// The table is `tables`, or made in shared memory. Shared memory: k_size + buffer_size keys, buffer_size >= k_size and at least
// two blocks, then the table.
template <u32 BITS, u32 SHARED>
__device__ void pq_scan(const float* queries, const float* origin, const float* transposed, const float* tables, float norm,
                        float scale, u32 difference, u32 d, u32 m_count, u32 dsub, u32 nbits, const int* lists,
                        const float* coarse, float coarse_scale, const u32* places, u32 nprobe, u32 seen,
                        const i64* offsets, const u8* codes, u32 code_size, u32 unit, const float* terms, const u8* allowed, u32 splits, u32 k,
                        u32 k_size, u32 buffer_size, u32 negate, float* out_values, i64* out_ids, float* distances,
                        i64 stride) {
    extern __shared__ u64 shared_keys[];
    __shared__ u32 filled;
    Collected found = {shared_keys, shared_keys + k_size, &filled, k, k_size, buffer_size, NO_KEY};
    const i64 query = blockIdx.x / splits;
    const u32 split = blockIdx.x % splits, thread = threadIdx.x;
    const float* table;
    if (SHARED) {
        float* own = reinterpret_cast<float*>(shared_keys + k_size + buffer_size);
        fill_table(own, queries + query * d, origin, transposed, m_count, dsub, nbits, {norm, scale, difference});
        table = own;
    } else {
        table = tables + (query * m_count << nbits);
    }
    places += query * (nprobe + 1);
    const u64 total = min(places[nprobe], seen);
    const u32 part = (u32)((total + splits - 1) / splits);
    const u32 begin = (u32)min((u64)split * part, total), end = (u32)min((u64)begin + part, total);
#pragma unroll 1
    for (u32 i = thread; i < k_size; i += blockDim.x) found.best[i] = NO_KEY;
    if (thread == 0) filled = 0;
    __syncthreads();

    // The list that this thread is in: it ends at position `stop`, and position i is at place `place + i`.
    u32 probe = probe_of(places, nprobe, begin + thread), stop = 0;
    i64 place = 0;
    float base = 0;
    const auto enter = [&] {
        const int list = lists[query * nprobe + probe];
        stop = places[probe + 1];
        if (list < 0) return; // it has no positions
        place = offsets[list] - places[probe];
        base = coarse ? coarse[query * nprobe + probe] * coarse_scale : 0.0f;
    };
    if (begin + thread < end) enter();

    const u32 round = buffer_size / 2;
    u32 from = begin;
    bool more = true;
#pragma unroll 1
    while (more) {
        const u32 to = (u32)min((u64)from + round, (u64)end);
        u32 last = 0;
#pragma unroll 1
        for (; from < to; from += blockDim.x) {
            const u32 i = from + thread;
            u64 key = NO_KEY;
            if (i < to) {
#pragma unroll 1
                while (i >= stop) {
                    ++probe;
                    enter();
                }
                const i64 at = place + i;
                if (!allowed || allowed[at]) {
                    float value = look_up<BITS>(table, codes + at * code_size, m_count, nbits, unit) + base;
                    if (terms) value += terms[at];
                    if (distances) distances[query * stride + i] = negate ? 0.0f - value : value;
                    else key = make_key(value, i, false);
                } else if (distances) {
                    distances[query * stride + i] = __uint_as_float(0x7fc00000u);
                }
            }
            if (!distances) found.add(key, last);
        }
        from = to;
        more = from < end;
        if (!distances) found.end_round(last, more);
    }
    if (!distances) found.write(negate, out_values, out_ids, (query * splits + split) * k);
}

// The last step of a filtered scan: the best k of what the first `seen` positions gave (`best_*`) and of the candidates that
// the filter left; or of all further codes where there were more than `capacity`. Codes of 8 bits, tables in shared memory.
// One block a query; shared memory as for a scan.
__device__ inline void pq_finish(const float* queries, const float* origin, const float* transposed, float scale, u32 d,
                                 u32 m_count, u32 dsub, const int* lists, const float* coarse, float coarse_scale,
                                 const u32* places, u32 nprobe, u32 seen, const i64* offsets, const u8* codes, u32 code_size,
                                 u32 unit, const float* terms, const u8* allowed, const u32* counts, const u32* candidates,
                                 u32 capacity, const float* best_values, const i64* best_ids, u32 k, u32 k_size,
                                 u32 buffer_size, u32 negate, float* out_values, i64* out_ids) {
    extern __shared__ u64 shared_keys[];
    __shared__ u32 filled;
    Collected found = {shared_keys, shared_keys + k_size, &filled, k, k_size, buffer_size, NO_KEY};
    const i64 query = blockIdx.x;
    const u32 count = counts[query];
    float* table = reinterpret_cast<float*>(shared_keys + k_size + buffer_size);
    if (count > 0) fill_table(table, queries + query * d, origin, transposed, m_count, dsub, 8, {0, scale, 0});
#pragma unroll 1
    for (u32 i = threadIdx.x; i < k_size; i += blockDim.x) {
        u64 key = NO_KEY;
        if (i < k && best_ids[query * k + i] >= 0) {
            const float value = best_values[query * k + i];
            key = make_key(negate ? 0.0f - value : value, (u32)best_ids[query * k + i], false);
        }
        found.best[i] = key;
    }
    if (threadIdx.x == 0) filled = 0;
    __syncthreads();
    found.limit = found.best[k - 1];
    places += query * (nprobe + 1);
    const bool all = count > capacity;
    const u32 first = min(places[nprobe], seen), end = all ? places[nprobe] - first : count, round = buffer_size / 2;
    u32 from = 0;
#pragma unroll 1
    while (from < end) {
        const u32 to = (u32)min((u64)from + round, (u64)end);
        u32 last = 0;
#pragma unroll 1
        for (; from < to; from += blockDim.x) {
            const u32 i = from + threadIdx.x;
            u64 key = NO_KEY;
            if (i < to) {
                const u32 position = all ? first + i : candidates[query * capacity + i];
                const u32 probe = probe_of(places, nprobe, position);
                const int list = lists[query * nprobe + probe];
                const i64 at = offsets[list] - places[probe] + position;
                if (!allowed || allowed[at]) {
                    const float base = coarse ? coarse[query * nprobe + probe] * coarse_scale : 0.0f;
                    float value = look_up<8>(table, codes + at * code_size, m_count, 8, unit) + base;
                    if (terms) value += terms[at];
                    key = make_key(value, position, false);
                }
            }
            found.add(key, last);
        }
        from = to;
        found.end_round(last, from < end);
    }
    found.write(negate, out_values, out_ids, query * k);
}

} // namespace faiss
