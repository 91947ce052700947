//! The Walsh-Hadamard transform. Plain code, which the compiler makes vectors of.

/// Multiplies by a Hadamard matrix, not normalized, in place. The length is a power of two.
pub fn walsh_hadamard(x: &mut [f32]) {
    let mut half = 1;
    while half < x.len() {
        for pair in x.chunks_exact_mut(2 * half) {
            let (low, high) = pair.split_at_mut(half);
            for (a, b) in low.iter_mut().zip(high) {
                (*a, *b) = (*a + *b, *a - *b);
            }
        }
        half *= 2;
    }
}
