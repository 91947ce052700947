//! What a search keeps of the distances it sees. Collectors see keys of which the smaller is the better: a similarity is negated.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// A result: key and id.
pub type Hit = (f32, i64);

/// Best first; equal keys by id, so that results do not depend on how the work was split.
pub fn order(a: &Hit, b: &Hit) -> Ordering {
    a.0.total_cmp(&b.0).then(a.1.cmp(&b.1))
}

/// One query's results from those of several parts of what was searched: the best `keep`, or all of them one after the other.
pub fn merge_parts(parts: &mut dyn Iterator<Item = Vec<Hit>>, keep: Option<usize>) -> Vec<Hit> {
    let mut all = parts.next().unwrap_or_default();
    parts.for_each(|part| all.extend(part));
    if let Some(k) = keep {
        if all.len() > k {
            all.select_nth_unstable_by(k - 1, order);
            all.truncate(k);
        }
        all.sort_unstable_by(order);
    }
    all
}

/// Takes the results of one query. Ids come in ascending order.
pub trait Collector: Send {
    /// Whether only the best of the keys matters, so that the others need not be offered.
    const BEST_ONLY: bool = false;
    /// Only keys below this are of interest.
    fn threshold(&self) -> f32;
    fn push(&mut self, key: f32, id: i64);
    /// How many were pushed, for searches that end when nothing more comes; only range searches count.
    fn count(&self) -> usize {
        0
    }
    /// How many were taken among the best `k`, for statistics; none in range searches, which keep all.
    fn updates(&self) -> usize {
        0
    }
    /// What was kept, best first for searches with a `k`, in order of ids for range searches.
    fn finish(self) -> Vec<Hit>;
}

/// The best result.
pub struct Best1 {
    hit: Hit,
    updates: usize,
}

impl Default for Best1 {
    fn default() -> Self {
        Best1 { hit: (f32::MAX, -1), updates: 0 }
    }
}

impl Collector for Best1 {
    const BEST_ONLY: bool = true;
    #[inline]
    fn threshold(&self) -> f32 {
        self.hit.0
    }
    #[inline]
    fn push(&mut self, key: f32, id: i64) {
        self.hit = (key, id);
        self.updates += 1;
    }
    fn updates(&self) -> usize {
        self.updates
    }
    fn finish(self) -> Vec<Hit> {
        if self.hit.1 < 0 { Vec::new() } else { vec![self.hit] }
    }
}

/// The best `k` results: kept in no order, with room for more than `k`; when full, the worse ones go and the threshold falls.
pub struct Reservoir {
    hits: Vec<Hit>,
    k: usize,
    threshold: f32,
    dropped: usize,
}

impl Reservoir {
    pub fn new(k: usize) -> Self {
        // Room for what most searches want; a large `k` may find few.
        let hits = Vec::with_capacity(Self::full(k).min(256));
        Reservoir { hits, k, threshold: f32::MAX, dropped: 0 }
    }

    /// How many are kept at most.
    fn full(k: usize) -> usize {
        k.saturating_add(k.max(16))
    }

    fn shrink(&mut self) {
        let k = self.k;
        if self.hits.len() > k {
            self.hits.select_nth_unstable_by(k - 1, order);
            self.dropped += self.hits.len() - k;
            self.hits.truncate(k);
            self.threshold = self.hits[k - 1].0;
        }
    }
}

impl Collector for Reservoir {
    #[inline]
    fn threshold(&self) -> f32 {
        self.threshold
    }
    #[inline]
    fn push(&mut self, key: f32, id: i64) {
        self.hits.push((key, id));
        if self.hits.len() >= Self::full(self.k) {
            self.shrink();
        }
    }
    fn updates(&self) -> usize {
        self.dropped + self.hits.len()
    }
    fn finish(mut self) -> Vec<Hit> {
        self.shrink();
        self.hits.sort_unstable_by(order);
        self.hits
    }
}

/// A hit in a heap, the worst on top.
#[derive(PartialEq)]
struct Worst(Hit);

impl Eq for Worst {}

impl PartialOrd for Worst {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Worst {
    fn cmp(&self, other: &Self) -> Ordering {
        order(&self.0, &other.0)
    }
}

/// The best `k` results, with a threshold that never lags: for searches that compute more of a key only where it may be below the threshold.
pub struct Heap {
    hits: BinaryHeap<Worst>,
    k: usize,
    updates: usize,
}

impl Heap {
    /// `k` is not 0.
    pub fn new(k: usize) -> Self {
        Heap { hits: BinaryHeap::new(), k, updates: 0 }
    }
}

impl Collector for Heap {
    #[inline]
    fn threshold(&self) -> f32 {
        match self.hits.peek() {
            Some(worst) if self.hits.len() >= self.k => worst.0.0,
            _ => f32::MAX,
        }
    }
    #[inline]
    fn push(&mut self, key: f32, id: i64) {
        if self.hits.len() >= self.k {
            self.hits.pop();
        }
        self.hits.push(Worst((key, id)));
        self.updates += 1;
    }
    fn updates(&self) -> usize {
        self.updates
    }
    fn finish(self) -> Vec<Hit> {
        self.hits.into_sorted_vec().into_iter().map(|worst| worst.0).collect()
    }
}

/// All results below a radius.
pub struct InRange {
    radius: f32,
    hits: Vec<Hit>,
}

impl InRange {
    pub fn new(radius: f32) -> Self {
        InRange { radius, hits: Vec::new() }
    }
}

impl Collector for InRange {
    #[inline]
    fn threshold(&self) -> f32 {
        self.radius
    }
    #[inline]
    fn push(&mut self, key: f32, id: i64) {
        self.hits.push((key, id));
    }
    fn count(&self) -> usize {
        self.hits.len()
    }
    fn finish(self) -> Vec<Hit> {
        self.hits
    }
}
