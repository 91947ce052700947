//! The fuzz targets of `faiss-rs/fuzz`, over the corpora that are kept there and random changes of them; its README.md says how long. An input that fails is
//! left in `target/tmp`, under the name of its target: also where the process ends, or an input takes too long.

mod corpus;
#[path = "../../fuzz/src/lib.rs"]
mod targets;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use faiss_core::random::SplitMix64RandomGenerator;

/// Memory that the targets may ask for, all three at a time.
const MEMORY: u64 = 3 << 30;
/// Seconds that an input may take, on a machine with other things to do.
const TOO_LONG: u64 = 60;

#[test]
fn read_index() {
    fuzz("read_index", targets::read_index, changed_bytes);
}

#[test]
fn read_index_binary() {
    fuzz("read_index_binary", targets::read_index_binary, changed_bytes);
}

#[test]
fn index_factory() {
    fuzz("index_factory", targets::index_factory, changed_text);
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

/// The same inputs each time, unless other ones are asked for.
fn seed() -> u64 {
    let random = std::env::var("FAISS_FUZZ_SEED").is_ok_and(|seed| seed == "random");
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    if random { now() >> 8 & 0xffff_ffff } else { number("FAISS_FUZZ_SEED", 0) }
}

type Change = fn(&mut Random, &[Vec<u8>]) -> Vec<u8>;

fn fuzz(name: &str, target: fn(&[u8]), change: Change) {
    corpus::limit_memory(MEMORY);
    let corpus: Vec<_> = corpus::corpus(name).into_iter().map(|(_, input)| input).collect();
    let (time, most) = (Duration::from_secs(number("FAISS_FUZZ_SECONDS", 3)), number("FAISS_FUZZ_INPUTS", u64::MAX));
    let seed = seed();
    let mut random = Random(SplitMix64RandomGenerator::new(seed as i64));
    let last = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let runs = Arc::new(AtomicU64::new(0));
    watch(runs.clone(), last.clone());
    let run = |input: &[u8]| {
        fs::write(&last, input).unwrap();
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| target(input))) {
            eprintln!("{name} fails for {}, seed {seed}", last.display());
            resume_unwind(panic);
        }
        runs.fetch_add(1, Ordering::Relaxed);
    };
    corpus.iter().for_each(|input| run(input));
    let (start, mut changed) = (Instant::now(), 0);
    while start.elapsed() < time && changed < most {
        run(&change(&mut random, &corpus));
        changed += 1;
    }
    runs.store(u64::MAX, Ordering::Relaxed);
    println!("{name}: {} inputs and {changed} changed ones, seed {seed}", corpus.len());
    fs::remove_file(&last).unwrap();
}

/// Ends the process when an input takes too long.
fn watch(runs: Arc<AtomicU64>, last: PathBuf) {
    std::thread::spawn(move || {
        let (mut before, mut seconds) = (0, 0);
        while before != u64::MAX {
            std::thread::sleep(Duration::from_secs(1));
            let now = runs.load(Ordering::Relaxed);
            seconds = if now == before { seconds + 1 } else { 0 };
            before = now;
            if seconds == TOO_LONG && now != u64::MAX {
                eprintln!("{} takes more than {TOO_LONG} seconds", last.display());
                std::process::exit(1);
            }
        }
    });
}

struct Random(SplitMix64RandomGenerator);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        (self.0.rand_int64() as u64 % n.max(1) as u64) as usize
    }
    fn one_of<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }
    fn range(&mut self, n: usize) -> std::ops::Range<usize> {
        let (a, b) = (self.below(n + 1), self.below(n + 1));
        a.min(b)..a.max(b)
    }
}

/// Numbers at which something ends.
const EDGES: &[i64] =
    &[0, 1, 2, 3, -1, 7, 8, 255, 256, 1 << 20, i32::MAX as i64, i32::MIN as i64, 1 << 32, 1 << 40, i64::MAX, i64::MIN];
