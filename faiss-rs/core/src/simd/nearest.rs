//! The nearest of many in one pass: distances stay in registers, with the best so far of each lane beside them.
//!
//! Loops instead of iterators with closures: a closure that is not inlined is compiled without the instruction set.

use super::lanes::Lanes;

/// `a * b + sum`, fused where that is one instruction.
#[inline(always)]
pub(super) fn fused<R: Lanes>(a: f32, b: f32, sum: f32) -> f32 {
    if R::FUSED { a.mul_add(b, sum) } else { a * b + sum }
}

/// Keys by position, in registers. Names of types instead of closures, for the same reason.
trait Keys {
    /// The keys from position `at` on, one register.
    fn one<R: Lanes>(&self, at: usize) -> R;
    /// Four registers: sums over coordinates need not wait for each other.
    fn four<R: Lanes>(&self, at: usize) -> [R; 4];
    fn scalar<R: Lanes>(&self, at: usize) -> f32;
}

/// The smallest of `n` keys and its position, the first of equals; a NaN is never the smallest.
#[inline(always)]
fn least<R: Lanes>(n: usize, keys: &impl Keys) -> (usize, f32) {
    let (w, none) = (R::WIDTH, R::splat(f32::INFINITY));
    let (mut at, mut best) = (0, (usize::MAX, f32::INFINITY));
    if n >= w {
        let (mut least, mut groups) = ([none; 4], [R::zero(); 4]);
        // Group numbers are whole and small enough for an f32.
        let mut group = R::zero();
        while n - at >= 4 * w {
            let new = keys.four::<R>(at);
            keep(new, group, &mut least, &mut groups);
            group = group.add(R::splat(1.0));
            at += 4 * w;
        }
        // A last group that is not full.
        if n - at >= w {
            let mut new = [keys.one::<R>(at), none, none, none];
            at += w;
            if n - at >= w {
                new[1] = keys.one(at);
                at += w;
            }
            if n - at >= w {
                new[2] = keys.one(at);
                at += w;
            }
            keep(new, group, &mut least, &mut groups);
        }
        best = first_least(least, groups);
    }
    while at < n {
        let key = keys.scalar::<R>(at);
        best = if key < best.1 { (at, key) } else { best };
        at += 1;
    }
    best
}

#[inline(always)]
fn keep<R: Lanes>(new: [R; 4], group: R, least: &mut [R; 4], groups: &mut [R; 4]) {
    new[0].keep_less(group, &mut least[0], &mut groups[0]);
    new[1].keep_less(group, &mut least[1], &mut groups[1]);
    new[2].keep_less(group, &mut least[2], &mut groups[2]);
    new[3].keep_less(group, &mut least[3], &mut groups[3]);
}

#[inline(always)]
fn first_least<R: Lanes>(keys: [R; 4], groups: [R; 4]) -> (usize, f32) {
    let (key, place) = R::first_least(keys, groups);
    if key < f32::INFINITY { (place, key) } else { (usize::MAX, f32::INFINITY) }
}

/// Sums over the coordinates of `x` for the columns of `yt`, `n` of them.
struct Columns<'a> {
    x: &'a [f32],
    yt: &'a [f32],
    n: usize,
}

impl Columns<'_> {
    /// Coordinate `i` of `count` columns from `at` on.
    #[inline(always)]
    fn row(&self, i: usize, at: usize, count: usize) -> &[f32] {
        &self.yt[i * self.n + at..i * self.n + at + count]
    }
}

/// Squared differences.
struct Differences<'a>(Columns<'a>);
impl Keys for Differences<'_> {
    #[inline(always)]
    fn one<R: Lanes>(&self, at: usize) -> R {
        let mut sum = R::zero();
        for i in 0..self.0.x.len() {
            let t = R::splat(self.0.x[i]).sub(R::load(self.0.row(i, at, R::WIDTH)));
            sum = t.madd(t, sum);
        }
        sum
    }
    #[inline(always)]
    fn four<R: Lanes>(&self, at: usize) -> [R; 4] {
        let [mut a, mut b, mut c, mut d] = [R::zero(); 4];
        for i in 0..self.0.x.len() {
            let (v, row) = (R::splat(self.0.x[i]), self.0.row(i, at, 4 * R::WIDTH));
            let t = v.sub(R::load(row));
            a = t.madd(t, a);
            let t = v.sub(R::load(&row[R::WIDTH..]));
            b = t.madd(t, b);
            let t = v.sub(R::load(&row[2 * R::WIDTH..]));
            c = t.madd(t, c);
            let t = v.sub(R::load(&row[3 * R::WIDTH..]));
            d = t.madd(t, d);
        }
        [a, b, c, d]
    }
    #[inline(always)]
    fn scalar<R: Lanes>(&self, at: usize) -> f32 {
        let mut sum = 0.0;
        for i in 0..self.0.x.len() {
            let t = self.0.x[i] - self.0.row(i, at, 1)[0];
            sum = fused::<R>(t, t, sum);
        }
        sum
    }
}

