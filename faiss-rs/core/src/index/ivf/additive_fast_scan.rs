//! Inverted files of packed codes of additive quantizers of four bits a codebook.
//!
//! Of L2, a code's norm is that of the whole vector, centroid included: what a list adds to all its distances is then -2 times the product of query
//! and centroid, and the tables are the same for all lists, also where codes are of residuals.

use faiss_derive::{Object, methods};

use super::additive::{
    IndexIVFLocalSearchQuantizer, IndexIVFProductLocalSearchQuantizer, IndexIVFProductResidualQuantizer,
    IndexIVFResidualQuantizer,
};
use super::edit::{add_centroids, to_encode};
use super::fast_scan::{
    FastScanFile, IndexIVFFastScan, QueryTables, TablesMaker, range_search_pairs, search_pairs, searcher,
};
use super::{InvertedFile, Pairs, Search, Searcher, codec};
use crate::base::object::{DeepCopy, receiver};
use crate::base::{Error, Handle, MetricType, Result, Shared};
use crate::distance::results::{InRadius, TopK};
use crate::grammar::{AdditiveFastScanPart, Grammar};
use crate::index::additive::OfPart;
use crate::index::fast_scan::additive::{estimate_norm_scale, norm_factor, train_points};
use crate::index::fast_scan::check_block;
use crate::index::ivf::format::{Header, Lists};
use crate::index::{Index, dim_of};
use crate::quantize::additive::{
    Additive, AdditiveQuantizer, LocalSearchQuantizer, ProductLocalSearchQuantizer, ProductResidualQuantizer,
    ResidualQuantizer,
};
use crate::quantize::fast_scan::KSUB;
use crate::registry::Row;
use crate::simd;

/// Base of the inverted files of packed codes of additive quantizers. Distances of L2 are without the query's own norm.
#[derive(Object, Clone)]
#[object(abstract, copy(fast_scan))]
pub struct IndexIVFAdditiveQuantizerFastScan {
    /// The packed lists.
    #[object(parent)]
    pub fast_scan: IndexIVFFastScan,
    /// Divide the tables of norms by `norm_scale` before they are rounded, and multiply what is found in them.
    pub rescale_norm: bool,
    /// By how much norms spread more than products do.
    #[object(default = 1)]
    pub norm_scale: i32,
    /// The most vectors that the quantizer is trained by.
    pub max_train_points: usize,
}

pub(crate) const ROW: Row = Row::of::<IndexIVFAdditiveQuantizerFastScan>();

// What is between the quantizer and the lists in files.
crate::stored!(IndexIVFAdditiveQuantizerFastScan, |own| {
    own.by_residual;
    own.implem;
    own.bbs;
    own.qbs;
    own.M;
    own.nbits;
    own.ksub;
    own.code_size;
    own.qbs2;
    own.M2;
    own.rescale_norm;
    own.norm_scale;
    own.max_train_points;
});

impl IndexIVFAdditiveQuantizerFastScan {
    /// An error where what a file says of the codes is not what they are.
    fn check_parts(&mut self, aq: &AdditiveQuantizer) -> Result<()> {
        aq.check_packed(self.metric_type)?;
        let same = (self.M, self.nbits, self.ksub) == (aq.packed_parts(), 4, KSUB);
        Error::check(same, "M, nbits and ksub are those of the quantizer")?;
        self.fast_scan.set_parts(aq.packed_parts(), aq.base.code_size, aq.base.d)
    }

    fn new(
        quantizer: Shared<dyn Index>,
        d: i64,
        nlist: usize,
        aq: &AdditiveQuantizer,
        metric: MetricType,
        bbs: i64,
        own_invlists: bool,
    ) -> Result<Self> {
        aq.check_packed(metric)?;
        let parts = aq.packed_parts();
        let mut fast_scan = IndexIVFFastScan::new(quantizer, d, nlist, parts, metric, bbs, own_invlists)?;
        fast_scan.by_residual = true;
        let max_train_points = train_points(parts);
        Ok(IndexIVFAdditiveQuantizerFastScan { fast_scan, max_train_points, ..Default::default() })
    }