const FLOATS: &[f32] =
    &[0.0, -0.0, 1.0, -1.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN_POSITIVE, 1e-40];

/// A file with one to four changes.
fn changed_bytes(random: &mut Random, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = corpus[random.below(corpus.len())].clone();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len());
        let size = bytes.len();
        let old = bytes[at];
        let put = |bytes: &mut [u8], new: &[u8]| {
            let end = size.min(at + new.len());
            bytes[at..end].copy_from_slice(&new[..end - at]);
        };
        match random.below(10) {
            0 => put(&mut bytes, &[random.below(256) as u8]),
            1 => put(&mut bytes, &[old ^ 1 << random.below(8)]),
            2 => put(&mut bytes, &(random.one_of(EDGES) as i32).to_le_bytes()),
            3 => put(&mut bytes, &random.one_of(EDGES).to_le_bytes()),
            4 => put(&mut bytes, &random.below(40).to_le_bytes()),
            5 => put(&mut bytes, &random.one_of(FLOATS).to_le_bytes()),
            6 => bytes.truncate(at),
            7 => drop(bytes.drain(random.range(size))),
            8 => {
                let again = bytes[random.range(size)].to_vec();
                bytes.splice(at..at, again);
            }
            // Another file in the place of what may be an index inside this one, or of this one's type.
            _ => {
                let other = &corpus[random.below(corpus.len())];
                let names =
                    (0..size.saturating_sub(3)).filter(|i| bytes[*i..i + 4].iter().all(u8::is_ascii_alphanumeric));
                let names: Vec<usize> = names.collect();
                let at = names.get(random.below(names.len())).copied().unwrap_or(0);
                let kept = random.one_of(&[4.min(other.len()), other.len()]);
                let end = if kept == 4 { size.min(at + 4) } else { at + random.below(size - at) };
                bytes.splice(at..end, other[..kept].iter().copied());
            }
        }
        if bytes.is_empty() {
            break;
        }
    }
    bytes
}

/// A description with one to three changes.
fn changed_text(random: &mut Random, corpus: &[Vec<u8>]) -> Vec<u8> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut words = text(&corpus[random.below(corpus.len())]);
    for _ in 0..=random.below(3) {
        let other = text(&corpus[random.below(corpus.len())]);
        let mut parts: Vec<String> = words.split(',').map(str::to_owned).collect();
        let at = random.below(parts.len());
        let part = random
            .one_of(&other.split(',').collect::<Vec<_>>())
            .trim_start_matches(|c: char| !c.is_ascii_uppercase())
            .to_owned();
        match random.below(7) {
            0 => parts[at] = part,
            1 => parts.insert(at + 1, part),
            2 => drop(parts.remove(at)),
            3 => parts[at] = format!("{}({part})", parts[at]),
            4 => {
                let digits = parts[at].find(|c: char| c.is_ascii_digit()).unwrap_or(parts[at].len());
                let rest = parts[at][digits..].trim_start_matches(|c: char| c.is_ascii_digit()).to_owned();
                let edge =
                    random.one_of(&[0, 1, 2, 3, 4, 5, 7, 16, 100, 65_536, i64::from(i32::MAX), 1 << 32, i64::MAX]);
                parts[at] = format!("{}{edge}{rest}", &parts[at][..digits]);
            }
            5 => {
                let word = random.one_of(&["", "x", "_", "fs", "(", ")", "r", "np", "9", "é"]);
                let slips =
                    parts[at].chars().map(|c| if random.below(9) == 0 { word.to_owned() } else { c.to_string() });
                parts[at] = slips.collect();
            }
            _ => {
                let n = random.below(parts[at].chars().count() + 1);
                parts[at] = parts[at].chars().take(n).collect();
            }
        }
        words = parts.join(",");
    }
    let mut input = vec![random.one_of(&[0, 1, 4, 8, 12, 16, 16, 16, 64, 0x90])];
    // The corpus has the dimension in front.
    input.extend(words.trim_start_matches(|c: char| !c.is_ascii_uppercase()).bytes());
    input
}
