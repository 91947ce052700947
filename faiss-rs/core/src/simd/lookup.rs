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
    let fours = out.len() / 4 * 4;
    for (out, codes) in out[..fours].chunks_exact_mut(4).zip(codes.chunks_exact(4 * m_parts)) {
        let (c0, rest) = codes.split_at(m_parts);
        let (c1, rest) = rest.split_at(m_parts);
        let (c2, c3) = rest.split_at(m_parts);
        let mut s = [0f32; 4];
        for ((((row, a), b), c), d) in rows.iter().zip(c0).zip(c1).zip(c2).zip(c3) {
            s[0] += row[*a as usize];
            s[1] += row[*b as usize];
            s[2] += row[*c as usize];
            s[3] += row[*d as usize];
        }
        out.copy_from_slice(&s);
    }
    for (i, out) in out.iter_mut().enumerate().skip(fours) {
        let code = &codes[i * m_parts..(i + 1) * m_parts];
        *out = rows.iter().zip(code).map(|(row, c)| row[*c as usize]).sum();
    }
}
