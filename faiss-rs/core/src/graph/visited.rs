//! Which vertices a search has seen, and the memory of searches, used again by those that follow.

use parking_lot::Mutex;

use super::queue::Pool;

/// A flag a vertex. To forget all flags takes no time but once in 255 searches: a flag is set where it holds the number of the search.
#[derive(Default)]
pub struct VisitedTable {
    marks: Vec<u8>,
    current: u8,
}

impl VisitedTable {
    /// Room for `n` vertices, none of them seen.
    pub fn start(&mut self, n: usize) {
        if self.marks.len() < n {
            self.marks.resize(n, 0);
        }
        self.current = self.current.wrapping_add(1);
        if self.current == 0 {
            self.marks.fill(0);
            self.current = 1;
        }
    }

    /// Marks the vertex; true where it was not marked. A vertex for which there is no room counts as marked.
    #[inline]
    pub fn set(&mut self, vertex: u32) -> bool {
        let current = self.current;
        self.marks.get_mut(vertex as usize).is_some_and(|mark| std::mem::replace(mark, current) != current)
    }

    /// Whether a vertex is marked.
    pub fn get(&self, vertex: u32) -> bool {
        self.marks.get(vertex as usize).is_some_and(|mark| *mark == self.current)
    }
}

/// What a search needs beside the graph.
#[derive(Default)]
pub struct Scratch {
    /// Which vertices were seen.
    pub visited: VisitedTable,
    /// The candidates.
    pub pool: Pool,
    /// Vertices that are to be compared.
    pub fresh: Vec<u32>,
}

/// Things that threads borrow from each other.
pub struct Shelf<T>(Mutex<Vec<T>>);

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        Shelf(Mutex::new(Vec::new()))
    }
}

/// A copy begins empty: what is on a shelf is no state.
impl<T> Clone for Shelf<T> {
    fn clone(&self) -> Self {
        Shelf::default()
    }
}

impl<T> Shelf<T> {
    /// One of those that nobody uses, if there is one.
    pub fn take(&self) -> Option<T> {
        self.0.lock().pop()
    }

    /// Keeps a thing for others.
    pub fn put(&self, thing: T) {
        self.0.lock().push(thing);
    }

    /// Lets go of all.
    pub fn clear(&self) {
        self.0.lock().clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_last_one_search() {
        let mut table = VisitedTable::default();
        for round in 0..600usize {
            table.start(10 + round % 3);
            assert!((0..10).all(|v| !table.get(v)), "round {round}");
            assert!(table.set(3) && !table.set(3) && table.get(3) && !table.get(4));
            assert!(!table.set(1000) && !table.get(1000));
        }
    }
}
