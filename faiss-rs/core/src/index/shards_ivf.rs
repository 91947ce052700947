//! Inverted files with the same coarse quantizer as one, each with a part of the vectors: the quantizer is asked once for all.

use faiss_derive::{Object, methods};

use super::Index;
use super::ivf::train::Level1;
use super::ivf::{InvertedFile, edit, search};
use super::parts::ids_to_add;
use super::shards::{IndexShards, add_part};
use crate::base::object::Object;
use crate::base::{Error, Result, Shared};
use crate::cluster::ClusteringParameters;
use crate::distance::merge_knn_results;
use crate::registry::Row;

/// Several inverted files with a common coarse quantizer, each with a part of the vectors.
#[derive(Object, Default, Clone)]
#[object(implements(Index), methods)]
pub struct IndexShardsIVF {
    /// The indexes.
    #[object(parent)]
    pub shards: IndexShards,
    /// Assigns vectors to lists, for all indexes.
    pub quantizer: Option<Shared<dyn Index>>,
    /// Number of lists.
    pub nlist: usize,
    /// 0: k-means trains the quantizer; 1: it trains itself; 2: k-means trains centroids, which are then added to it.
    pub quantizer_trains_alone: u8,
    /// Whether the quantizer belongs to this index. Memory is managed by reference counts, whatever this says.
    pub own_fields: bool,
    /// Parameters of the k-means of the quantizer.
    pub cp: ClusteringParameters,
    /// If set, assigns points to centroids in that k-means.
    pub clustering_index: Option<Shared<dyn Index>>,
}

pub(crate) const ROW: Row = Row::of::<IndexShardsIVF>();

#[methods]
impl IndexShardsIVF {
    /// Over `nlist` lists of `quantizer`.
    #[new]
    pub fn new(
        quantizer: Shared<dyn Index>,
        nlist: usize,
        #[default = false] threaded: bool,
        #[default = true] successive_ids: bool,
    ) -> Result<Self> {
        let base = quantizer.read().base().clone();
        let mut shards = IndexShards::new(i64::from(base.d), threaded, successive_ids)?;
        shards.is_trained = base.is_trained && base.ntotal == nlist as i64;
        let cp = ClusteringParameters { niter: 10, ..Default::default() };
        Ok(IndexShardsIVF { shards, quantizer: Some(quantizer), nlist, cp, ..Default::default() })
    }

    /// Takes one more inverted file, of the same number of lists.
    pub fn add_shard(&mut self, index: Shared<dyn Index>) -> Result<()> {
        let Ok(file) = index.view::<dyn InvertedFile>() else {
            return Err(Error::failed("!(index_ivf)", "can only add IndexIVFs"));
        };
        Error::check(file.read().ivf().nlist == self.nlist, "index_ivf->nlist == nlist")?;
        let trained = self.is_trained;
        add_part(self, index)?;
        self.is_trained = trained;
        Ok(())
    }

    /// Takes one more inverted file, of the same number of lists.
    #[name = "addIndex"]
    pub fn add_index(&mut self, index: Shared<dyn Index>) -> Result<()> {
        self.add_shard(index)
    }
}

impl IndexShardsIVF {
    fn quantizer(&self) -> Result<&Shared<dyn Index>> {
        self.quantizer.as_ref().ok_or_else(|| Error::failed("quantizer", "the index has no quantizer"))
    }

    fn files(&self) -> Result<Vec<Shared<dyn InvertedFile>>> {
        self.shards.parts.check_any()?;
        self.shards.parts.parts.iter().map(Shared::view).collect()
    }

    fn sync(&mut self) {
        let trained = self.is_trained;
        self.shards.parts.sync(true);
        self.is_trained = trained;
    }

    fn add_lists(&mut self, x: &[f32], ids: Option<&[i64]>) -> Result<()> {
        let files = self.files()?;
        let n = self.rows(x)?;
        let counted = ids_to_add(self.ntotal, self.shards.successive_ids, n, ids)?;
        let ids = ids.or(counted.as_deref());
        let mut list_nos = vec![-1i64; n];
        self.quantizer()?.read().assign(x, 1, &mut list_nos)?;
        let (d, count) = (self.dim(), files.len());
        for (i, file) in files.iter().enumerate() {
            let rows = i * n / count..(i + 1) * n / count;
            let x = &x[rows.start * d..rows.end * d];
            edit::add_core(&mut *file.write(), x, ids.map(|ids| &ids[rows.clone()]), &list_nos[rows.clone()])?;
        }
        Ok(())
    }
}

impl Index for IndexShardsIVF {
    crate::inherit_index!(shards);

    fn train(&mut self, x: &[f32]) -> Result<()> {
        Level1 {
            quantizer: self.quantizer()?,
            nlist: self.nlist,
            trains_alone: self.quantizer_trains_alone,
            cp: &self.cp,
            clustering_index: self.clustering_index.as_ref(),
            base: self.shards.base(),
        }
        .train(x)?;
        self.shards.parts.train(x)?;
        self.shards.parts.sync(true);
        self.is_trained = true;
        Ok(())
    }
    fn add(&mut self, x: &[f32]) -> Result<()> {
        let added = self.add_lists(x, None);
        self.sync();
        added
    }
    fn add_with_ids(&mut self, x: &[f32], ids: &[i64]) -> Result<()> {
        let added = self.add_lists(x, Some(ids));
        self.sync();
        added
    }
    /// In as many lists as the first index looks into.
    fn search(
        &self,
        x: &[f32],
        k: usize,
        params: Option<&dyn Object>,
        distances: &mut [f32],
        labels: &mut [i64],
    ) -> Result<()> {
        let n = self.queries(x, k, distances, labels)?;
        let files = self.files()?;
        let wanted = match search::nprobe_of(params)? {
            Some(nprobe) => nprobe,
            None => files[0].read().ivf().nprobe,
        };
        let nprobe = wanted.min(self.nlist).max(1);
        let (mut coarse, mut list_nos) = (vec![0f32; n * nprobe], vec![-1i64; n * nprobe]);
        self.quantizer()?.read().search(x, nprobe, None, &mut coarse, &mut list_nos)?;
        let size = n * k;
        let all = size.checked_mul(files.len()).ok_or_else(|| Error::failed("n * k * nshard fits", ""))?;
        let (mut all_distances, mut all_labels) = (vec![0f32; all], vec![-1i64; all]);
        let mut first = 0;
        for (shard, file) in files.iter().enumerate() {
            let own = shard * size..(shard + 1) * size;
            let file = file.read();
            let (distances, labels) = (&mut all_distances[own.clone()], &mut all_labels[own.clone()]);
            search::search_preassigned(&*file, x, k, &list_nos, &coarse, params, distances, labels, false)?;
            if self.successive_ids {
                labels.iter_mut().filter(|label| **label >= 0).for_each(|label| *label += first);
                first += file.base().ntotal;
            }
        }
        let similarity = self.metric_type.is_similarity();
        merge_knn_results(n, k, files.len(), &all_distances, &all_labels, similarity, distances, labels)
    }
}
