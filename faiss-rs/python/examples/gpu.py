"""An index on a GPU, with the calls that it has on the CPU; on several GPUs; and without an index."""

import faiss
import numpy as np

d = 64
rng = np.random.default_rng(0)
vectors, queries = rng.random((100_000, d), dtype="float32"), rng.random((100, d), dtype="float32")

resources = faiss.StandardGpuResources()  # once a process
index = faiss.index_factory(d, "IVF256,Flat")  # on the CPU, empty
index = faiss.index_cpu_to_gpu(resources, 0, index)  # the same calls from here on
index.train(vectors)
index.add(vectors)
index.nprobe = 32
distances, ids = index.search(queries, 10)

# Exact, from arrays, without an index.
_, exact = faiss.knn_gpu(resources, queries, vectors, 10)
print(f"{faiss.eval_intersection(ids, exact) / exact.size:.1%} of the nearest with nprobe = 32")

# For a file, or a machine without a GPU.
on_cpu = faiss.index_gpu_to_cpu(index)

# Half the memory for vectors of a flat index, half of it for ids.
options = faiss.GpuClonerOptions()
options.useFloat16 = True
options.indicesOptions = faiss.INDICES_32_BIT
halves = faiss.index_cpu_to_gpu(resources, 0, faiss.IndexFlatL2(d), options)
halves.add(vectors)

# A part of the vectors on each of all GPUs; without options, all of them on each.
options = faiss.GpuMultipleClonerOptions()
options.shard = True
parts = faiss.index_cpu_to_all_gpus(on_cpu, options)
print(f"{parts.ntotal} vectors on {faiss.get_num_gpus()} GPUs")

# Only training on GPUs.
kmeans = faiss.Kmeans(d, 100, gpu=True)
kmeans.train(vectors)
