//! What Python sees of the product quantizer beyond its fields: constructor and methods on arrays.

use faiss_derive::methods;

use super::codec;
use super::product::ProductQuantizer;
use crate::base::declare::{Array, Rows, Shaped};
use crate::base::memory::filled;
use crate::base::{MetricType, Result};
use crate::registry::Row;

pub(crate) const ROW: Row = Row::of::<ProductQuantizer>();

/// The constructors and methods of [`ProductQuantizer`].
pub struct ProductQuantizerMethods;

impl ProductQuantizerMethods {
    fn tables(pq: &ProductQuantizer, x: Array<'_, f32>, inner_products: bool) -> Result<Shaped<f32>> {
        let rows = x.items.len() / pq.d.max(1);
        let mut out = filled(&[rows, pq.M, pq.ksub], 0f32)?;
        pq.tables(x.items, inner_products, &mut out)?;
        let mut size = if x.shape.len() == 1 { vec![] } else { vec![rows] };
        size.extend([pq.M, pq.ksub]);
        Ok(Shaped(out, size))
    }
}

#[methods]
impl ProductQuantizerMethods {
    #[new]
    fn empty() -> ProductQuantizer {
        ProductQuantizer::default()
    }

    #[new]
    fn of(d: usize, M: usize, nbits: usize) -> Result<ProductQuantizer> {
        ProductQuantizer::new(d, M, nbits)
    }

    /// Learns the centroids from vectors (n, d), of which there must be at least `ksub`.
    fn train(this: &mut ProductQuantizer, x: &[f32]) -> Result<()> {
        this.train(x)
    }

    /// Encodes vectors (n, d) to codes (n, code_size) of uint8.
    fn compute_codes(this: &ProductQuantizer, x: &[f32]) -> Result<Rows<u8>> {
        let mut codes = filled(&[x.len() / this.d.max(1), this.code_size], 0u8)?;
        this.compute_codes(x, &mut codes)?;
        Ok(Rows(codes, this.code_size))
    }

    /// Decodes codes (n, code_size) of uint8 to vectors (n, d).
    fn decode(this: &ProductQuantizer, codes: &[u8]) -> Result<Rows<f32>> {
        let mut x = filled(&[codes.len() / this.code_size.max(1), this.d], 0f32)?;
        this.decode(codes, &mut x)?;
        Ok(Rows(x, this.d))
    }

    /// Squared distances of the parts of vectors (n, d) to all centroids: (n, M, ksub).
    fn compute_distance_tables(this: &ProductQuantizer, x: Array<'_, f32>) -> Result<Shaped<f32>> {
        Self::tables(this, x, false)
    }

    /// Inner products of the parts of vectors (n, d) with all centroids: (n, M, ksub).
    fn compute_inner_prod_tables(this: &ProductQuantizer, x: Array<'_, f32>) -> Result<Shaped<f32>> {
        Self::tables(this, x, true)
    }

    /// The k nearest of codes (ncodes, code_size) to vectors (n, d), or the most similar ones: distances and positions (n, k).
    #[name = "_search"]
    fn search(
        this: &ProductQuantizer,
        metric: MetricType,
        x: &[f32],
        codes: &[u8],
        k: usize,
    ) -> Result<(Rows<f32>, Rows<i64>)> {
        let n = x.len() / this.d.max(1);
        let (mut distances, mut labels) = (filled(&[n, k], 0f32)?, filled(&[n, k], -1i64)?);
        codec::knn(this, metric, x, codes, k, &mut distances, &mut labels)?;
        Ok((Rows(distances, k), Rows(labels, k)))
    }

    /// The code of the vector whose distances to all centroids are given, (M, ksub).
    #[name = "_code_of_table"]
    fn code_of_table(this: &ProductQuantizer, tab: &[f32]) -> Result<Vec<u8>> {
        this.compute_code_from_distance_table(tab)
    }

    /// Sets what follows from d, M and nbits.
    fn set_derived_values(this: &mut ProductQuantizer) -> Result<()> {
        this.set_derived_values()
    }

    /// Fills `sdc_table` with the squared distances between centroids.
    fn compute_sdc_table(this: &mut ProductQuantizer) -> Result<()> {
        this.compute_sdc_table()
    }

    /// Fills `transposed_centroids` and `centroids_sq_lengths`.
    fn sync_transposed_centroids(this: &mut ProductQuantizer) -> Result<()> {
        this.sync_transposed_centroids()
    }

    /// Drops `transposed_centroids` and `centroids_sq_lengths`.
    fn clear_transposed_centroids(this: &mut ProductQuantizer) {
        (this.transposed_centroids, this.centroids_sq_lengths) = (Vec::new(), Vec::new());
    }
}
