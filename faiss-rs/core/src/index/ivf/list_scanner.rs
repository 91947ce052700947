//! A scanner in the caller's hands: a query and a list are set, and codes from wherever they come are compared with the query.

use faiss_derive::{Object, methods};

use super::Search;
use super::fast_scan::FastScanFile;
use super::{InvertedFile, codec::CodecSearcher};
use crate::base::view::view;
use crate::base::{Error, Result, Shared};
use crate::distance::heap::Heap;
use crate::index::SearchParameters;
use crate::registry::Row;
use crate::selector::IDSelector;
use crate::storage::direct_map::lo_build;
use crate::storage::packer::{CodePacker, CodePackerPQ4};

/// What scans with a scanner did.
#[derive(Object, Default, Clone)]
#[object(new)]
pub struct InvertedListScannerStats {
    /// Number of distances computed, of entries that the selector has.
    pub scan_cnt: usize,
    /// Number of results that came into a query's best.
    pub nheap_updates: usize,
}

pub(crate) const STATS: Row = Row::of::<InvertedListScannerStats>();

/// Compares a query with codes of an inverted file, list by list.
#[derive(Object, Clone)]
#[object(methods)]
pub struct InvertedListScanner {
    /// The list that the codes are of; -1 before one is set.
    #[object(default = -1)]
    pub list_no: i64,
    /// Whether larger distances are better.
    pub keep_max: bool,
    /// Results are places in lists, list number << 32 | offset, instead of ids.
    pub store_pairs: bool,
    /// Only these ids count.
    pub sel: Option<Shared<dyn IDSelector>>,
    /// Bytes of a code.
    pub code_size: usize,
    index: Option<Shared<dyn InvertedFile>>,
    /// How codes lie in the lists, where they are packed.
    packer: Option<CodePackerPQ4>,
    params: Option<Shared<SearchParameters>>,
    query: Vec<f32>,
    coarse: f32,
}

pub(crate) const ROW: Row = Row::of::<InvertedListScanner>();

#[methods]
impl InvertedListScanner {
    /// For codes of an inverted file, which is not changed meanwhile.
    #[new]
    pub fn new(
        index: Shared<dyn InvertedFile>,
        #[default = false] store_pairs: bool,
        #[default = None] sel: Option<Shared<dyn IDSelector>>,
        #[default = None] params: Option<Shared<SearchParameters>>,
    ) -> Result<Self> {
        let (metric, code_size, packer) = {
            let file = index.read();
            let packed: Option<&dyn FastScanFile> = view(&*file).ok();
            let packer = packed.map(|file| file.fast_scan().packer()).transpose()?;
            (file.ivf().metric_type, file.ivf().code_size, packer)
        };
        Ok(InvertedListScanner {
            keep_max: metric.is_similarity(),
            store_pairs,
            sel,
            code_size,
            index: Some(index),
            packer,
            params,
            ..Default::default()
        })
    }

    /// Bytes of `n` codes as they lie in a list: packed in whole blocks, or one after the other.
    #[name = "_bytes_of"]
    fn bytes_of(&self, n: usize) -> Result<usize> {
        let bytes = match &self.packer {
            Some(packer) => n.div_ceil(packer.nvec.max(1)).checked_mul(packer.block_size),
            None => n.checked_mul(self.code_size),
        };
        bytes.ok_or_else(|| Error::overflow("too many codes"))
    }

    /// The query, (d,).
    pub fn set_query(&mut self, query_vector: &[f32]) -> Result<()> {
        let d = self.index()?.read().ivf().dim();
        Error::check(query_vector.len() == d, "query_vector.size() == d")?;
        self.query = query_vector.to_vec();
        Ok(())
    }

    /// The list that the codes to come are of, and the query's distance to its centroid as the quantizer gave it.
    pub fn set_list(&mut self, list_no: i64, coarse_dis: f32) -> Result<()> {
        self.index()?.read().ivf().lists()?.check_list(list_no)?;
        (self.list_no, self.coarse) = (list_no, coarse_dis);
        Ok(())
    }

