//! How many threads work, and the one way to share work among them.
//!
//! The pool is this library's own: it is rebuilt when the number of threads changes, and after a fork, whose child has none of its
//! parent's threads. The calling thread works too, so that one thread means no pool at all and small work wakes nobody.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;
use rayon::{ThreadPool, ThreadPoolBuilder};

use super::error::{Error, Result};
use super::interrupt;

/// 0: not chosen yet.
static MAX_THREADS: AtomicUsize = AtomicUsize::new(0);

struct Pool {
    threads: usize,
    pid: u32,
    pool: Arc<ThreadPool>,
}
static POOL: Mutex<Option<Pool>> = Mutex::new(None);

thread_local! {
    static WORKER: Cell<bool> = const { Cell::new(false) };
    static BUSY: Cell<bool> = const { Cell::new(false) };
    /// The stop mark of the work of another thread that this one takes part in.
    static STOP: RefCell<Option<Arc<AtomicBool>>> = const { RefCell::new(None) };
}

/// The number of threads that parallel work uses: what was set, else `OMP_NUM_THREADS`, else the number of processors.
pub fn omp_get_max_threads() -> usize {
    match MAX_THREADS.load(Ordering::Relaxed) {
        0 => {
            let stated = std::env::var("OMP_NUM_THREADS").ok().and_then(|v| v.split(',').next()?.trim().parse().ok());
            let n = stated
                .filter(|n| *n > 0)
                .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
            MAX_THREADS.store(n, Ordering::Relaxed);
            n
        }
        n => n,
    }
}

/// Sets the number of threads; below 1 counts as 1.
pub fn omp_set_num_threads(n: i32) {
    MAX_THREADS.store(n.max(1) as usize, Ordering::Relaxed);
}

/// True on a thread of the pool.
pub fn is_worker() -> bool {
    WORKER.get()
}

/// On a thread that helps another: whether the work it takes part in is to end. None on any other thread.
pub(super) fn is_stopped() -> Option<bool> {
    let marked = STOP.with_borrow(|stop| stop.as_ref().map(|s| s.load(Ordering::Relaxed)));
    marked.or(WORKER.get().then_some(false))
}

/// The number of threads that [`parallel_for`] would use here: 1 inside parallel work.
pub fn available() -> usize {
    if WORKER.get() || BUSY.get() { 1 } else { omp_get_max_threads() }
}

fn pool(helpers: usize) -> Result<Arc<ThreadPool>> {
    let pid = std::process::id();
    let mut slot = POOL.lock();
    if let Some(p) = slot.as_ref().filter(|p| p.threads == helpers && p.pid == pid) {
        return Ok(Arc::clone(&p.pool));
    }
    let built = ThreadPoolBuilder::new()
        .num_threads(helpers)
        .thread_name(|i| format!("faiss-{i}"))
        .start_handler(|_| WORKER.set(true))
        .build()
        .map_err(|e| Error::Memory(format!("could not start {helpers} threads: {e}")))?;
    let built = Arc::new(built);
    if let Some(old) = slot.replace(Pool { threads: helpers, pid, pool: Arc::clone(&built) })
        && old.pid != pid
    {
        // The threads of a forked parent do not exist here: waiting for them would never end.
        std::mem::forget(old);
    }
    Ok(built)
}

/// Runs `task(0)` to `task(n - 1)`, each once, in any order, on up to [`available`] threads. The first error stops the rest and is
/// returned; so does an interrupt.
pub fn parallel_for(n: usize, task: impl Fn(usize) -> Result<()> + Sync) -> Result<()> {
    share(n, &|turns| {
        while let Some(i) = turns.next()? {
            task(i)?;
        }
        Ok(())
    })
}

/// As [`parallel_for`], with a state for each thread that takes part: `init` makes it before the thread's first task.
pub fn parallel_for_with<S>(
    n: usize,
    init: impl Fn() -> Result<S> + Sync,
    task: impl Fn(&mut S, usize) -> Result<()> + Sync,
) -> Result<()> {
    share(n, &|turns| {
        let Some(mut i) = turns.next()? else { return Ok(()) };
        let mut state = init()?;
        loop {
            task(&mut state, i)?;
            match turns.next()? {
                Some(next) => i = next,
                None => return Ok(()),
            }
        }
    })
}

/// The numbers that a thread takes from those that all share.
struct Turns<'a> {
    next: &'a AtomicUsize,
    end: usize,
    stop: &'a AtomicBool,
    /// On the calling thread: between two tasks it hears an interrupt.
    listens: bool,
}

impl Turns<'_> {
    /// The next number, none when there are no more or the work is to end.
    fn next(&self) -> Result<Option<usize>> {
        if self.stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let i = self.next.fetch_add(1, Ordering::Relaxed);
        if i >= self.end {
            return Ok(None);
        }
        if self.listens {
            interrupt::check()?;
        }
        Ok(Some(i))
    }
}

