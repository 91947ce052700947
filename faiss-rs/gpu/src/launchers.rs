//! A typed launcher for each kernel of kernels.toml, generated at build time.

use std::ffi::c_void;

#[allow(unused_imports, reason = "not every type has a kernel yet")]
use half::{bf16, f16};

use crate::error::Error;
use crate::memory::{Element, Ptr, PtrMut};
use crate::module::{Entry, Launch};

fn missing(kernel: &'static str) -> Error {
    Error::NoInstance(kernel)
}

include!(concat!(env!("OUT_DIR"), "/launchers.rs"));