    /// The query's distances to codes: (n,).
    pub fn distances_to_codes(&self, codes: &[u8]) -> Result<Vec<f32>> {
        let index = self.index()?.read();
        let ivf = index.ivf();
        Error::check(self.query.len() == ivf.dim(), "set_query comes first")?;
        let (lists, quantizer) = (ivf.lists()?, ivf.quantizer()?.read());
        let list = lists.check_list(self.list_no)?;
        let n = self.count(codes)?;
        let params = self.params.as_ref().map(|params| params.read());
        let params = params.as_deref().map(|params| params as &dyn crate::base::Object);
        let searcher = match index.searcher(Search { quantizer: &*quantizer, lists: &*lists, visits: 1, params })? {
            Some(searcher) => searcher,
            None => Box::new(CodecSearcher::new(&*index, &*quantizer)?),
        };
        let mut scanner = searcher.scanner()?;
        scanner.set_query(&self.query)?;
        scanner.set_list(list, self.coarse)?;
        let mut keys = vec![0f32; n];
        scanner.keys(0, codes, &mut keys)?;
        // A similarity is scanned for by its negative.
        if ivf.metric_type.is_similarity() {
            keys.iter_mut().for_each(|key| *key = -*key);
        }
        Ok(keys)
    }

    /// The query's distance to one code.
    pub fn distance_to_code(&self, code: &[u8]) -> Result<f32> {
        Error::check(code.len() == self.code_size, "code.size() == code_size")?;
        Ok(self.distances_to_codes(code)?.first().copied().unwrap_or(0.0))
    }

    /// The first `n` of the codes of a list, one after the other.
    #[name = "_unpacked"]
    fn unpacked(&self, n: usize, codes: &[u8]) -> Result<Vec<u8>> {
        Error::check(codes.len() == self.bytes_of(n)?, "codes.size() == n * code_size")?;
        let Some(packer) = &self.packer else { return Ok(codes.to_vec()) };
        let mut unpacked = vec![0; n * self.code_size];
        for (i, code) in unpacked.chunks_exact_mut(self.code_size.max(1)).enumerate() {
            packer.unpack_1(codes, i, code);
        }
        Ok(unpacked)
    }

    /// Offers codes with these ids, which only places in lists do without, to a heap of `k` distances and labels whose top is the worst. Returns
    /// the heap, and how often it changed.
    pub fn scan_codes(
        &self,
        codes: &[u8],
        ids: Option<&[i64]>,
        distances: &[f32],
        labels: &[i64],
    ) -> Result<(Vec<f32>, Vec<i64>, usize)> {
        Error::check(distances.len() == labels.len(), "distances.size() == labels.size()")?;
        let (mut values, mut labels) = (distances.to_vec(), labels.to_vec());
        let mut heap = Heap { values: &mut values, ids: &mut labels, keep_max: self.keep_max };
        let mut updates = 0;
        for (distance, label) in self.results(codes, ids)? {
            updates += usize::from(heap.offer(distance, label));
        }
        Ok((values, labels, updates))
    }

    /// The distances and labels of codes that are better than the radius.
    pub fn scan_codes_range(&self, codes: &[u8], ids: Option<&[i64]>, radius: f32) -> Result<(Vec<f32>, Vec<i64>)> {
        let within = |distance: f32| if self.keep_max { distance > radius } else { distance < radius };
        Ok(self.results(codes, ids)?.into_iter().filter(|(distance, _)| within(*distance)).unzip())
    }
}

impl InvertedListScanner {
    fn index(&self) -> Result<&Shared<dyn InvertedFile>> {
        self.index.as_ref().ok_or_else(|| Error::failed("index", "the scanner has no index"))
    }

    fn count(&self, codes: &[u8]) -> Result<usize> {
        let whole = codes.len().checked_rem(self.code_size).is_none_or(|rest| rest == 0);
        Error::check(whole, "codes.size() % code_size == 0")?;
        Ok(codes.len().checked_div(self.code_size).unwrap_or(0))
    }

