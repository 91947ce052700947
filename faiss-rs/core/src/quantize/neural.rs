//! Small neural networks, and the codec that is made of them: QINCo (Huijben et al., "Residual quantization with implicit neural codebooks", 2024).
//! Their weights come from a training elsewhere.

use faiss_derive::{Object, methods};
use parking_lot::Mutex;

use crate::base::declare::Rows;
use crate::base::memory::filled;
use crate::base::object::Object;
use crate::base::{Error, MetricType, Result, Shared, interrupt, threads};
use crate::blas::sgemm_nt;
use crate::distance::{self, Database};
use crate::registry::Row;
use crate::simd;

/// Numbers that a table of candidates may have at a time.
const MOST: usize = 1 << 22;
/// No size of a network is beyond this.
const MAX_SIZE: i64 = 1 << 24;

fn size(n: i64, what: &str) -> Result<usize> {
    Error::check((0..=MAX_SIZE).contains(&n), &format!("{what} >= 0 && {what} <= 2^24"))?;
    Ok(n as usize)
}

/// The number of rows that an array has.
fn rows(x: &[f32], width: usize, what: &str) -> Result<usize> {
    Error::check(x.is_empty() || (width > 0 && x.len().is_multiple_of(width)), what)?;
    Ok(x.len().checked_div(width).unwrap_or(0))
}

/// A linear layer: x * transpose(weight) + bias.
#[derive(Object, Clone, Default)]
#[object(methods, copy)]
pub struct Linear {
    /// Numbers of a row of the input.
    #[object(readonly)]
    pub in_features: usize,
    /// Numbers of a row of the output.
    #[object(readonly)]
    pub out_features: usize,
    /// The weights, (out_features, in_features).
    pub weight: Vec<f32>,
    /// A number for each of the output, or none.
    pub bias: Vec<f32>,
}

pub(crate) const LINEAR: Row = Row::of::<Linear>();

#[methods]
impl Linear {
    /// Weights of 0, for rows of `in_features` numbers that become `out_features`; with or without a bias.
    #[new]
    pub fn new(in_features: i64, out_features: i64, #[default = true] bias: bool) -> Result<Self> {
        let (inputs, outputs) = (size(in_features, "in_features")?, size(out_features, "out_features")?);
        Ok(Linear {
            in_features: inputs,
            out_features: outputs,
            weight: filled(&[outputs, inputs], 0.0)?,
            bias: vec![0.0; if bias { outputs } else { 0 }],
        })
    }

    #[name = "_apply"]
    fn applied(&self, x: &[f32]) -> Result<Rows<f32>> {
        Ok(Rows(self.apply(x)?, self.out_features))
    }
}

impl Linear {
    /// The outputs for rows of `in_features` numbers.
    pub fn apply(&self, x: &[f32]) -> Result<Vec<f32>> {
        let (inputs, outputs) = (self.in_features, self.out_features);
        let n = rows(x, inputs, "x.shape[1] == in_features")?;
        let wanted = inputs * outputs;
        Error::check(self.weight.len() == wanted, &format!("weight.size() == {wanted}"))?;
        let biased = self.bias.is_empty() || self.bias.len() == outputs;
        Error::check(biased, &format!("bias.size() == {outputs}"))?;
        let mut out = filled(&[n, outputs], 0f32)?;
        sgemm_nt(n, outputs, inputs, 1.0, x, &self.weight, &mut out);
        if !self.bias.is_empty() {
            out.chunks_exact_mut(outputs).for_each(|row| add(row, &self.bias));
        }
        Ok(out)
    }
}

fn add(to: &mut [f32], what: &[f32]) {
    to.iter_mut().zip(what).for_each(|(to, v)| *to += v);
}

/// A table of vectors.
#[derive(Object, Clone, Default)]
#[object(methods, copy)]
pub struct Embedding {
    /// Number of vectors.
    #[object(readonly)]
    pub num_embeddings: usize,
    /// Their dimension.
    #[object(readonly)]
    pub embedding_dim: usize,
    /// The vectors, one after the other.
    pub weight: Vec<f32>,
}

pub(crate) const EMBEDDING: Row = Row::of::<Embedding>();

#[methods]
impl Embedding {
    /// Vectors of zeros.
    #[new]
    pub fn new(num_embeddings: i64, embedding_dim: i64) -> Result<Self> {
        let (n, d) = (size(num_embeddings, "num_embeddings")?, size(embedding_dim, "embedding_dim")?);
        Ok(Embedding { num_embeddings: n, embedding_dim: d, weight: filled(&[n, d], 0.0)? })
    }

