//! Progress of long work, told to a callback. Costs one atomic load where none is set.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::RwLock;

/// One step of a long piece of work: `done` of `total` units of `what`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step<'a> {
    /// The work.
    pub what: &'a str,
    /// Steps that are done.
    pub done: usize,
    /// Steps of the whole.
    pub total: usize,
}

/// Who is told.
pub type Callback = Arc<dyn Fn(Step<'_>) + Send + Sync>;

static INSTALLED: AtomicBool = AtomicBool::new(false);
static CALLBACK: RwLock<Option<Callback>> = RwLock::new(None);

thread_local! {
    static WITHIN: Cell<bool> = const { Cell::new(false) };
}

/// Installs the callback, or removes it.
pub fn set_callback(callback: Option<Callback>) {
    INSTALLED.store(callback.is_some(), Ordering::Release);
    *CALLBACK.write() = callback;
}

/// Tells the callback, if there is one. A piece of work tells 0 when it begins and `total` when it ends.
pub fn report(what: &str, done: usize, total: usize) {
    if !INSTALLED.load(Ordering::Acquire) || WITHIN.get() {
        return;
    }
    let callback = CALLBACK.read().clone();
    if let Some(callback) = callback {
        callback(Step { what, done, total });
    }
}

/// Does work that is a part of a piece whose progress is told: its own, on this thread, is not.
pub fn within<T>(work: impl FnOnce() -> T) -> T {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            WITHIN.set(self.0);
        }
    }
    let _restore = Restore(WITHIN.replace(true));
    work()
}

/// Shows a progress bar on the standard error, where that is a terminal, or no longer. Takes the callback's place.
#[cfg(feature = "progress-bar")]
pub fn show_bar(on: bool) {
    set_callback(on.then(bar::callback));
}

#[cfg(feature = "progress-bar")]
mod bar {
    use std::sync::Arc;

    use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
    use parking_lot::Mutex;

    use super::{Callback, Step};

    /// One bar at a time: what begins takes the place of what was cut short.
    pub fn callback() -> Callback {
        let current: Mutex<Option<(String, ProgressBar)>> = Mutex::new(None);
        Arc::new(move |step| {
            let mut current = current.lock();
            let same =
                current.as_ref().is_some_and(|(what, bar)| what == step.what && bar.position() <= step.done as u64);
            if !same && let Some((_, cut)) = current.replace((step.what.to_owned(), begin(step))) {
                cut.abandon();
            }
            let Some((_, bar)) = current.as_ref() else { return };
            bar.set_position(step.done as u64);
            if step.done >= step.total {
                bar.finish();
                *current = None;
            }
        })
    }

    fn begin(step: Step<'_>) -> ProgressBar {
        // Draws nothing where the standard error is no terminal.
        let bar = ProgressBar::with_draw_target(Some(step.total as u64), ProgressDrawTarget::stderr());
        let style = "{msg:24} [{bar:40}] {human_pos} of {human_len}, {elapsed}";
        bar.set_style(
            ProgressStyle::with_template(style)
                .map_or_else(|_| ProgressStyle::default_bar(), |s| s.progress_chars("=> ")),
        );
        bar.set_message(step.what.to_owned());
        bar
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_reach_the_callback_and_parts_of_larger_work_do_not() {
        let told = Arc::new(parking_lot::Mutex::new(Vec::new()));
        let seen = told.clone();
        set_callback(Some(Arc::new(move |step| {
            // Other tests of this process report as well.
            if step.what.starts_with("test ") {
                seen.lock().push((step.what.to_owned(), step.done, step.total));
            }
        })));
        report("test outer", 0, 2);
        within(|| {
            report("test inner", 1, 9);
            within(|| ());
            report("test inner", 2, 9);
        });
        report("test outer", 2, 2);
        set_callback(None);
        report("test nobody", 1, 1);
        assert_eq!(*told.lock(), [("test outer".to_owned(), 0, 2), ("test outer".to_owned(), 2, 2)]);
    }
}