/// Norms less twice the products.
struct Products<'a>(Columns<'a>, &'a [f32]);
impl Products<'_> {
    #[inline(always)]
    fn key<R: Lanes>(&self, at: usize, product: R) -> R {
        R::load(&self.1[at..]).sub(product.add(product))
    }
}
impl Keys for Products<'_> {
    #[inline(always)]
    fn one<R: Lanes>(&self, at: usize) -> R {
        let mut sum = R::zero();
        for i in 0..self.0.x.len() {
            sum = R::splat(self.0.x[i]).madd(R::load(self.0.row(i, at, R::WIDTH)), sum);
        }
        self.key(at, sum)
    }
    #[inline(always)]
    fn four<R: Lanes>(&self, at: usize) -> [R; 4] {
        let [mut a, mut b, mut c, mut d] = [R::zero(); 4];
        for i in 0..self.0.x.len() {
            let (v, row) = (R::splat(self.0.x[i]), self.0.row(i, at, 4 * R::WIDTH));
            a = v.madd(R::load(row), a);
            b = v.madd(R::load(&row[R::WIDTH..]), b);
            c = v.madd(R::load(&row[2 * R::WIDTH..]), c);
            d = v.madd(R::load(&row[3 * R::WIDTH..]), d);
        }
        let w = R::WIDTH;
        [self.key(at, a), self.key(at + w, b), self.key(at + 2 * w, c), self.key(at + 3 * w, d)]
    }
    #[inline(always)]
    fn scalar<R: Lanes>(&self, at: usize) -> f32 {
        let mut sum = 0.0;
        for i in 0..self.0.x.len() {
            sum = fused::<R>(self.0.x[i], self.0.row(i, at, 1)[0], sum);
        }
        self.1[at] - 2.0 * sum
    }
}

/// Products that are there already, to be completed to squared distances.
struct Row<'a> {
    products: &'a [f32],
    x_norm: f32,
    y_norms: &'a [f32],
}
impl Keys for Row<'_> {
    #[inline(always)]
    fn one<R: Lanes>(&self, at: usize) -> R {
        R::load(&self.y_norms[at..]).add(R::load(&self.products[at..])).add(R::splat(self.x_norm))
    }
    #[inline(always)]
    fn four<R: Lanes>(&self, at: usize) -> [R; 4] {
        let w = R::WIDTH;
        [self.one(at), self.one(at + w), self.one(at + 2 * w), self.one(at + 3 * w)]
    }
    #[inline(always)]
    fn scalar<R: Lanes>(&self, at: usize) -> f32 {
        (self.y_norms[at] + self.products[at]) + self.x_norm
    }
}

#[inline(always)]
pub fn nearest_L2sqr_transposed<R: Lanes>(x: &[f32], yt: &[f32], n: usize) -> (usize, f32) {
    if n == 0 {
        return (usize::MAX, f32::INFINITY);
    }
    least::<R>(n, &Differences(Columns { x, yt, n }))
}

#[inline(always)]
pub fn nearest_by_products_transposed<R: Lanes>(x: &[f32], yt: &[f32], y_norms: &[f32]) -> (usize, f32) {
    let n = y_norms.len();
    if n == 0 {
        return (usize::MAX, f32::INFINITY);
    }
    least::<R>(n, &Products(Columns { x, yt, n }, y_norms))
}

#[inline(always)]
pub fn nearest_of_products<R: Lanes>(products: &[f32], x_norm: f32, y_norms: &[f32]) -> (usize, f32) {
    least::<R>(products.len().min(y_norms.len()), &Row { products, x_norm, y_norms })
}

