//! The extension module `faiss._faiss`: everything native that the Python package `faiss` stands on. Sees core and gpu.
//!
//! | file | what |
//! |---|---|
//! | doorway | the one way in: releases the GIL, converts errors and panics |
//! | interrupt, lock | Ctrl-C, also while another thread has the object |
//! | catalogue | the descriptions of all types, as Python data |
//! | value | arguments and results |
//! | declared | calls of the library's functions |
//! | object, vector | handles to objects, their parts and their vectors |
//! | index, io, functions, clustering | the methods that every index has, files, functions on arrays, k-means |
//! | gpu | GPUs, cloners, search without an index |
//! | own_types, callbacks | types that exist for Python only: vectors of their own, and what calls Python back |
//!
//! Nothing here knows numpy conventions of Faiss or makes Python classes: the package does that, in Python.

mod binary;
mod callbacks;
mod catalogue;
mod clustering;
mod declared;
mod doorway;
mod functions;
mod gpu;
mod index;
mod interrupt;
mod io;
mod object;
mod own_types;
mod value;
mod vector;

use pyo3::prelude::*;

#[pymodule]
mod _faiss {
    use super::*;

    #[pymodule_export]
    use binary::{binary_to_real, hamming_range_search, hammings, hammings_knn, index_binary_factory, real_to_binary};
    #[pymodule_export]
    use callbacks::{callback_selector, callback_stream};
    #[pymodule_export]
    use catalogue::{describe, describe_function, function_names, type_names};
    #[pymodule_export]
    use clustering::{clustering_train, kmeans_clustering};
    #[pymodule_export]
    use declared::call_function;
    #[pymodule_export]
    use functions::{
        avx512_split, byte_rand, detected_simd_level, dispatched_simd_level, float_rand, float_randn,
        get_deserialization_limit, get_global, int64_rand, is_similarity_metric, kmeans1d, knn, merge_knn_results,
        normalize_l2, omp_get_max_threads, omp_set_num_threads, pairwise_distances, rand_perm,
        set_deserialization_limit, set_global, set_simd_level, show_progress, simd_level, simd_levels,
    };
    #[pymodule_export]
    use gpu::{
        bf_knn, gpu_add, gpu_check, gpu_count, gpu_launch_count, gpu_launches, gpu_libraries, gpu_properties, gpu_read,
        gpu_search, gpu_set_library_dir, gpu_sha256, gpu_takes_arrays, gpu_versions, index_binary_cpu_to_gpu,
        index_binary_cpu_to_gpu_multiple, index_binary_gpu_to_cpu, index_cpu_to_gpu, index_cpu_to_gpu_multiple,
        index_gpu_to_cpu,
    };
    #[pymodule_export]
    use index::{
        add, add_sa_codes, add_with_ids, assign, binary_add, binary_add_sa_codes, binary_add_with_ids, binary_assign,
        binary_check_compatible_for_merge, binary_merge_from, binary_range_search, binary_reconstruct,
        binary_reconstruct_n, binary_remove_ids, binary_reset, binary_search, binary_search_and_reconstruct,
        binary_train, check_compatible_for_merge, distance_between, distance_to, is_member, merge_from, range_search,
        reconstruct, reconstruct_batch, reconstruct_n, remove_ids, reset, sa_code_size, sa_decode, sa_encode, search,
        search_and_reconstruct, search_few, search_subset, train,
    };
    #[pymodule_export]
    use interrupt::{set_timeout, timed_out};
    #[pymodule_export]
    use io::{
        buffered_stream, clone_object, deserialize_index, deserialize_index_binary, index_factory, read_bytes,
        read_index, read_index_binary, read_index_binary_from, read_index_from, read_inverted_lists, read_object_from,
        read_product_quantizer, serialize_index, write_bytes, write_index, write_index_to, write_inverted_lists,
        write_null, write_product_quantizer,
    };
    #[pymodule_export]
    use object::{NativeObject, construct};
    #[pymodule_export]
    use vector::{NativeMemory, NativeVector, NativeView, list_view};

    #[pymodule_init]
    fn init(m: &Bound<'_, PyModule>) -> PyResult<()> {
        interrupt::install();
        // The first use of arrays asks numpy for its version, half a millisecond by regular expressions: not in somebody's first call.
        drop(numpy::dtype::<f32>(m.py()));
        m.add("VERSION", env!("CARGO_PKG_VERSION"))
    }
}