    #[name = "_apply"]
    fn applied(&self, codes: &[i32]) -> Result<Rows<f32>> {
        Ok(Rows(self.apply(codes)?, self.embedding_dim))
    }
}

impl Embedding {
    /// All vectors.
    fn table(&self) -> Result<&[f32]> {
        let wanted = self.num_embeddings * self.embedding_dim;
        Error::check(self.weight.len() == wanted, &format!("weight.size() == {wanted}"))?;
        Ok(&self.weight)
    }

    /// The vectors of some numbers.
    pub fn apply(&self, codes: &[i32]) -> Result<Vec<f32>> {
        let (table, d) = (self.table()?, self.embedding_dim);
        let mut out = filled(&[codes.len(), d], 0f32)?;
        for (code, row) in codes.iter().zip(out.chunks_exact_mut(d.max(1))) {
            let number = usize::try_from(*code).ok().filter(|n| *n < self.num_embeddings);
            let number = number.ok_or_else(|| {
                Error::failed("ci < num_embeddings", format!("there is no vector {code} among {}", self.num_embeddings))
            })?;
            row.copy_from_slice(&table[number * d..(number + 1) * d]);
        }
        Ok(out)
    }
}

/// Two linear layers without biases, and between them what is below 0 becomes 0.
#[derive(Object, Clone, Default)]
#[object(methods, copy)]
pub struct FFN {
    /// From the input to what is hidden.
    pub linear1: Linear,
    /// From there to the output.
    pub linear2: Linear,
}

pub(crate) const FEED_FORWARD: Row = Row::of::<FFN>();

#[methods]
impl FFN {
    /// Of `d` inputs and outputs, with `h` numbers between.
    #[new]
    pub fn new(d: i64, h: i64) -> Result<Self> {
        Ok(FFN { linear1: Linear::new(d, h, false)?, linear2: Linear::new(h, d, false)? })
    }

    #[name = "_apply"]
    fn applied(&self, x: &[f32]) -> Result<Rows<f32>> {
        Ok(Rows(self.apply(x)?, self.linear2.out_features))
    }
}

impl FFN {
    /// The outputs for rows of numbers.
    pub fn apply(&self, x: &[f32]) -> Result<Vec<f32>> {
        let mut hidden = self.linear1.apply(x)?;
        hidden.iter_mut().for_each(|v| *v = v.max(0.0));
        self.linear2.apply(&hidden)
    }
}

/// A step of QINCo: of `K` entries of a codebook, a network with `L` residual blocks of hidden dimension `h` makes others, for what is known of
/// the vector so far.
#[derive(Object, Clone, Default)]
#[object(methods, copy(residual_blocks))]
pub struct QINCoStep {
    /// Dimension of the vectors.
    #[object(readonly)]
    pub d: i32,
    /// Entries of a codebook.
    #[object(readonly)]
    pub K: i32,
    /// Layers of a step.
    #[object(readonly)]
    pub L: i32,
    /// Hidden numbers of a layer.
    #[object(readonly)]
    pub h: i32,
    /// The entries.
    pub codebook: Embedding,
    /// Over an entry and what is known, side by side.
    pub MLPconcat: Linear,
    /// Each is added to its input.
    pub residual_blocks: Vec<Shared<FFN>>,
}

pub(crate) const STEP: Row = Row::of::<QINCoStep>();

#[methods]
impl QINCoStep {
    /// A step for vectors of `d` numbers, with `K` entries and `L` layers of `h` hidden numbers; weights of 0.
    #[new]
    pub fn new(d: i32, K: i32, L: i32, h: i32) -> Result<Self> {
        let (wide, blocks) = (i64::from(d), size(i64::from(L), "L")?);
        Ok(QINCoStep {
            d,
            K,
            L,
            h,
            codebook: Embedding::new(i64::from(K), wide)?,
            MLPconcat: Linear::new(2 * wide, wide, true)?,
            residual_blocks: (0..blocks)
                .map(|_| Ok(Shared::new(FFN::new(wide, i64::from(h))?)))
                .collect::<Result<_>>()?,
        })
    }

    /// Residual block i.
    pub fn get_residual_block(&self, i: i32) -> Result<Shared<FFN>> {
        item(&self.residual_blocks, i, "residual_blocks")
    }