/// The keys of two queries beside each other: numbers that were loaded are used twice, and more sums run at a time.
#[inline(always)]
fn four_of_two<R: Lanes>(a: &Products<'_>, b: &Products<'_>, at: usize) -> ([R; 4], [R; 4]) {
    let w = R::WIDTH;
    let ([mut a0, mut a1, mut a2, mut a3], [mut b0, mut b1, mut b2, mut b3]) = ([R::zero(); 4], [R::zero(); 4]);
    let (x, z) = (a.0.x, &b.0.x[..a.0.x.len()]);
    for i in 0..x.len() {
        let row = a.0.row(i, at, 4 * w);
        let (p, q) = (R::splat(x[i]), R::splat(z[i]));
        let y = R::load(row);
        (a0, b0) = (p.madd(y, a0), q.madd(y, b0));
        let y = R::load(&row[w..]);
        (a1, b1) = (p.madd(y, a1), q.madd(y, b1));
        let y = R::load(&row[2 * w..]);
        (a2, b2) = (p.madd(y, a2), q.madd(y, b2));
        let y = R::load(&row[3 * w..]);
        (a3, b3) = (p.madd(y, a3), q.madd(y, b3));
    }
    (
        [a.key(at, a0), a.key(at + w, a1), a.key(at + 2 * w, a2), a.key(at + 3 * w, a3)],
        [b.key(at, b0), b.key(at + w, b1), b.key(at + 2 * w, b2), b.key(at + 3 * w, b3)],
    )
}

/// The smallest keys of two queries, where the number of columns is a multiple of four registers.
#[inline(always)]
fn least_of_two<R: Lanes>(n: usize, a: &Products<'_>, b: &Products<'_>) -> [(usize, f32); 2] {
    let (none, zero) = ([R::splat(f32::INFINITY); 4], [R::zero(); 4]);
    let (mut least_a, mut groups_a, mut least_b, mut groups_b) = (none, zero, none, zero);
    let (mut at, mut group) = (0, R::zero());
    while at < n {
        let (new_a, new_b) = four_of_two::<R>(a, b, at);
        keep(new_a, group, &mut least_a, &mut groups_a);
        keep(new_b, group, &mut least_b, &mut groups_b);
        group = group.add(R::splat(1.0));
        at += 4 * R::WIDTH;
    }
    [first_least(least_a, groups_a), first_least(least_b, groups_b)]
}

#[inline(always)]
pub fn nearest_rows_by_products<R: Lanes>(
    x: &[f32],
    d: usize,
    yt: &[f32],
    y_norms: &[f32],
    first: i64,
    keys: &mut [f32],
    places: &mut [i64],
) {
    let n = y_norms.len();
    let nq = keys.len().min(places.len());
    if n == 0 {
        return;
    }
    let mut q = 0;
    while q < nq {
        let a = Products(Columns { x: &x[q * d..(q + 1) * d], yt, n }, y_norms);
        if q + 1 < nq && n.is_multiple_of(4 * R::WIDTH) {
            let b = Products(Columns { x: &x[(q + 1) * d..(q + 2) * d], yt, n }, y_norms);
            let [found_a, found_b] = least_of_two::<R>(n, &a, &b);
            put(found_a, first, &mut keys[q], &mut places[q]);
            put(found_b, first, &mut keys[q + 1], &mut places[q + 1]);
            q += 2;
        } else {
            put(least::<R>(n, &a), first, &mut keys[q], &mut places[q]);
            q += 1;
        }
    }
}

#[inline(always)]
fn put(found: (usize, f32), first: i64, key: &mut f32, place: &mut i64) {
    if found.1 < *key {
        (*key, *place) = (found.1, first + found.0 as i64);
    }
}

/// How many of the first products Faiss rounds before it adds them, by dimension; after those, they are fused.
#[inline(always)]
fn rounded_products(d: usize) -> usize {
    match d {
        18 => 17,
        19 | 20 => 19,
        21..=24 => 21,
        25..=32 => 25,
        _ => 2,
    }
}

/// Squared norms of the rows of `x`, summed in the order that the results of Faiss's search for one nearest vector in up to 32 dimensions show:
/// which of two centroids at nearly the same distance is the nearer depends on it, and k-means on that.
#[inline(always)]
pub fn fvec_norms_by_coordinate<R: Lanes>(norms: &mut [f32], x: &[f32], d: usize) {
    let rounded = rounded_products(d).min(d);
    for i in 0..norms.len() {
        let row = &x[i * d..(i + 1) * d];
        norms[i] = match *row {
            [a] => a * a,
            [a, b, c, d] => (a * a + b * b) + (c * c + d * d),
            [a, b, ..] => {
                let mut sum = fused::<R>(a, a, b * b);
                for v in &row[2..rounded] {
                    sum += v * v;
                }
                for v in &row[rounded..] {
                    sum = fused::<R>(*v, *v, sum);
                }
                sum
            }
            [] => 0.0,
        };
    }
}
