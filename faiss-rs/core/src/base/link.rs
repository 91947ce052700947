//! Which objects refer to which. Handles are counted, so a circle of them would never be freed, and a walk along it would not end: what would
//! close one is refused.

use std::collections::HashSet;
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};

use super::handle::Handle;
use super::lock::read;
use super::object::{FieldRef, Kind, Object, Value};
use super::{Error, Result, interrupt};

static LINKING: Mutex<()> = Mutex::new(());

/// Held from the check to the change, so that two threads can't close a circle from both ends.
pub struct Linking {
    _guard: MutexGuard<'static, ()>,
}

/// To be held while `object` is made to refer to the targets: an error where one of them leads back to `object`.
pub fn link(object: &Handle, targets: &[Handle]) -> Result<Linking> {
    let guard = loop {
        match LINKING.try_lock_for(Duration::from_millis(20)) {
            Some(guard) => break Linking { _guard: guard },
            None => interrupt::check()?,
        }
    };
    for target in targets {
        if leads_to(target, object)? {
            let (object, target) = (object.info().name, target.info().name);
            return Err(Error::value(format!("this {object} can't refer to the {target}, which refers to it itself")));
        }
    }
    Ok(guard)
}

/// Whether `from` is the object, or refers to it, by itself or through others.
fn leads_to(from: &Handle, object: &Handle) -> Result<bool> {
    let (mut seen, mut next) = (HashSet::new(), vec![from.clone()]);
    while let Some(at) = next.pop() {
        if at.same(object) {
            return Ok(true);
        }
        if seen.insert(at.address()) {
            collect(&*read(&at)?, &mut next);
        }
    }
    Ok(false)
}

/// The objects that an object and its parts refer to.
fn collect(object: &dyn Object, found: &mut Vec<Handle>) {
    for field in object.info().lineage().flat_map(|info| info.fields) {
        if !matches!(field.kind, Kind::Pointer(_) | Kind::List(_) | Kind::Part(_)) {
            continue;
        }
        match object.field(field.name) {
            Some(FieldRef::Value(Value::Handle(target))) => found.push(target),
            Some(FieldRef::Value(Value::List(items))) => {
                found.extend(
                    items.into_iter().filter_map(|item| if let Value::Handle(h) = item { Some(h) } else { None }),
                );
            }
            Some(FieldRef::Part(part)) => collect(part, found),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use faiss_derive::Object;

    use super::*;
    use crate::base::Shared;

    #[derive(Object, Default)]
    struct Node {
        /// Another one.
        pub next: Option<Shared<dyn Object>>,
    }

    #[test]
    fn circles_are_refused_and_chains_are_not() {
        let nodes: Vec<Shared<Node>> = (0..3).map(|_| Shared::new(Node::default())).collect();
        nodes[0].write().next = Some(nodes[1].object());
        nodes[1].write().next = Some(nodes[2].object());
        let object = |i: usize| nodes[i].object();
        assert!(link(&object(0), &[object(2)]).is_ok());
        for (from, to) in [(2, 0), (2, 1), (1, 0), (0, 0)] {
            assert!(link(&object(from), &[object(to)]).is_err(), "{from} to {to}");
        }
    }
}
