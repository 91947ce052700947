//! The parameters of k-means.

use faiss_derive::Object;

use crate::registry::Row;

/// How a clustering is trained.
#[derive(Object, Clone)]
#[object(new, copy)]
pub struct ClusteringParameters {
    /// Number of rounds.
    #[object(default = 25)]
    pub niter: i32,
    /// How often to begin anew; the best result is kept.
    #[object(default = 1)]
    pub nredo: i32,
    /// Says on stderr how it goes.
    pub verbose: bool,
    /// Scales centroids to unit length after each round.
    pub spherical: bool,
    /// Rounds centroids to whole numbers after each round.
    pub int_centroids: bool,
    /// Trains the assignment index on the centroids after each round.
    pub update_index: bool,
    /// Leaves the centroids that were given as they are.
    pub frozen_centroids: bool,
    /// With fewer points a centroid, a warning.
    #[object(default = 39)]
    pub min_points_per_centroid: i32,
    /// With more points a centroid, only a sample is used.
    #[object(default = 256)]
    pub max_points_per_centroid: i32,
    /// Seed of the random numbers; a negative one stands for the time.
    #[object(default = 1234)]
    pub seed: i32,
    /// Vectors decoded at once when training on codes.
    #[object(default = 32768)]
    pub decode_block_size: usize,
    /// Refuses points that are no finite numbers.
    #[object(default = true)]
    pub check_input_data_for_NaNs: bool,
    /// Samples with repetition, which needs no permutation of all points.
    pub use_faster_subsampling: bool,
    /// How the first centroids are chosen: 0 at random, 1 by k-means++, 2 by AFK-MC2.
    pub init_method: i32,
    /// Length of the chain of the AFK-MC2 initialisation.
    #[object(default = 50)]
    pub afkmc2_chain_length: i32,
    /// Ends when a round changes the objective by no more than this part of it: 0 where it does not change at all, negative for never.
    pub early_stop_threshold: f64,
    /// Accepted for compatibility: Faiss then leaves distances out that hardly matter; here all are computed.
    pub use_super_kmeans: bool,
}

impl ClusteringParameters {
    /// Whether a round changed the objective so little that the rest can be saved; never where it was 0, of which there is no share.
    pub fn converged(&self, before: f32, after: f32) -> bool {
        self.early_stop_threshold >= 0.0
            && before != 0.0
            && f64::from((before - after).abs()) <= f64::from(before.abs()) * self.early_stop_threshold
    }
}

impl ClusteringParameters {
    /// The seed in use.
    pub fn actual_seed(&self) -> i64 {
        if self.seed >= 0 {
            return i64::from(self.seed);
        }
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |t| t.as_nanos() as i64 & 0x7fff_ffff)
    }
}

pub(crate) const ROW: Row = Row::of::<ClusteringParameters>();