    fn factor(&self) -> u16 {
        norm_factor(self.rescale_norm, self.norm_scale, self.fast_scan.metric_type)
    }

    /// Whether codes have norms that centroids are part of.
    fn whole_norms(&self) -> bool {
        self.fast_scan.by_residual && self.fast_scan.metric_type == MetricType::L2
    }

    /// See [`InvertedFile::encode_vectors`].
    fn encode(&self, aq: &dyn Additive, x: &[f32], list_nos: &[i64], codes: &mut [u8]) -> Result<()> {
        codec::check(&self.fast_scan, aq)?;
        let encoded = to_encode(&self.fast_scan, x, list_nos)?;
        if !self.whole_norms() {
            return aq.compute_codes(&encoded, codes);
        }
        let mut centroids = vec![0.0; x.len()];
        add_centroids(&self.fast_scan, list_nos, &mut centroids)?;
        aq.compute_codes_add_centroids(&encoded, codes, Some(&centroids))
    }

    /// See [`InvertedFile::train_encoder`].
    fn train(&mut self, aq: &mut dyn Additive, x: &[f32], assign: Option<&[i64]>) -> Result<()> {
        aq.aq_mut().verbose |= self.fast_scan.verbose;
        aq.train(x)?;
        let d = aq.aq().base.d.max(1);
        if let (true, Some(assign)) = (self.whole_norms(), assign) {
            let mut decoded = vec![0.0; x.len()];
            let mut codes = vec![0; x.len() / d * aq.aq().base.code_size];
            aq.compute_codes(x, &mut codes)?;
            aq.decode(&codes, &mut decoded)?;
            add_centroids(&self.fast_scan, assign, &mut decoded)?;
            let norms: Vec<f32> = decoded.chunks_exact(d).map(simd::fvec_norm_L2sqr).collect();
            aq.aq_mut().train_norm(&norms)?;
        }
        if self.fast_scan.metric_type == MetricType::L2 {
            self.norm_scale = estimate_norm_scale(aq.aq(), x)?;
        }
        Ok(())
    }
}

struct Maker<'a> {
    aq: &'a AdditiveQuantizer,
    quantizer: &'a dyn Index,
    similarity: bool,
    by_residual: bool,
    factor: u16,
}

impl TablesMaker for Maker<'_> {
    fn fill(&self, x: &[f32], lists: &[i64], coarse: &[f32], out: &mut QueryTables) -> Result<()> {
        let metric = if self.similarity { MetricType::InnerProduct } else { MetricType::L2 };
        out.tables.resize(self.aq.packed_parts() * KSUB, 0.0);
        self.aq.packed_tables(x, metric, self.factor, &mut out.tables)?;
        out.bias.clear();
        if !self.by_residual {
            return Ok(());
        }
        let mut centroid = vec![0.0; x.len()];
        for (list, coarse) in lists.iter().zip(coarse) {
            out.bias.push(if *list < 0 {
                0.0
            } else if self.similarity {
                *coarse
            } else {
                self.quantizer.reconstruct(*list, &mut centroid)?;
                -2.0 * simd::fvec_inner_product(x, &centroid)
            });
        }
        Ok(())
    }
}

