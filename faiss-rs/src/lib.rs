//! Similarity search: the Faiss library in Rust.
//!
//! | concept | here | in Faiss |
//! |---|---|---|
//! | an index | [`Index`], one type a kind: [`IndexFlatL2`], [`IndexIVFPQ`], ... or [`index_factory`] | `faiss::Index` and its subclasses |
//! | inheritance | the parent is an embedded field, reached by `Deref`: `index.d` | C++ inheritance |
//! | another object, pointed to | [`Shared`]: clones are aliases | raw pointers and `own_fields` |
//! | which ids count | [`IDSelector`], inside [`SearchParameters`] | `faiss::IDSelector` |
//! | distances without an index | [`knn`], [`pairwise_distances`], module [`distance`] | `faiss/utils/distances.h` |
//! | functions on memory | [`distance::vectors`], [`distance::by_number`], [`quantize::bit_vectors`], [`index::ivf::within`], ...: all are listed by [`registry::functions`] | free functions |
//! | files | [`io`]: [`read_index_file`], [`write_index_file`], [`serialize_index`] | `index_io.h` |
//! | a type of one's own | `#[derive(Object)]` ([`Object`](derive@Object)) and the trait: [`Index`], [`IDSelector`], ...; see `examples/own_types.rs` | a subclass |
//! | types as data | [`registry`], [`TypeInfo`]: fields, methods, constructors, formats | the SWIG layer |
//! | random numbers | [`random`]: the same seeds give the same numbers | `utils/random.h` |
//! | threads, Ctrl-C, progress | [`base::threads`], [`base::interrupt`], [`base::progress`] | OpenMP, `InterruptCallback` |
//!
//! Faiss's conventions hold: vectors are rows of `d` f32 numbers, ids are `i64` and -1 is no result, the L2 metric is the squared distance.
//!
//! ```
//! use faiss::{Index, IndexFlatL2};
//!
//! let mut index = IndexFlatL2::new(2)?;
//! index.add(&[0.0, 0.0, 3.0, 4.0])?;
//! let (mut distances, mut labels) = ([0.0; 2], [0; 2]);
//! index.search(&[3.0, 3.0], 2, None, &mut distances, &mut labels)?;
//! assert_eq!((distances, labels), ([1.0, 18.0], [1, 0]));
//! # Ok::<(), faiss::Error>(())
//! ```

#![warn(missing_docs)]

