//! A scanner of binary codes in the caller's hands, as [`InvertedListScanner`](crate::index::ivf::list_scanner::InvertedListScanner).

use faiss_derive::{Object, methods};

use super::hamming;
use crate::base::{Error, Result};
use crate::distance::heap::Heap;
use crate::registry::Row;
use crate::storage::direct_map::lo_build;

/// Compares a query with binary codes, list by list.
#[derive(Object, Default, Clone)]
#[object(methods)]
pub struct BinaryInvertedListScanner {
    code_size: usize,
    store_pairs: bool,
    list_no: i64,
    query: Vec<u8>,
}

pub(crate) const ROW: Row = Row::of::<BinaryInvertedListScanner>();

#[methods]
impl BinaryInvertedListScanner {
    /// For codes of `code_size` bytes.
    #[new]
    pub fn new(code_size: usize, #[default = false] store_pairs: bool) -> Self {
        BinaryInvertedListScanner { code_size, store_pairs, ..Default::default() }
    }

    /// The query, of `code_size` bytes.
    pub fn set_query(&mut self, query_vector: &[u8]) -> Result<()> {
        Error::check(query_vector.len() == self.code_size, "query_vector.size() == code_size")?;
        self.query = query_vector.to_vec();
        Ok(())
    }

    /// The list that the codes to come are of.
    pub fn set_list(&mut self, list_no: i64, #[default = 0] _coarse_dis: i64) -> Result<()> {
        Error::check(list_no >= 0, "list_no >= 0")?;
        self.list_no = list_no;
        Ok(())
    }

    /// The number of bits in which the query and a code differ.
    pub fn distance_to_code(&self, code: &[u8]) -> Result<i32> {
        self.check(code)?;
        Error::check(code.len() == self.code_size, "code.size() == code_size")?;
        Ok(hamming::hamming(&self.query, code))
    }

    /// Offers codes with these ids, which only places in lists do without, to a heap of `k` distances and labels whose top is the worst. Returns
    /// the heap, and how often it changed.
    pub fn scan_codes(
        &self,
        codes: &[u8],
        ids: Option<&[i64]>,
        distances: &[i32],
        labels: &[i64],
    ) -> Result<(Vec<i32>, Vec<i64>, usize)> {
        Error::check(distances.len() == labels.len(), "distances.size() == labels.size()")?;
        let (mut values, mut labels) = (distances.to_vec(), labels.to_vec());
        let mut heap = Heap { values: &mut values, ids: &mut labels, keep_max: false };
        let mut updates = 0;
        for (distance, label) in self.results(codes, ids)? {
            updates += usize::from(heap.offer(distance, label));
        }
        Ok((values, labels, updates))
    }

    /// The distances and labels of codes that are nearer than the radius.
    pub fn scan_codes_range(&self, codes: &[u8], ids: Option<&[i64]>, radius: i32) -> Result<(Vec<i32>, Vec<i64>)> {
        Ok(self.results(codes, ids)?.into_iter().filter(|(distance, _)| *distance < radius).unzip())
    }
}

impl BinaryInvertedListScanner {
    fn check(&self, codes: &[u8]) -> Result<()> {
        Error::check(self.code_size > 0 && self.query.len() == self.code_size, "set_query comes first")?;
        Error::check(codes.len().is_multiple_of(self.code_size), "codes.size() % code_size == 0")
    }

    fn results(&self, codes: &[u8], ids: Option<&[i64]>) -> Result<Vec<(i32, i64)>> {
        self.check(codes)?;
        let n = codes.len() / self.code_size;
        Error::check(ids.map_or(self.store_pairs, |ids| ids.len() == n), "ids.size() == n")?;
        let label = |i: usize| match ids {
            Some(ids) if !self.store_pairs => ids[i],
            _ => lo_build(self.list_no as usize, i),
        };
        let codes = codes.chunks_exact(self.code_size).enumerate();
        Ok(codes.map(|(i, code)| (hamming::hamming(&self.query, code), label(i))).collect())
    }
}