macro_rules! additive_fast_scan_file {
    (
        $(#[$doc:meta])* $name:ident, $field:ident: $quantizer:ident::$make:ident($($size:ident),*), from $plain:ident, $row:ident,
        $fourcc:literal
    ) => {
        $(#[$doc])*
        #[derive(Object, Clone, Default)]
        #[object(methods, implements(Index, InvertedFile, FastScanFile), copy(additive, $field))]
        pub struct $name {
            /// The packed lists.
            #[object(parent)]
            pub additive: IndexIVFAdditiveQuantizerFastScan,
            /// Makes the codes.
            pub $field: $quantizer,
        }

        pub(crate) const $row: Row = Row::of::<$name>()
            .grammar(Grammar::InvertedFile(|over, part| {
                let Some(part) = AdditiveFastScanPart::parse(part, over.metric) else { return Ok(None) };
                let Some($field) = $quantizer::of_part(over.d, part.quantizer)? else { return Ok(None) };
                let quantizer = over.quantizer.clone();
                let mut index = $name::over(quantizer, over.d, over.nlist, $field, over.metric, part.bbs, true)?;
                index.by_residual = part.by_residual;
                Ok(Some(Handle::new(index)))
            }))
            .format(crate::file_format!($name, [$fourcc], |index, code| {
                index.ivf => Header(code);
                index.$field;
                index.additive;
                read { index.additive.check_parts(index.$field.aq())?; }
                index.ivf => Lists;
            }));

        #[methods(new)]
        impl $name {
            /// Over `nlist` lists of `quantizer`, with codebooks of `nbits` bits, which must be 4, in blocks of `bbs` vectors.
            #[new]
            pub fn new(
                quantizer: Shared<dyn Index>,
                d: i64,
                nlist: usize,
                $($size: usize,)*
                nbits: usize,
                #[default = MetricType::L2] metric: MetricType,
                #[default = 8] search_type: i32,
                #[default = 32] bbs: i64,
                #[default = true] own_invlists: bool,
            ) -> Result<Self> {
                check_block(bbs)?;
                Error::check(nbits == 4, "nbits == 4")?;
                let $field = $quantizer::$make(dim_of(d), $($size,)* nbits, search_type)?;
                Self::over(quantizer, d, nlist, $field, metric, bbs, own_invlists)
            }

            /// The codes of another inverted file, packed. Of L2 they must not be of residuals, whose norms are those of residuals there.
            #[new]
            pub fn from_additive(orig: &$plain, #[default = 32] bbs: i64) -> Result<Self> {
                let known = orig.metric_type == MetricType::InnerProduct || !orig.by_residual;
                Error::check(known, "metric_type == METRIC_INNER_PRODUCT || !orig.by_residual")?;
                let (quantizer, d, aq) = (orig.quantizer()?.clone(), i64::from(orig.d), orig.$field.deep_copy()?);
                let mut made = Self::over(quantizer, d, orig.nlist, aq, orig.metric_type, bbs, true)?;
                (made.is_trained, made.by_residual, made.nprobe) = (orig.is_trained, orig.by_residual, orig.nprobe);
                made.additive.fast_scan.take(orig)?;
                Ok(made)
            }

            /// Over a quantizer of codes, which is copied.
            #[new]
            pub fn of_quantizer(
                quantizer: Shared<dyn Index>,
                aq: &$quantizer,
                d: i64,
                nlist: usize,
                #[default = MetricType::L2] metric: MetricType,
                #[default = 32] bbs: i64,
                #[default = true] own_invlists: bool,
            ) -> Result<Self> {
                Error::check(aq.aq().base.d == dim_of(d), "aq->d == d")?;
                Self::over(quantizer, d, nlist, aq.deep_copy()?, metric, bbs, own_invlists)
            }

            /// Finds `norm_scale` from vectors (n, d), or residuals where codes are of residuals.
            #[name = "_estimate_norm_scale"]
            fn estimate_norm_scale(&mut self, x: &[f32]) -> Result<()> {
                self.rows(x)?;
                self.norm_scale = estimate_norm_scale(self.$field.aq(), x)?;
                Ok(())
            }
        }

        impl $name {
            fn over(
                quantizer: Shared<dyn Index>,
                d: i64,
                nlist: usize,
                $field: $quantizer,
                metric: MetricType,
                bbs: i64,
                own_invlists: bool,
            ) -> Result<Self> {
                let aq = $field.aq();
                let additive = IndexIVFAdditiveQuantizerFastScan::new(quantizer, d, nlist, aq, metric, bbs, own_invlists)?;
                Ok($name { additive, $field })
            }
        }

        impl Index for $name {
            crate::inverted_file_index!();
        }

        impl InvertedFile for $name {
            crate::lists_and_codec!(additive.fast_scan.ivf, $field);
            fn encode_vectors(&self, x: &[f32], list_nos: &[i64], codes: &mut [u8]) -> Result<()> {
                self.additive.encode(&self.$field, x, list_nos, codes)
            }
            fn train_encoder_num_vectors(&self) -> usize {
                self.max_train_points
            }
            fn train_encoder(&mut self, x: &[f32], assign: Option<&[i64]>) -> Result<()> {
                self.additive.train(&mut self.$field, x, assign)
            }
            fn check_same_codes(&self, other: &dyn InvertedFile) -> Result<()> {
                let theirs = receiver::<$name>(other)?;
                let same = theirs.$field.aq().codebooks == self.$field.aq().codebooks && theirs.bbs == self.bbs;
                Error::check(same, "other's codebooks are the same && other->bbs == bbs")
            }
            fn searcher<'a>(&'a self, search: Search<'a>) -> Result<Option<Box<dyn Searcher + 'a>>> {
                searcher(self, search.quantizer)
            }
            fn search_pairs(&self, pairs: &Pairs<'_>, k: usize, out: &TopK<'_>) -> Result<bool> {
                search_pairs(self, pairs, k, out).map(|()| true)
            }
            fn range_search_pairs(&self, pairs: &Pairs<'_>, radius: f32, out: &InRadius) -> Result<bool> {
                range_search_pairs(self, pairs, radius, out).map(|()| true)
            }
        }

        impl FastScanFile for $name {
            fn fast_scan(&self) -> &IndexIVFFastScan {
                &self.additive.fast_scan
            }
            fn fast_scan_mut(&mut self) -> &mut IndexIVFFastScan {
                &mut self.additive.fast_scan
            }
            fn norm_factor(&self) -> u16 {
                self.additive.factor()
            }
            fn tables_maker<'a>(&'a self, quantizer: &'a dyn Index) -> Result<Box<dyn TablesMaker + Send + Sync + 'a>> {
                codec::check(self, &self.$field)?;
                let (similarity, by_residual) = (self.metric_type.is_similarity(), self.by_residual);
                Ok(Box::new(Maker { aq: self.$field.aq(), quantizer, similarity, by_residual, factor: self.norm_factor() }))
            }
        }
    };
}

additive_fast_scan_file! {
    /// Stores packed codes of a residual quantizer in the lists of a coarse quantizer.
    IndexIVFResidualQuantizerFastScan, rq: ResidualQuantizer::of(M), from IndexIVFResidualQuantizer, RESIDUAL, "IVRf"
}
additive_fast_scan_file! {
    /// Stores packed codes of a local search quantizer in the lists of a coarse quantizer.
    IndexIVFLocalSearchQuantizerFastScan, lsq: LocalSearchQuantizer::new(M), from IndexIVFLocalSearchQuantizer, LOCAL_SEARCH, "IVLf"
}
additive_fast_scan_file! {
    /// Stores packed codes of a residual quantizer for each part of the vectors in the lists of a coarse quantizer.
    IndexIVFProductResidualQuantizerFastScan, prq: ProductResidualQuantizer::new(nsplits, Msub), from IndexIVFProductResidualQuantizer, PRODUCT_RESIDUAL, "NPRf"
}
additive_fast_scan_file! {
    /// Stores packed codes of a local search quantizer for each part of the vectors in the lists of a coarse quantizer.
    IndexIVFProductLocalSearchQuantizerFastScan, plsq: ProductLocalSearchQuantizer::new(nsplits, Msub), from IndexIVFProductLocalSearchQuantizer, PRODUCT_LOCAL_SEARCH, "NPLf"
}
