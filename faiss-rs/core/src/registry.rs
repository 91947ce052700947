//! One row a type. Adding a type is one file, which ends in its row, and one line here; Python, stubs, docs, files and clones read the rows.

use crate::base::declare::Method;
use crate::base::{Described, Error, Handle, Object, Result, TypeInfo};
use crate::binary;
use crate::cluster;
use crate::distance;
use crate::factory;
use crate::grammar::Grammar;
use crate::graph;
use crate::index;
use crate::quantize;
use crate::selector;
use crate::storage;
use crate::storage::lists::InvertedLists;
use crate::stream::{self, FourCC, Reader, Writer};
use crate::transform;

/// What the rest of the library knows of a type.
#[derive(Clone, Copy)]
pub struct Row {
    /// The description.
    pub info: &'static TypeInfo,
    /// How files hold the type; without one, the nearest ancestor's is used.
    pub format: Option<Format>,
    /// Its part of an index description, where it has one.
    pub(crate) grammar: Option<Grammar>,
}

/// How files hold a type.
#[derive(Clone, Copy)]
pub struct Format {
    /// Every code that `read` understands.
    pub fourccs: &'static [&'static str],
    /// Reads what follows the code.
    pub read: fn(&mut Reader<'_>, FourCC) -> Result<Handle>,
    /// Writes the code and what follows.
    pub write: fn(&dyn Object, &mut Writer<'_>) -> Result<()>,
}

impl Row {
    /// A type without a form in files and a part of descriptions.
    pub const fn of<T: Described>() -> Row {
        Row { info: T::INFO, format: None, grammar: None }
    }

    /// The same with a part of descriptions.
    pub(crate) const fn grammar(mut self, grammar: Grammar) -> Row {
        self.grammar = Some(grammar);
        self
    }

    /// The same with a form in files.
    pub const fn format(mut self, format: Format) -> Row {
        self.format = Some(format);
        self
    }
}

/// Every type of this crate. The GPU crate has a list of its own, of the same rows.
pub static REGISTRY: &[Row] = &[
    factory::PARAMETER_SPACE,
    index::pq::ROW,
    index::pq::PARAMETERS,
    index::additive::ROW,
    index::additive::RESIDUAL,
    index::additive::LOCAL_SEARCH,
    index::additive::PRODUCT_RESIDUAL,
    index::additive::PRODUCT_LOCAL_SEARCH,
    index::additive_coarse::ROW,
    index::additive_coarse::PARAMETERS,
    index::additive_coarse::RESIDUAL,
    index::additive_coarse::LOCAL_SEARCH,
    index::scalar::ROW,
    index::lsh::ROW,
    index::lattice::ROW,
    index::neural::ROW,
    index::neural::QINCO,
    index::eden::ROW,
    index::ivf::eden::ROW,
    index::fast_scan::rabitq::ROW,
    index::ivf::rabitq_fast_scan::ROW,
    index::rabitq::ROW,
    index::rabitq::PARAMETERS,
    index::ivf::rabitq::ROW,
    index::ivf::rabitq::PARAMETERS,
    index::ivf::flat_dedup::ROW,
    index::ivf::flat_panorama::ROW,
    index::ivf::spectral_hash::ROW,
    index::ivf::pqr::ROW,
    graph::nn_descent::ROW,
    index::nn_descent::ROW,
    index::nn_descent::FLAT,
    graph::nsg::ROW,
    index::nsg::ROW,
    index::nsg::FLAT,
    index::nsg::PQ,
    index::nsg::SQ,
    index::fast_scan::ROW,
    index::fast_scan::pq::ROW,
    index::ivf::fast_scan::ROW,
    index::ivf::pq_fast_scan::ROW,
    index::fast_scan::additive::ROW,
    index::fast_scan::additive::RESIDUAL,
    index::fast_scan::additive::LOCAL_SEARCH,
    index::fast_scan::additive::PRODUCT_RESIDUAL,
    index::fast_scan::additive::PRODUCT_LOCAL_SEARCH,
    index::ivf::additive_fast_scan::ROW,
    index::ivf::additive_fast_scan::RESIDUAL,
    index::ivf::additive_fast_scan::LOCAL_SEARCH,
    index::ivf::additive_fast_scan::PRODUCT_RESIDUAL,
    index::ivf::additive_fast_scan::PRODUCT_LOCAL_SEARCH,
    index::random::ROW,
    index::rowwise_minmax::BASE,
    index::rowwise_minmax::ROW,
    index::rowwise_minmax::FP16,
    index::id_map::ROW,
    index::id_map::ROW2,
    index::pretransform::ROW,
    index::pretransform::PARAMETERS,
    index::refine::ROW,
    index::refine::FLAT,
    index::refine::PANORAMA,
    index::refine::PARAMETERS,
    index::multi_index::ROW,
    index::multi_index_2::ROW,
    index::shards::PARTS,
    index::shards::SHARDS,
    index::shards::REPLICAS,
    index::shards_ivf::ROW,
    index::split_vectors::ROW,
    index::ivf::independent::ROW,
    index::ivf::ROW,
    index::ivf::flat::ROW,
    index::ivf::pq::ROW,
    index::ivf::scalar::ROW,
    index::ivf::additive::ROW,
    index::ivf::additive::RESIDUAL,
    index::ivf::additive::LOCAL_SEARCH,
    index::ivf::additive::PRODUCT_RESIDUAL,
    index::ivf::additive::PRODUCT_LOCAL_SEARCH,
    index::ivf::list_scanner::ROW,
    index::ivf::list_scanner::STATS,
    index::ivf::params::ROW,
    index::ivf::params::PQ_ROW,
    graph::hnsw::ROW,
    index::hnsw::ROW,
    index::hnsw::flat::ROW,
    index::hnsw::flat_panorama::ROW,
    index::hnsw::pq::ROW,
    index::hnsw::rabitq::ROW,
    index::hnsw::cagra::ROW,
    index::hnsw::sq::ROW,
    index::hnsw::two_level::ROW,
    index::two_layer::ROW,
    index::two_layer::LEVEL_1,
    index::hnsw::params::ROW,
    index::ivf::params::TURBOQ_ROW,
    index::stats::IVF,
    index::stats::HNSW,
    index::stats::IVFPQ,
    index::stats::PQ,
    index::stats::PANORAMA,
    index::stats::RABITQ,
    index::stats::FAST_SCAN,
    index::stats::IVF_FAST_SCAN,
    index::INDEX,
    index::SEARCH_PARAMETERS,
    index::flat_codes::ROW,
    index::flat::ROW,
    index::flat_l2::ROW,
    index::flat_ip::ROW,
    index::flat_1d::ROW,
    index::flat_panorama::ROW,
    index::flat_panorama::L2,
    index::flat_panorama::IP,
    binary::ROW,
    binary::flat::ROW,
    binary::from_float::ROW,
    binary::hash::ROW,
    binary::hash::STATS,
    binary::hnsw::ROW,
    binary::hnsw::CAGRA,
    binary::id_map::ROW,
    binary::id_map::ROW2,
    binary::ivf::ROW,
    binary::list_scanner::ROW,
    binary::multi_hash::ROW,
    binary::shards::PARTS,
    binary::shards::SHARDS,
    binary::shards::REPLICAS,
    distance::matrix_stats::ROW,
    distance::matrix_stats::PER_DIM,
    cluster::PARAMETERS,
    cluster::ROW,
    cluster::initialization::ROW,
    cluster::ONE_DIMENSION,
    cluster::super_kmeans::PARAMETERS,
    cluster::super_kmeans::ROW,
    cluster::progressive::PARAMETERS,
    cluster::progressive::FACTORY,
    cluster::progressive::ROW,
    quantize::ROW,
    quantize::eden::ROW,
    quantize::rabitq::ROW,
    quantize::lattice::ROW,
    quantize::neural::LINEAR,
    quantize::neural::EMBEDDING,
    quantize::neural::FEED_FORWARD,
    quantize::neural::STEP,
    quantize::neural::CODEC,
    quantize::neural::QINCO,
    quantize::lattice::REPEATS,
    quantize::lattice::SEARCH,
    quantize::lattice::CODEC,
    quantize::lattice::RECURSIVE,
    quantize::lattice::ALTERNATIVE,
    quantize::rabitq::utils::SIGN_BITS,
    quantize::rabitq::utils::SIGN_BITS_WITH_ERROR,
    quantize::rabitq::utils::EXTRA_BITS,
    quantize::rabitq::utils::QUERY,
    quantize::additive::ROW,
    quantize::additive::residual::ROW,
    quantize::additive::icm::ROW,
    quantize::additive::local_search::ROW,
    quantize::additive::product::ROW,
    quantize::additive::product::RESIDUAL,
    quantize::additive::product::LOCAL_SEARCH,
    quantize::product_methods::ROW,
    quantize::scalar::methods::ROW,
    quantize::polysemous::annealing::PARAMETERS,
    quantize::polysemous::distances::OBJECTIVE,
    quantize::polysemous::distances::REPRODUCE,
    quantize::polysemous::annealing::OPTIMIZER,
    quantize::polysemous::ROW,
    transform::ROW,
    transform::linear::ROW,
    transform::linear::RANDOM_ROTATION,
    transform::pca::ROW,
    transform::opq::ROW,
    transform::hadamard::ROW,
    transform::itq::MATRIX,
    transform::itq::ROW,
    transform::simple::REMAP,
    transform::simple::NORMALIZATION,
    transform::simple::CENTERING,
    storage::lists::ROW,
    storage::lists::ARRAY,
    storage::on_disk::ROW,
    storage::packer::ROW,
    storage::packer::FLAT,
    storage::packer::PQ4,
    storage::block_lists::ROW,
    storage::panorama::ROW,
    storage::panorama::lists::ROW,
    storage::capped::ROW,
    storage::stacked::READ_ONLY,
    storage::stacked::HSTACK,
    storage::stacked::VSTACK,
    storage::stacked::SLICE,
    storage::stacked::MASKED,
    storage::stacked::STOP_WORDS,
    storage::direct_map::ROW,
    selector::ROW,
    selector::RANGE,
    selector::ALL,
    selector::TRANSLATED,
    selector::sets::ARRAY,
    selector::sets::BATCH,
    selector::sets::BITMAP,
    selector::logic::NOT,
    selector::logic::AND,
    selector::logic::OR,
    selector::logic::XOR,
    stream::READER,
    stream::WRITER,
    stream::memory::READER,
    stream::memory::ZERO_COPY,
    stream::buffered::READER,
    stream::buffered::WRITER,
    stream::memory::WRITER,
    stream::file::READER,
    stream::file::WRITER,
];

/// The functions of Faiss's module, by the files that declare them.
pub static FUNCTIONS: &[&[Method]] = &[
    distance::vectors::FUNCTIONS,
    distance::by_number::FUNCTIONS,
    distance::heap_array::FUNCTIONS,
    distance::results_in_place::FUNCTIONS,
    distance::matrix_stats::FUNCTIONS,
    cluster::super_kmeans::FUNCTIONS,
    cluster::thresholds::FUNCTIONS,
    index::ivf::residual_levels::FUNCTIONS,
    index::ivf::within::FUNCTIONS,
    quantize::additive::beam::FUNCTIONS,
    quantize::bit_vectors::FUNCTIONS,
    quantize::eden::FUNCTIONS,
    quantize::rabitq::functions::FUNCTIONS,
    quantize::rounding::FUNCTIONS,
    storage::hashtable::FUNCTIONS,
    stream::checksum::FUNCTIONS,
];

/// All functions of Faiss's module.
pub fn functions() -> impl Iterator<Item = &'static Method> {
    FUNCTIONS.iter().copied().flatten()
}