    /// The entries that bring what is known nearest to vectors, and what they add.
    #[name = "_encode"]
    fn encoded(&self, known: &[f32], x: &[f32]) -> Result<(Vec<i32>, Rows<f32>)> {
        let mut sum = known.to_vec();
        let codes = self.encode(&mut sum, x)?;
        sum.iter_mut().zip(known).for_each(|(sum, known)| *sum -= known);
        Ok((codes, Rows(sum, self.d as usize)))
    }

    #[name = "_decode"]
    fn decoded(&self, known: &[f32], codes: &[i32]) -> Result<Rows<f32>> {
        Ok(Rows(self.changes(known, codes)?, self.d as usize))
    }
}

/// An item of a list.
fn item<T>(items: &[Shared<T>], i: i32, name: &str) -> Result<Shared<T>> {
    let found = usize::try_from(i).ok().and_then(|i| items.get(i)).cloned();
    found.ok_or_else(|| Error::failed(format!("i < {name}.size()"), format!("there is none {i} among {}", items.len())))
}

impl QINCoStep {
    /// What the step adds to rows of what is known, with these entries, which it becomes.
    fn change(&self, mut entries: Vec<f32>, known: &[f32]) -> Result<Vec<f32>> {
        let d = self.d as usize;
        let pairs = entries.chunks_exact(d.max(1)).zip(known.chunks_exact(d.max(1)));
        let both: Vec<f32> = pairs.flat_map(|(entry, known)| entry.iter().chain(known)).copied().collect();
        add(&mut entries, &self.MLPconcat.apply(&both)?);
        for block in &self.residual_blocks {
            let changed = block.read().apply(&entries)?;
            add(&mut entries, &changed);
        }
        Ok(entries)
    }

    /// What the step adds to rows of what is known, with a number of an entry for each.
    pub fn changes(&self, known: &[f32], codes: &[i32]) -> Result<Vec<f32>> {
        Error::check(codes.len() * self.d as usize == known.len(), "xhat.shape[0] == codes.shape[0]")?;
        self.change(self.codebook.apply(codes)?, known)
    }

    /// For rows of vectors, the numbers of the entries that bring what is known nearest to them; what those add is added to what is known.
    pub fn encode(&self, known: &mut [f32], x: &[f32]) -> Result<Vec<i32>> {
        let (d, entries) = (self.d as usize, self.K as usize);
        let n = rows(x, d, "x.shape[1] == d")?;
        Error::check(known.len() == x.len(), "xhat.shape[0] == x.shape[0]")?;
        let mut codes = vec![0; n];
        let share = (MOST / (2 * entries * d).max(1)).clamp(1, n.div_ceil(threads::available()).max(1));
        let outputs = known.chunks_mut((share * d).max(1)).zip(codes.chunks_mut(share));
        let shares: Vec<_> = x.chunks((share * d).max(1)).zip(outputs).map(Mutex::new).collect();
        threads::parallel_for(shares.len(), |i| {
            interrupt::check()?;
            let (x, (known, codes)) = &mut *shares[i].lock();
            self.encode_some(known, x, codes)
        })?;
        drop(shares);
        Ok(codes)
    }

    fn encode_some(&self, known: &mut [f32], x: &[f32], codes: &mut [i32]) -> Result<()> {
        let (d, entries) = (self.d as usize, self.K as usize);
        let table = self.codebook.table()?;
        let repeated: Vec<f32> = known.chunks_exact(d.max(1)).flat_map(|row| row.repeat(entries)).collect();
        let changes = self.change(table.repeat(codes.len()), &repeated)?;
        let (mut wanted, mut errors) = (vec![0f32; d], vec![0f32; entries]);
        let rows = x.chunks_exact(d.max(1)).zip(known.chunks_exact_mut(d.max(1))).zip(codes);
        for (((x, known), code), changes) in rows.zip(changes.chunks_exact((entries * d).max(1))) {
            simd::fvec_sub(&mut wanted, x, known);
            simd::fvec_L2sqr_ny(&mut errors, &wanted, changes);
            let best = (0..entries).fold(0, |best, i| if errors[i] < errors[best] { i } else { best });
            *code = best as i32;
            add(known, &changes[best * d..(best + 1) * d]);
        }
        Ok(())
    }
}

/// What all codecs that are neural networks have.
#[derive(Object, Default, Clone)]
#[object(name = "NeuralNetCodec", abstract)]
pub struct NeuralNetCodecBase {
    /// Dimension of the vectors.
    #[object(readonly)]
    pub d: i32,
    /// Numbers of a code.
    #[object(readonly)]
    pub M: i32,
}

