//! The extension module `faiss._faiss`: everything native that the Python package `faiss` stands on. Sees core and gpu.

use pyo3::prelude::*;

#[pymodule]
mod _faiss {
    use super::*;

    #[pymodule_init]
    fn init(m: &Bound<'_, PyModule>) -> PyResult<()> {
        m.add("VERSION", env!("CARGO_PKG_VERSION"))
    }
}
