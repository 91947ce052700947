//! Vectors of objects that are seen from outside as plain memory, as Python sees `rev_swig_ptr(index.get_xb(), n)`.
//!
//! Such memory must never dangle. So before an object is changed in a way that may move its vectors, each vector that is seen takes a copy of
//! itself to go on with, and the memory stays with those who see it. Costs one atomic load where nothing is seen.

use std::any::Any;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Weak};

use parking_lot::Mutex;

use super::handle::Shared;
use super::object::{ElementKind, Object, VectorField};
use super::{Error, Result};

/// The way from an object to one of its vectors.
pub type Locate = Box<dyn Fn(&mut dyn Object) -> Option<&mut dyn VectorField> + Send + Sync>;

/// A vector that is seen. While this lives, `address` leads to `bytes` bytes.
pub struct Export {
    object: Shared<dyn Object>,
    locate: Locate,
    /// The memory, once the object has let go of it.
    kept: Mutex<Option<Box<dyn Any + Send + Sync>>>,
    /// What it holds.
    pub element: ElementKind,
    /// Where it begins.
    pub address: usize,
    /// Its size in bytes.
    pub bytes: usize,
}

static COUNT: AtomicUsize = AtomicUsize::new(0);
static EXPORTS: LazyLock<Mutex<HashMap<usize, Vec<Weak<Export>>>>> = LazyLock::new(Mutex::default);

impl Export {
    /// Shows a vector of an object, which waits until nobody else uses the object.
    pub fn new(object: &Shared<dyn Object>, locate: Locate) -> Result<Arc<Self>> {
        let mut guard = object.write_in_place();
        let vector = locate(&mut *guard).ok_or_else(|| Error::type_error("there is no vector in memory to be seen"))?;
        let (element, bytes) = (vector.element(), vector.bytes_mut());
        let (address, bytes) = (bytes.as_mut_ptr() as usize, bytes.len());
        let export =
            Arc::new(Export { object: object.clone(), locate, kept: Mutex::new(None), element, address, bytes });
        EXPORTS.lock().entry(object.address()).or_default().push(Arc::downgrade(&export));
        COUNT.fetch_add(1, Ordering::Release);
        Ok(export)
    }
}

impl Drop for Export {
    fn drop(&mut self) {
        let mut exports = EXPORTS.lock();
        if let Some(of_object) = exports.get_mut(&self.object.address()) {
            of_object.retain(|export| export.strong_count() > 0);
            if of_object.is_empty() {
                exports.remove(&self.object.address());
            }
        }
        COUNT.fetch_sub(1, Ordering::Release);
    }
}

/// To be called by who has the object at this address alone, before a change: those who see its vectors keep the memory.
pub fn before_change(address: usize, object: &mut dyn Object) {
    if COUNT.load(Ordering::Acquire) == 0 {
        return;
    }
    let seen: Vec<_> = EXPORTS.lock().get(&address).into_iter().flatten().filter_map(Weak::upgrade).collect();
    for export in &seen {
        let mut kept = export.kept.lock();
        if kept.is_some() {
            continue;
        }
        // Several may see the same memory: the first keeps it, and the others keep the first.
        let holder = seen.iter().find(|other| {
            other.address == export.address
                && !Arc::ptr_eq(other, export)
                && other.kept.try_lock().is_some_and(|k| k.is_some())
        });
        *kept = match holder {
            Some(holder) => Some(Box::new(holder.clone())),
            None => (export.locate)(object).map(VectorField::detach),
        };
    }
}

#[cfg(test)]
mod tests {
    use faiss_derive::Object;

    use super::*;
    use crate::base::Handle;

    #[derive(Object, Default)]
    struct Numbers {
        /// What is seen.
        pub items: Vec<f32>,
    }

    #[test]
    fn memory_that_is_seen_stays_when_the_object_changes() {
        let numbers = Shared::<Numbers>::new(Numbers { items: vec![1.0, 2.0, 3.0, 4.0] });
        let object: Handle = numbers.object();
        let see = || Export::new(&object, Box::new(|o| o.field_mut("items")?.vector_mut())).unwrap();
        let (one, two) = (see(), see());
        assert_eq!((one.address, one.bytes), (two.address, 16));
        let read = |export: &Export| {
            // SAFETY: the export lives, so its address leads to 16 bytes.
            unsafe { std::slice::from_raw_parts(export.address as *const f32, 4) }.to_vec()
        };
        // SAFETY: as above; nobody else uses the numbers.
        unsafe { *(one.address as *mut f32) = 9.0 };
        assert_eq!(numbers.read().items[0], 9.0);

        numbers.write().items.extend([5.0; 2000]);
        numbers.write().items = Vec::new();
        assert_eq!(read(&one), [9.0, 2.0, 3.0, 4.0]);
        drop(one);
        assert_eq!(read(&two), [9.0, 2.0, 3.0, 4.0]);
        drop((two, numbers));
    }
}