pub use faiss_core::base::object::copy as clone_index;
pub use faiss_core::base::{self, Error, Handle, MetricType, Object, Result, Shared, TypeInfo, Value};
pub use faiss_core::cluster::super_kmeans::{SuperKMeans, SuperKMeansParameters};
pub use faiss_core::cluster::{
    self, Clustering, Clustering1D, ClusteringInitialization, ClusteringParameters, kmeans_clustering,
};
pub use faiss_core::distance::matrix_stats::MatrixStats;
pub use faiss_core::distance::{self, knn, merge_knn_results, pairwise_distances};
pub use faiss_core::factory::index_factory;
pub use faiss_core::graph::{self, HNSW};
pub use faiss_core::index::additive::{
    IndexLocalSearchQuantizer, IndexProductLocalSearchQuantizer, IndexProductResidualQuantizer, IndexResidualQuantizer,
};
pub use faiss_core::index::additive_coarse::{LocalSearchCoarseQuantizer, ResidualCoarseQuantizer};
pub use faiss_core::index::eden::IndexEDEN;
pub use faiss_core::index::fast_scan::additive::{
    IndexLocalSearchQuantizerFastScan, IndexProductLocalSearchQuantizerFastScan, IndexProductResidualQuantizerFastScan,
    IndexResidualQuantizerFastScan,
};
pub use faiss_core::index::fast_scan::pq::IndexPQFastScan;
pub use faiss_core::index::fast_scan::rabitq::IndexRaBitQFastScan;
pub use faiss_core::index::flat::IndexFlat;
pub use faiss_core::index::flat_1d::IndexFlat1D;
pub use faiss_core::index::flat_ip::IndexFlatIP;
pub use faiss_core::index::flat_l2::IndexFlatL2;
pub use faiss_core::index::flat_panorama::{IndexFlatIPPanorama, IndexFlatL2Panorama, IndexFlatPanorama};
pub use faiss_core::index::hnsw::IndexHNSW;
pub use faiss_core::index::hnsw::cagra::IndexHNSWCagra;
pub use faiss_core::index::hnsw::flat::IndexHNSWFlat;
pub use faiss_core::index::hnsw::flat_panorama::IndexHNSWFlatPanorama;
pub use faiss_core::index::hnsw::params::SearchParametersHNSW;
pub use faiss_core::index::hnsw::pq::IndexHNSWPQ;
pub use faiss_core::index::hnsw::rabitq::IndexHNSWRaBitQ;
pub use faiss_core::index::hnsw::sq::IndexHNSWSQ;
pub use faiss_core::index::hnsw::two_level::IndexHNSW2Level;
pub use faiss_core::index::id_map::{IndexIDMap, IndexIDMap2};
pub use faiss_core::index::ivf::IndexIVF;
pub use faiss_core::index::ivf::additive::{
    IndexIVFLocalSearchQuantizer, IndexIVFProductLocalSearchQuantizer, IndexIVFProductResidualQuantizer,
    IndexIVFResidualQuantizer,
};
pub use faiss_core::index::ivf::additive_fast_scan::{
    IndexIVFLocalSearchQuantizerFastScan, IndexIVFProductLocalSearchQuantizerFastScan,
    IndexIVFProductResidualQuantizerFastScan, IndexIVFResidualQuantizerFastScan,
};
pub use faiss_core::index::ivf::eden::IndexIVFEDEN;
pub use faiss_core::index::ivf::flat::IndexIVFFlat;
pub use faiss_core::index::ivf::flat_panorama::IndexIVFFlatPanorama;
pub use faiss_core::index::ivf::independent::IndexIVFIndependentQuantizer;
pub use faiss_core::index::ivf::params::{IVFPQSearchParameters, IVFSQTurboQSearchParameters, SearchParametersIVF};
pub use faiss_core::index::ivf::pq::IndexIVFPQ;
pub use faiss_core::index::ivf::pq_fast_scan::IndexIVFPQFastScan;
pub use faiss_core::index::ivf::rabitq::{IVFRaBitQSearchParameters, IndexIVFRaBitQ};
pub use faiss_core::index::ivf::rabitq_fast_scan::IndexIVFRaBitQFastScan;
pub use faiss_core::index::ivf::scalar::IndexIVFScalarQuantizer;
pub use faiss_core::index::ivf::spectral_hash::IndexIVFSpectralHash;
pub use faiss_core::index::lsh::IndexLSH;
pub use faiss_core::index::neural::{IndexNeuralNetCodec, IndexQINCo};
pub use faiss_core::index::nn_descent::{IndexNNDescent, IndexNNDescentFlat};
pub use faiss_core::index::nsg::{IndexNSG, IndexNSGFlat, IndexNSGPQ, IndexNSGSQ};
pub use faiss_core::index::pq::IndexPQ;
pub use faiss_core::index::pretransform::IndexPreTransform;
pub use faiss_core::index::rabitq::{IndexRaBitQ, RaBitQSearchParameters};
pub use faiss_core::index::refine::{IndexRefine, IndexRefineFlat, IndexRefinePanorama};
pub use faiss_core::index::rowwise_minmax::{IndexRowwiseMinMax, IndexRowwiseMinMaxFP16};
pub use faiss_core::index::scalar::IndexScalarQuantizer;
pub use faiss_core::index::shards::{IndexReplicas, IndexShards};
pub use faiss_core::index::{self, Index, IndexBase, RangeSearchResult, SearchParameters};
pub use faiss_core::io::{
    self, deserialize_index, read_index, read_index_file, serialize_index, write_index, write_index_file,
};
pub use faiss_core::quantize::neural::{NeuralNetCodec, QINCo};
pub use faiss_core::quantize::product::ProductQuantizer;
pub use faiss_core::quantize::scalar::{ScalarQuantizer, kind as scalar_quantizer_kind};
pub use faiss_core::selector::logic::{IDSelectorAnd, IDSelectorNot, IDSelectorOr, IDSelectorXOr};
pub use faiss_core::selector::sets::{IDSelectorArray, IDSelectorBatch, IDSelectorBitmap};
pub use faiss_core::selector::{IDSelector, IDSelectorAll, IDSelectorFn, IDSelectorRange};
pub use faiss_core::{quantize, random, registry, selector, simd, storage, stream, transform};
pub use faiss_derive::{FacadeObject as Object, facade_methods as methods};

#[cfg(feature = "gpu")]
pub use faiss_gpu as gpu;
