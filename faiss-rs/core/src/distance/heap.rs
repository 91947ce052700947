//! Heaps in memory of the caller's, as Faiss has them: the worst of the results that are kept is on top, and the one that is replaced.

/// The `k` best results of a query; `values` and `ids` are equally long.
pub struct Heap<'a, T> {
    pub values: &'a mut [T],
    pub ids: &'a mut [i64],
    /// Whether the largest values are kept, so that the smallest is on top.
    pub keep_max: bool,
}

impl<T: Copy + PartialOrd> Heap<'_, T> {
    fn worse(&self, a: (T, i64), b: (T, i64)) -> bool {
        if a.0 == b.0 {
            return if self.keep_max { a.1 < b.1 } else { a.1 > b.1 };
        }
        if self.keep_max { a.0 < b.0 } else { a.0 > b.0 }
    }

    /// Takes a result in the place of the worst, if it is better than that. Whether it was.
    pub fn offer(&mut self, value: T, id: i64) -> bool {
        let better = self.values.first().is_some_and(|top| if self.keep_max { value > *top } else { value < *top });
        if better {
            self.replace_top(value, id);
        }
        better
    }

    fn at(&self, i: usize) -> (T, i64) {
        (self.values[i], self.ids[i])
    }

    fn replace_top(&mut self, value: T, id: i64) {
        let (k, mut hole) = (self.values.len(), 0);
        loop {
            let (left, right) = (2 * hole + 1, 2 * hole + 2);
            if left >= k {
                break;
            }
            let child = if right >= k || self.worse(self.at(left), self.at(right)) { left } else { right };
            if self.worse((value, id), self.at(child)) {
                break;
            }
            (self.values[hole], self.ids[hole]) = self.at(child);
            hole = child;
        }
        (self.values[hole], self.ids[hole]) = (value, id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_best() {
        for keep_max in [false, true] {
            for k in [1, 2, 5, 16] {
                let worst = if keep_max { i32::MIN } else { i32::MAX };
                let (mut values, mut ids) = (vec![worst; k], vec![-1; k]);
                let mut heap = Heap { values: &mut values, ids: &mut ids, keep_max };
                let numbers: Vec<i32> = (0..40).map(|i| i * 37 % 23).collect();
                for (i, n) in numbers.iter().enumerate() {
                    heap.offer(*n, i as i64);
                }
                assert!(values.iter().zip(&ids).all(|(v, id)| numbers[*id as usize] == *v));
                // A parent is no better than its children.
                let holds = |i: usize| {
                    if keep_max { values[(i - 1) / 2] <= values[i] } else { values[(i - 1) / 2] >= values[i] }
                };
                assert!((1..k).all(holds));
                let mut sorted = numbers.clone();
                sorted.sort_unstable();
                if keep_max {
                    sorted.reverse();
                }
                values.sort_unstable();
                if keep_max {
                    values.reverse();
                }
                assert_eq!(values, sorted[..k]);
            }
        }
    }

    #[test]
    fn an_empty_heap_takes_nothing() {
        let mut heap = Heap::<f32> { values: &mut [], ids: &mut [], keep_max: false };
        assert!(!heap.offer(1.0, 2));
        let (mut values, mut ids) = ([3.0f32], [7]);
        let mut heap = Heap { values: &mut values, ids: &mut ids, keep_max: false };
        assert!(!heap.offer(f32::NAN, 2) && !heap.offer(3.0, 1) && heap.offer(2.5, 1));
    }
}