    /// Distances and labels of those codes whose ids the selector has.
    fn results(&self, codes: &[u8], ids: Option<&[i64]>) -> Result<Vec<(f32, i64)>> {
        let n = self.count(codes)?;
        Error::check(ids.map_or(self.store_pairs && self.sel.is_none(), |ids| ids.len() == n), "ids.size() == n")?;
        let sel = self.sel.as_ref().map(|sel| sel.read());
        let distances = self.distances_to_codes(codes)?.into_iter().enumerate();
        let kept = distances.filter(|(i, _)| match (&sel, ids) {
            (Some(sel), Some(ids)) => sel.is_member(ids[*i]),
            _ => true,
        });
        let label = |i: usize| match ids {
            Some(ids) if !self.store_pairs => ids[i],
            _ => lo_build(self.list_no.max(0) as usize, i),
        };
        Ok(kept.map(|(i, distance)| (distance, label(i))).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::MetricType;
    use crate::index::Index;
    use crate::index::flat_l2::IndexFlatL2;
    use crate::index::ivf::flat::IndexIVFFlat;
    use crate::selector::IDSelectorRange;

    #[test]
    fn finds_what_a_search_of_one_list_finds() {
        let (d, n) = (3, 200);
        let x: Vec<f32> = (0..n * d).map(|i| ((i * 7919 % 1009) as f32).sqrt()).collect();
        let mut index =
            IndexIVFFlat::new(Shared::new(IndexFlatL2::new(3).unwrap()), 3, 4, MetricType::L2, true).unwrap();
        index.train(&x).unwrap();
        index.add(&x).unwrap();
        let lists = index.ivf().lists_handle().unwrap().clone();
        let index: Shared<dyn InvertedFile> = Shared::new(index);
        let (q, k) = (&x[..d], 5);
        let range: Shared<dyn IDSelector> = Shared::new(IDSelectorRange::new(20, 90));
        for sel in [None, Some(range)] {
            for list in 0..4 {
                let mut scanner = InvertedListScanner::new(index.clone(), false, sel.clone(), None).unwrap();
                scanner.set_query(q).unwrap();
                scanner.set_list(list, 0.0).unwrap();
                let lists = lists.read();
                let (ids, codes) = (lists.ids(list as usize).into_owned(), lists.codes(list as usize).into_owned());
                let (values, labels, _) =
                    scanner.scan_codes(&codes, Some(&ids), &vec![f32::MAX; k], &vec![-1; k]).unwrap();
                let distance = |id: i64| (0..d).map(|j| (x[id as usize * d + j] - q[j]).powi(2)).sum::<f32>();
                let member = |id: &i64| sel.as_ref().is_none_or(|sel| sel.read().is_member(*id));
                let mut truth: Vec<f32> = ids.iter().filter(|id| member(id)).map(|id| distance(*id)).collect();
                truth.sort_by(f32::total_cmp);
                truth.truncate(k);
                let mut found: Vec<f32> =
                    labels.iter().zip(&values).filter(|(id, _)| **id >= 0).map(|(_, v)| *v).collect();
                found.sort_by(f32::total_cmp);
                assert_eq!(found.len(), truth.len());
                assert!(found.iter().zip(&truth).all(|(a, b)| (a - b).abs() <= 1e-3 * b.max(1.0)));
            }
        }
    }

    #[test]
    fn refuses_what_does_not_fit() {
        let index = IndexIVFFlat::new(Shared::new(IndexFlatL2::new(3).unwrap()), 3, 4, MetricType::L2, true).unwrap();
        let mut scanner = InvertedListScanner::new(Shared::new(index), false, None, None).unwrap();
        assert!(
            scanner.set_query(&[1.0; 2]).is_err()
                && scanner.set_list(4, 0.0).is_err()
                && scanner.set_list(-1, 0.0).is_err()
        );
        assert!(scanner.distance_to_code(&[0; 12]).is_err());
        scanner.set_query(&[1.0; 3]).unwrap();
        assert!(scanner.distance_to_code(&[0; 12]).is_err());
        scanner.set_list(2, 0.0).unwrap();
        assert!(scanner.distance_to_code(&[0; 11]).is_err());
        assert_eq!(scanner.distance_to_code(&[0; 12]).unwrap(), 3.0);
        assert!(scanner.scan_codes(&[0; 12], None, &[1.0], &[-1]).is_err());
    }
}
