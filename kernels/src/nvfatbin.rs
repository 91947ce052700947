//! nvFatbin, opened by path: packs the images of a family into one fatbin, of which the driver picks one.

use std::ffi::{CStr, CString, c_char, c_void};
use std::path::Path;

use libloading::Library;

use crate::{Error, Target};

type Handle = *mut c_void;
type Status = i32;

struct Api {
    create: unsafe extern "C" fn(*mut Handle, *const *const c_char, usize) -> Status,
    destroy: unsafe extern "C" fn(*mut Handle) -> Status,
    add_cubin: unsafe extern "C" fn(Handle, *const c_void, usize, *const c_char, *const c_char) -> Status,
    add_ptx: unsafe extern "C" fn(Handle, *const c_char, usize, *const c_char, *const c_char, *const c_char) -> Status,
    size: unsafe extern "C" fn(Handle, *mut usize) -> Status,
    get: unsafe extern "C" fn(Handle, *mut c_void) -> Status,
    message: unsafe extern "C" fn(Status) -> *const c_char,
    _library: Library,
}

impl Api {
    fn open(path: &Path) -> Result<Api, Error> {
        let fail = |e: libloading::Error| Error::Library { path: path.display().to_string(), message: e.to_string() };
        // SAFETY: the caller names NVIDIA's library; its initializers have no precondition. The types of the functions are
        // those of nvFatbin.h, unchanged since its first release.
        unsafe {
            let library = Library::new(path).map_err(fail)?;
            macro_rules! find {
                ($name:literal) => {
                    *library.get($name).map_err(fail)?
                };
            }
            Ok(Api {
                create: find!(b"nvFatbinCreate\0"),
                destroy: find!(b"nvFatbinDestroy\0"),
                add_cubin: find!(b"nvFatbinAddCubin\0"),
                add_ptx: find!(b"nvFatbinAddPTX\0"),
                size: find!(b"nvFatbinSize\0"),
                get: find!(b"nvFatbinGet\0"),
                message: find!(b"nvFatbinGetErrorString\0"),
                _library: library,
            })
        }
    }

    fn check(&self, call: &'static str, status: Status) -> Result<(), Error> {
        if status == 0 {
            return Ok(());
        }
        // SAFETY: the library returns a static string for every status, or null.
        let message = unsafe {
            let text = (self.message)(status);
            if text.is_null() {
                format!("status {status}")
            } else {
                CStr::from_ptr(text).to_string_lossy().into_owned()
            }
        };
        Err(Error::NvFatbin { call, message })
    }
}

struct Fatbin<'a> {
    api: &'a Api,
    handle: Handle,
}

impl Drop for Fatbin<'_> {
    fn drop(&mut self) {
        // SAFETY: the handle came from nvFatbinCreate and is destroyed once.
        unsafe { (self.api.destroy)(&mut self.handle) };
    }
}

/// Packs cubins and PTX into one compressed fatbin. The same images in any order give the same bytes.
pub fn pack(nvfatbin: &Path, images: &[(Target, Vec<u8>)]) -> Result<Vec<u8>, Error> {
    let api = Api::open(nvfatbin)?;
    let mut images: Vec<&(Target, Vec<u8>)> = images.iter().collect();
    images.sort_by_key(|(target, _)| *target);

    let options = [c"-64".as_ptr(), c"-compress=true".as_ptr(), c"-compress-all".as_ptr()];
    let mut fatbin = Fatbin { api: &api, handle: std::ptr::null_mut() };
    // SAFETY: every pointer is valid for the call that gets it, and nvFatbin keeps none of them beyond it.
    unsafe {
        api.check("nvFatbinCreate", (api.create)(&mut fatbin.handle, options.as_ptr(), options.len()))?;
        for (target, bytes) in images {
            let arch = CString::new(target.arch().digits()).expect("an architecture has no NUL");
            let name = CString::new(target.to_string()).expect("a target has no NUL");
            match target {
                Target::Cubin(_) => api.check(
                    "nvFatbinAddCubin",
                    (api.add_cubin)(fatbin.handle, bytes.as_ptr().cast(), bytes.len(), arch.as_ptr(), name.as_ptr()),
                )?,
                Target::Ptx(_) => {
                    // nvFatbin wants the terminating NUL counted, and NVRTC gives PTX with it.
                    let mut text = bytes.clone();
                    if text.last() != Some(&0) {
                        text.push(0);
                    }
                    let status = (api.add_ptx)(
                        fatbin.handle,
                        text.as_ptr().cast(),
                        text.len(),
                        arch.as_ptr(),
                        name.as_ptr(),
                        std::ptr::null(),
                    );
                    api.check("nvFatbinAddPTX", status)?;
                }
            }
        }
        let mut size = 0;
        api.check("nvFatbinSize", (api.size)(fatbin.handle, &mut size))?;
        let mut packed = vec![0u8; size];
        api.check("nvFatbinGet", (api.get)(fatbin.handle, packed.as_mut_ptr().cast()))?;
        Ok(packed)
    }
}