/// Runs `work` on as many threads as `n` turns are worth. It knows no types, so that it is compiled once and not for each of its many callers.
fn share(n: usize, work: &(dyn Fn(&Turns<'_>) -> Result<()> + Sync)) -> Result<()> {
    let threads = available().min(n);
    let next = AtomicUsize::new(0);
    if threads <= 1 {
        return work(&Turns { next: &next, end: n, stop: &AtomicBool::new(false), listens: true });
    }
    let stop = Arc::new(AtomicBool::new(false));
    let error = Mutex::new(None);
    let take_part = |listens: bool| {
        if let Err(e) = work(&Turns { next: &next, end: n, stop: &stop, listens }) {
            error.lock().get_or_insert(e);
            stop.store(true, Ordering::Relaxed);
        }
    };
    let pool = pool(omp_get_max_threads() - 1)?;
    BUSY.set(true);
    let _reset = Reset;
    pool.in_place_scope(|scope| {
        for _ in 1..threads {
            scope.spawn(|_| {
                STOP.set(Some(Arc::clone(&stop)));
                take_part(false);
                STOP.set(None);
            });
        }
        take_part(true);
    });
    error.into_inner().map_or(Ok(()), Err)
}

/// Runs `task(0)` to `task(n - 1)` at the same time, each on a thread of its own, which may use the pool as any caller does: for work that mostly waits
/// for devices. The first error asks the others to stop and is returned; so does an interrupt, which the calling thread hears.
pub fn beside_each_other(n: usize, task: impl Fn(usize) -> Result<()> + Sync) -> Result<()> {
    if n < 2 {
        return (0..n).try_for_each(task);
    }
    let stop = Arc::new(AtomicBool::new(false));
    let caller = std::thread::current();
    std::thread::scope(|scope| {
        let started: Vec<_> = (0..n)
            .map(|i| {
                let (task, stop, caller) = (&task, Arc::clone(&stop), caller.clone());
                scope.spawn(move || {
                    STOP.set(Some(Arc::clone(&stop)));
                    let done = task(i);
                    if done.is_err() {
                        stop.store(true, Ordering::Relaxed);
                    }
                    caller.unpark();
                    done
                })
            })
            .collect();
        let mut first = Ok(());
        while started.iter().any(|thread| !thread.is_finished()) {
            if first.is_ok() {
                first = interrupt::check();
                stop.fetch_or(first.is_err(), Ordering::Relaxed);
            }
            std::thread::park_timeout(std::time::Duration::from_millis(1));
        }
        for thread in started {
            let done = thread.join().unwrap_or_else(|_| Err(Error::failed("", "a thread failed")));
            // What was asked to stop says no more than that.
            if first.is_ok()
                || matches!((&first, &done), (Err(Error::Interrupted), Err(e)) if !matches!(e, Error::Interrupted))
            {
                first = done;
            }
        }
        first
    })
}

/// Clears the mark even when a task panics.
struct Reset;
impl Drop for Reset {
    fn drop(&mut self) {
        BUSY.set(false);
    }
}

/// Splits `data` into `parts` pieces of whole rows of `width` elements and runs `task(first_row, rows)` on each in parallel.
pub fn parallel_rows<T: Send>(
    data: &mut [T],
    width: usize,
    min_rows: usize,
    task: impl Fn(usize, &mut [T]) -> Result<()> + Sync,
) -> Result<()> {
    if width == 0 || data.is_empty() {
        return Ok(());
    }
    let rows = data.len() / width;
    let threads = available();
    let chunk = rows.div_ceil(threads * 4).max(min_rows).max(1);
    if chunk >= rows {
        interrupt::check()?;
        return task(0, data);
    }
    let pieces: Vec<Mutex<&mut [T]>> = data.chunks_mut(chunk * width).map(Mutex::new).collect();
    parallel_for(pieces.len(), |i| task(i * chunk, &mut pieces[i].lock()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_runs_once_and_the_first_error_stops() {
        let hits: Vec<AtomicUsize> = (0..1000).map(|_| AtomicUsize::new(0)).collect();
        parallel_for(1000, |i| {
            hits[i].fetch_add(1, Ordering::Relaxed);
            Ok(())
        })
        .unwrap();
        assert!(hits.iter().all(|h| h.load(Ordering::Relaxed) == 1));
        let error = parallel_for(1000, |i| if i == 3 { Err(Error::value("three")) } else { Ok(()) }).unwrap_err();
        assert_eq!(error.to_string(), "three");
    }

    #[test]
    fn each_thread_makes_one_state_and_keeps_it() {
        let (made, steps) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let init = || {
            made.fetch_add(1, Ordering::Relaxed);
            Ok(0)
        };
        parallel_for_with(1000, init, |own: &mut usize, _| {
            *own += 1;
            steps.fetch_max(*own, Ordering::Relaxed);
            Ok(())
        })
        .unwrap();
        let (made, steps) = (made.into_inner(), steps.into_inner());
        assert!((1..=available()).contains(&made) && steps * made >= 1000, "{made} states, {steps} steps of one");
        let none = parallel_for_with(9, || Err::<(), _>(Error::value("none")), |_, _| Ok(())).unwrap_err();
        assert_eq!(none.to_string(), "none");
        parallel_for_with(0, || Err::<(), _>(Error::value("none")), |_, _| Ok(())).unwrap();
    }

    #[test]
    fn tasks_beside_each_other_run_at_the_same_time_and_may_use_the_pool() {
        let barrier = std::sync::Barrier::new(3);
        let sum = AtomicUsize::new(0);
        beside_each_other(3, |_| {
            barrier.wait();
            parallel_for(10, |i| {
                sum.fetch_add(i, Ordering::Relaxed);
                Ok(())
            })
        })
        .unwrap();
        assert_eq!(sum.into_inner(), 3 * 45);
        // The others hear of an error, and it is the one that is told.
        let error = beside_each_other(3, |i| {
            if i == 1 {
                return Err(Error::value("one"));
            }
            while interrupt::check().is_ok() {
                std::thread::yield_now();
            }
            interrupt::check()
        });
        assert_eq!(error.unwrap_err().to_string(), "one");
        beside_each_other(0, |_| Err(Error::value("none"))).unwrap();
        let failed = beside_each_other(2, |i| if i == 0 { panic!("on purpose") } else { Ok(()) });
        assert!(failed.unwrap_err().to_string().contains("a thread failed"));
    }

    #[test]
    fn nested_work_stays_on_its_thread() {
        parallel_for(8, |_| {
            assert_eq!(available(), 1);
            parallel_for(8, |_| Ok(()))
        })
        .unwrap();
    }
}
