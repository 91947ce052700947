//! The candidates of a search.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// A vertex and its key, ordered by key alone. Keys that can't be compared, NaNs, count as equal, so that heaps arrange them as Faiss's do.
#[derive(Clone, Copy, Debug)]
pub struct Node {
    /// The smaller, the nearer.
    pub key: f32,
    /// Its number.
    pub vertex: u32,
}

impl Ord for Node {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key.partial_cmp(&other.key).unwrap_or(Ordering::Equal)
    }
}
impl PartialOrd for Node {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Node {}

/// The farthest on top.
pub type Farthest = BinaryHeap<Node>;
/// The nearest on top.
pub type Nearest = BinaryHeap<std::cmp::Reverse<Node>>;

/// Set in the vertex number of what was taken.
const TAKEN: u32 = 1 << 31;

/// The nearest vertices that a search has seen, up to a number of them, nearest first; each is taken once, to look at its links.
///
/// One sorted array instead of two heaps: with some hundred entries, moving half of them is cheaper than the heaps' branches.
#[derive(Default)]
pub struct Pool {
    entries: Vec<Node>,
    capacity: usize,
    /// All before this one are taken.
    next: usize,
}

impl Pool {
    /// Empties it, for the best `capacity`, at least 1.
    pub fn start(&mut self, capacity: usize) {
        self.entries.clear();
        (self.capacity, self.next) = (capacity.max(1), 0);
    }

    /// Among equal keys, those that came first stay first. A NaN is the farthest.
    #[inline]
    pub fn push(&mut self, vertex: u32, key: f32) {
        let key = if key.is_nan() { f32::INFINITY } else { key };
        if self.entries.len() == self.capacity {
            if key >= self.entries[self.capacity - 1].key {
                return;
            }
            self.entries.pop();
        }
        let at = self.entries.partition_point(|entry| entry.key <= key);
        self.entries.insert(at, Node { key, vertex });
        self.next = self.next.min(at);
    }

    /// The nearest that was not taken yet.
    #[inline]
    pub fn take(&mut self) -> Option<Node> {
        while let Some(entry) = self.entries.get_mut(self.next) {
            self.next += 1;
            if entry.vertex & TAKEN == 0 {
                let node = *entry;
                entry.vertex |= TAKEN;
                return Some(node);
            }
        }
        None
    }

    /// The vertex that is taken next, unless a nearer one comes.
    #[inline]
    pub fn peek(&self) -> Option<u32> {
        self.entries.get(self.next..)?.iter().map(|entry| entry.vertex).find(|vertex| vertex & TAKEN == 0)
    }

    /// How many have a smaller key.
    pub fn count_below(&self, key: f32) -> usize {
        self.entries.partition_point(|entry| entry.key < key)
    }

    /// What it holds, nearest first.
    pub fn nodes(&self) -> impl Iterator<Item = Node> + '_ {
        self.entries.iter().map(|entry| Node { key: entry.key, vertex: entry.vertex & !TAKEN })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_pool_keeps_the_nearest_and_gives_each_once(keys in prop::collection::vec(0..50u8, 1..80), capacity in 1..20usize) {
            let mut pool = Pool::default();
            pool.start(capacity);
            let mut taken = Vec::new();
            for (i, key) in keys.iter().enumerate() {
                pool.push(i as u32, f32::from(*key));
                if i % 3 == 2 {
                    let peeked = pool.peek();
                    let node = pool.take();
                    prop_assert_eq!(peeked, node.map(|n| n.vertex));
                    taken.extend(node);
                }
            }
            let mut all: Vec<(u8, u32)> = keys.iter().zip(0..).map(|(k, i)| (*k, i)).collect();
            all.sort();
            all.truncate(capacity);
            let held: Vec<(u8, u32)> = pool.nodes().map(|n| (n.key as u8, n.vertex)).collect();
            prop_assert_eq!(held, all);
            let before = pool.nodes().count();
            while let Some(node) = pool.take() {
                taken.push(node);
            }
            prop_assert_eq!(pool.nodes().count(), before);
            let mut vertices: Vec<u32> = taken.iter().map(|n| n.vertex).collect();
            vertices.sort_unstable();
            let count = vertices.len();
            vertices.dedup();
            prop_assert_eq!(vertices.len(), count);
        }
    }
}