pub(crate) const CODEC: Row = Row::of::<NeuralNetCodecBase>();

/// A codec that is a neural network: of vectors of `d` numbers, codes of `M` numbers.
pub trait NeuralNetCodec: Object {
    /// What every codec has.
    fn codec_base(&self) -> &NeuralNetCodecBase;
    /// The codes of vectors, `M` numbers each.
    fn encode(&self, x: &[f32]) -> Result<Vec<i32>>;
    /// The vectors of codes.
    fn decode(&self, codes: &[i32]) -> Result<Vec<f32>>;
}

crate::view!(NeuralNetCodec, "NeuralNetCodec");

/// A residual quantizer of `M` codebooks of `K` entries, whose codebooks after the first are made by networks for each vector.
#[derive(Object, Default, Clone)]
#[object(methods, implements(NeuralNetCodec), copy(steps))]
pub struct QINCo {
    /// What every codec has.
    #[object(parent)]
    pub base: NeuralNetCodecBase,
    /// Entries of a codebook.
    #[object(readonly)]
    pub K: i32,
    /// Layers of a step.
    #[object(readonly)]
    pub L: i32,
    /// Hidden numbers of a layer.
    #[object(readonly)]
    pub h: i32,
    /// The first codebook.
    pub codebook0: Embedding,
    /// What makes the others.
    pub steps: Vec<Shared<QINCoStep>>,
}

pub(crate) const QINCO: Row = Row::of::<QINCo>();

#[methods]
impl QINCo {
    /// `M` steps for vectors of `d` numbers, with `K` entries and `L` layers of `h` hidden numbers each; weights of 0.
    #[new]
    pub fn new(d: i32, K: i32, L: i32, M: i32, h: i32) -> Result<Self> {
        size(i64::from(M), "M")?;
        Ok(QINCo {
            base: NeuralNetCodecBase { d, M },
            K,
            L,
            h,
            codebook0: Embedding::new(i64::from(K), i64::from(d))?,
            steps: (1..M).map(|_| Ok(Shared::new(QINCoStep::new(d, K, L, h)?))).collect::<Result<_>>()?,
        })
    }

    /// Step i, which makes codebook i + 1.
    pub fn get_step(&self, i: i32) -> Result<Shared<QINCoStep>> {
        item(&self.steps, i, "steps")
    }

    #[name = "_encode"]
    fn encoded(&self, x: &[f32]) -> Result<Rows<i32>> {
        Ok(Rows(self.encode(x)?, self.numbers()))
    }

    #[name = "_decode"]
    fn decoded(&self, codes: &[i32]) -> Result<Rows<f32>> {
        Ok(Rows(self.decode(codes)?, self.d as usize))
    }
}

impl QINCo {
    /// Numbers of a code.
    fn numbers(&self) -> usize {
        self.steps.len() + 1
    }
}

impl NeuralNetCodec for QINCo {
    fn codec_base(&self) -> &NeuralNetCodecBase {
        self
    }
    fn encode(&self, x: &[f32]) -> Result<Vec<i32>> {
        let d = self.d as usize;
        let n = rows(x, d, "x.shape[1] == d")?;
        let database = Database::new(self.codebook0.table()?, self.codebook0.num_embeddings, d)?;
        let (mut distances, mut nearest) = (vec![0f32; n], vec![0i64; n]);
        distance::knn(x, n, &database, MetricType::L2, 0.0, 1, &mut distances, &mut nearest)?;
        // A vector that is nearest to nothing, of NaNs, gets the first entry.
        let first: Vec<i32> = nearest.iter().map(|number| (*number).max(0) as i32).collect();
        let mut known = self.codebook0.apply(&first)?;
        let mut by_step = vec![first];
        for step in &self.steps {
            by_step.push(step.read().encode(&mut known, x)?);
        }
        Ok((0..n).flat_map(|i| by_step.iter().map(move |codes| codes[i])).collect())
    }
    fn decode(&self, codes: &[i32]) -> Result<Vec<f32>> {
        let numbers = self.numbers();
        Error::check(codes.len().is_multiple_of(numbers), "codes.shape[1] == M")?;
        let column = |m: usize| -> Vec<i32> { codes.iter().skip(m).step_by(numbers).copied().collect() };
        let mut known = self.codebook0.apply(&column(0))?;
        for (m, step) in self.steps.iter().enumerate() {
            let changes = step.read().changes(&known, &column(m + 1))?;
            add(&mut known, &changes);
        }
        Ok(known)
    }
}