/// The function that Faiss calls so.
pub fn function(name: &str) -> Option<&'static Method> {
    functions().find(|function| function.name == name)
}

/// The row of a type.
pub fn row(info: &'static TypeInfo) -> Option<&'static Row> {
    row_named(info.name)
}

/// The row of the type that Faiss calls so.
pub fn row_named(name: &str) -> Option<&'static Row> {
    REGISTRY.iter().find(|row| row.info.name == name)
}

/// Reads an index inside another's file.
pub fn read_nested(input: &mut Reader<'_>) -> Result<Option<Handle>> {
    let code = input.fourcc()?;
    if code == FourCC::NULL {
        return Ok(None);
    }
    let format = REGISTRY.iter().filter_map(|row| row.format).find(|f| f.fourccs.iter().any(|c| code.is(c)));
    let Some(format) = format else {
        let number = u32::from_le_bytes(code.0);
        return Err(Error::failed("", format!("Index type 0x{number:08x} (\"{code}\") not recognized")));
    };
    let made = input.nested(|input| (format.read)(input, code))?;
    if made.is::<dyn InvertedLists>() {
        return Err(Error::failed("", format!("Index type \"{code}\" not recognized: these are inverted lists")));
    }
    Ok(Some(made))
}

/// The format of a type: its own, or its nearest ancestor's.
pub(crate) fn format_of(object: &dyn Object) -> Result<Format> {
    let mut formats = object.info().lineage().filter_map(|info| row(info)?.format);
    formats.next().ok_or_else(|| {
        Error::failed("", format!("don't know how to serialize this type of index: {}", object.info().name))
    })
}

