//! Descriptions of indexes around each other: as faiss-cpu 1.15.1 nests them.

use faiss_core::base::object::{Object, cast};
use faiss_core::base::{MetricType, Shared};
use faiss_core::factory::index_factory;
use faiss_core::index::Index;
use faiss_core::index::id_map::IndexIDMap;
use faiss_core::index::ivf::IndexIVF;
use faiss_core::index::pretransform::IndexPreTransform;
use faiss_core::index::refine::IndexRefine;
use faiss_core::index::rowwise_minmax::IndexRowwiseMinMaxBase;

/// The types from the outermost in.
fn nested(description: &str) -> Vec<&'static str> {
    let made = index_factory(16, description, MetricType::L2).unwrap();
    let (mut next, mut names) = (Some(made.view::<dyn Index>().unwrap()), Vec::new());
    while let Some(index) = next {
        let index = index.read();
        let object: &dyn Object = &*index;
        names.push(object.info().name);
        let inside: Option<&Option<Shared<dyn Index>>> = cast::<IndexIDMap>(object)
            .map(|map| &map.index)
            .or_else(|| cast::<IndexRefine>(object).map(|refine| &refine.base_index))
            .or_else(|| cast::<IndexRowwiseMinMaxBase>(object).map(|minmax| &minmax.index))
            .or_else(|| cast::<IndexPreTransform>(object).map(|chain| &chain.index));
        next = inside.cloned().flatten();
    }
    names
}

#[test]
fn what_goes_around_what() {
    for (description, names) in [
        ("IDMap2,PQ4,IDMap", "IndexIDMap2 IndexIDMap IndexPQ"),
        ("IDMap,PQ4,IDMap2", "IndexIDMap2 IndexIDMap IndexPQ"),
        ("IDMap,Flat,RFlat", "IndexIDMap IndexRefineFlat IndexFlat"),
        ("Flat,IDMap,RFlat", "IndexRefineFlat IndexIDMap IndexFlat"),
        ("PCA8,IDMap,Flat", "IndexPreTransform IndexIDMap IndexFlat"),
        ("MinMax,SQ8,Refine(SQ8)", "IndexRefine IndexRowwiseMinMax IndexScalarQuantizer"),
        ("IDMap2,MinMax,SQ8,RFlat", "IndexIDMap2 IndexRefineFlat IndexRowwiseMinMax IndexScalarQuantizer"),
        ("IDMap2,MinMax,SQ8,IDMap", "IndexIDMap2 IndexIDMap IndexRowwiseMinMax IndexScalarQuantizer"),
    ] {
        assert_eq!(nested(description).join(" "), names, "{description}");
    }
}

#[test]
fn who_trains_the_quantizer() {
    for (description, alone) in
        [("IVF4,SQ8", 0), ("IVF4(Flat),SQ8", 0), ("IVF4_HNSW8,SQ8", 2), ("IVF4(RCQ1x2),SQ8", 1), ("IMI2x1,SQ8", 1)]
    {
        let made = index_factory(16, description, MetricType::L2).unwrap();
        let index = made.view::<dyn Index>().unwrap();
        let index = index.read();
        let ivf = cast::<IndexIVF>(&*index).unwrap();
        assert_eq!(ivf.quantizer_trains_alone, alone, "{description}");
    }
}

/// Found by the fuzz test: as many parts as they like, of vectors without coordinates.
#[test]
fn parts_of_nothing_are_no_more_than_a_table_holds() {
    assert!(index_factory(0, "HNSW4,PQ4294967296x4", MetricType::L2).is_err());
}
