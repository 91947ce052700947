//! proof.json beside a GPU wheel: its tests ran on a GPU, on which, and how many kernels they launched.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::api::write_whole;
use ci_step::digest;
use ci_step::failure::{Failure, Result};

pub const FILE: &str = "proof.json";

/// What the tests of GPUs write where `FAISS_GPU_REPORT` names a file; see faiss-rs/python/tests/gpu/conftest.py.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnGpu {
    pub passed: usize,
    /// Kernels that they launched.
    pub launched: u64,
    /// The driver, and what the library says of it.
    pub driver: String,
    pub gpus: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    pub wheel: String,
    pub sha256: String,
    /// The CPython that the tests ran under.
    pub python: String,
    /// Whether the toolkit of the build was installed, or any that the wheel takes.
    pub fix_cuda: bool,
    /// Of all tests.
    pub passed: usize,
    pub on_gpu: OnGpu,
    /// Of all of the above, so that an edit by hand is noticed. Who made it is for an attestation to say.
    pub seal: String,
}

impl Proof {
    pub fn new(wheel: &Path, python: &str, fix_cuda: bool, passed: usize, on_gpu: OnGpu) -> Result<Proof> {
        let sha256 = digest::of_file(wheel).map_err(Failure::io("cannot read", wheel))?;
        let name = wheel.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let (python, seal) = (python.to_owned(), String::new());
        let mut proof = Proof { wheel: name, sha256, python, fix_cuda, passed, on_gpu, seal };
        proof.seal = proof.sealed();
        Ok(proof)
    }

    fn sealed(&self) -> String {
        let bare = Proof { seal: String::new(), ..self.clone() };
        digest::of_bytes(&serde_json::to_vec(&bare).expect("plain data serializes"))
    }

    pub fn beside(wheel: &Path) -> PathBuf {
        wheel.with_file_name(FILE)
    }

    pub fn write(&self, wheel: &Path) -> Result<()> {
        let text = serde_json::to_vec_pretty(self).expect("plain data serializes");
        write_whole(&Proof::beside(wheel), &[text.as_slice(), b"\n"].concat())
    }

    /// Why it does not vouch for the wheel of this name and hash; nothing where it does.
    pub fn objections(path: &Path, wheel: &str, sha256: &str) -> Vec<String> {
        let Ok(text) = std::fs::read(path) else {
            return vec![format!("there is no {FILE} beside it, which the tests on a GPU write")];
        };
        let proof: Proof = match serde_json::from_slice(&text) {
            Ok(proof) => proof,
            Err(error) => return vec![format!("its {FILE} can't be read: {error}")],
        };
        let mut objections = Vec::new();
        if proof.seal != proof.sealed() {
            objections.push(format!("its {FILE} was changed after the tests had written it"));
        }
        if proof.wheel != wheel || proof.sha256 != sha256 {
            objections.push(format!("its {FILE} is of another wheel, {} ({})", proof.wheel, proof.sha256));
        }
        if proof.on_gpu.passed == 0 || proof.on_gpu.launched == 0 || proof.on_gpu.gpus.is_empty() {
            objections.push(format!("its {FILE} names no test that ran on a GPU"));
        }
        objections
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_untouched_proof_of_this_wheel_with_kernels_vouches_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let wheel = folder.path().join("a.whl");
        std::fs::write(&wheel, "wheel").unwrap();
        let sha256 = digest::of_bytes(b"wheel");
        let objections = || Proof::objections(&Proof::beside(&wheel), "a.whl", &sha256).join("; ");
        assert!(objections().contains("there is no proof.json"), "{}", objections());
        let on_gpu = OnGpu { passed: 3, launched: 9, driver: "580".into(), gpus: vec!["0: H200".into()] };
        Proof::new(&wheel, "3.12.1", false, 12, on_gpu.clone()).unwrap().write(&wheel).unwrap();
        assert_eq!(objections(), "");
        assert!(Proof::objections(&Proof::beside(&wheel), "a.whl", "0").join("").contains("of another wheel"));

        let text = std::fs::read_to_string(Proof::beside(&wheel)).unwrap();
        std::fs::write(Proof::beside(&wheel), text.replace("\"launched\": 9", "\"launched\": 90")).unwrap();
        assert!(objections().contains("was changed after"), "{}", objections());
        std::fs::write(Proof::beside(&wheel), "{").unwrap();
        assert!(objections().contains("can't be read"), "{}", objections());
        Proof::new(&wheel, "3.12.1", false, 12, OnGpu { launched: 0, ..on_gpu }).unwrap().write(&wheel).unwrap();
        assert!(objections().contains("no test that ran on a GPU"), "{}", objections());
    }
}