/// Writes an index inside another's file.
pub fn write_nested(object: &dyn Object, out: &mut Writer<'_>) -> Result<()> {
    (format_of(object)?.write)(object, out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_have_names_of_their_own() {
        let mut names: Vec<_> = functions().map(|function| function.name).collect();
        let before = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(before, names.len());
        assert!(functions().all(|function| !function.doc.is_empty()));
    }

    #[test]
    fn names_and_fourccs_are_unique_and_concrete_types_build() {
        let mut names: Vec<_> = REGISTRY.iter().map(|r| r.info.name).collect();
        names.sort_unstable();
        let before = names.len();
        names.dedup();
        assert_eq!(before, names.len());
        let mut codes: Vec<_> = REGISTRY.iter().filter_map(|r| r.format).flat_map(|f| f.fourccs).collect();
        codes.sort_unstable();
        assert!(codes.windows(2).all(|pair| pair[0] != pair[1]), "two types have the same code in files: {codes:?}");
        assert!(codes.iter().all(|code| code.len() == 4), "{codes:?}");
        for row in REGISTRY {
            assert_eq!(row.info.constructors.is_empty(), row.info.is_abstract, "{}", row.info.name);
            assert_eq!((row.info.default)().info().name, row.info.name);
            assert!(
                row.info.parent.is_none_or(|p| super::row(p).is_some()),
                "the parent of {} has no row",
                row.info.name
            );
        }
    }
}
