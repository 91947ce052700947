//! Sums of table entries that bytes name: the inner loop of searches among product-quantized codes.

use super::launch::{Isa, Kernel, launch};

const ROW: usize = 256;

/// `out[i]`: the sum over `m` of entry `codes[i * m_parts + m]` of row `m` of `table`, whose rows have 256 entries.
pub fn pq8_lookup(table: &[f32], m_parts: usize, codes: &[u8], out: &mut [f32]) {
    let (rows, _) = table.as_chunks::<ROW>();
    assert!(rows.len() >= m_parts && codes.len() >= out.len() * m_parts, "a table row a part, and a code a result");
    if m_parts == 0 {
        return out.fill(0.0);
    }
    launch(Lookup { rows: &rows[..m_parts], codes, out });
}

struct Lookup<'a> {
    rows: &'a [[f32; ROW]],
    codes: &'a [u8],
    out: &'a mut [f32],
}

impl Kernel for Lookup<'_> {
    type Out = ();

    #[inline(always)]
    fn run<R: Isa>(self) {
        lookup(self.rows, self.codes, self.out);
    }
}

#[inline(always)]
fn lookup(rows: &[[f32; ROW]], codes: &[u8], out: &mut [f32]) {
    let m_parts = rows.len();
    // Four codes at a time: one addition need not wait for the last, and a row is still near for all four.
    let mut i = 0;
    while i + 4 <= out.len() {
        let four = &codes[i * m_parts..(i + 4) * m_parts];
        let (c0, c1) = (&four[..m_parts], &four[m_parts..2 * m_parts]);
        let (c2, c3) = (&four[2 * m_parts..3 * m_parts], &four[3 * m_parts..4 * m_parts]);
        let mut s = [0f32; 4];
        for m in 0..m_parts {
            let row = &rows[m];
            s[0] += row[usize::from(c0[m])];
            s[1] += row[usize::from(c1[m])];
            s[2] += row[usize::from(c2[m])];
            s[3] += row[usize::from(c3[m])];
        }
        let out = &mut out[i..i + 4];
        (out[0], out[1], out[2], out[3]) = (s[0], s[1], s[2], s[3]);
        i += 4;
    }
    while i < out.len() {
        let code = &codes[i * m_parts..(i + 1) * m_parts];
        let mut sum = 0.0;
        for m in 0..m_parts {
            sum += rows[m][usize::from(code[m])];
        }
        out[i] = sum;
        i += 1;
    }
}
