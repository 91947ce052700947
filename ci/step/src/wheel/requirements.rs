//! `Requires-Dist` for numpy and NVIDIA's wheels: loose within a CUDA major, exact with the extra `fix-cuda`.

/// The extra that pins the toolkit of the build. uv and pip from 23.3 on take `NAME[fix_cuda]` for it as well; older pips do
/// not, and METADATA may not name both (PEP 685), so every text writes it with a hyphen.
pub const FIX_CUDA: &str = "fix-cuda";

/// One of NVIDIA's wheels that the library needs at run time.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct CudaRequirement {
    /// `nvidia-cuda-runtime-cu12`, or `nvidia-cuda-runtime` from CUDA 13 on.
    pub distribution: String,
    /// The oldest version that has every function called, for example `12.1`.
    pub floor: String,
    /// The version of the build's toolkit, for example `12.1.105`.
    pub exact: String,
}

impl CudaRequirement {
    /// Any version from `floor` on, within its major: CUDA's minor versions are compatible, its majors are not.
    pub fn range(&self) -> String {
        let major: u64 = self.floor.split('.').next().and_then(|n| n.parse().ok()).unwrap_or_default();
        format!("{}>={},<{}", self.distribution, self.floor, major + 1)
    }

    pub fn pin(&self) -> String {
        format!("{}=={}; extra == \"{FIX_CUDA}\"", self.distribution, self.exact)
    }
}

/// The lines of `Requires-Dist`, `numpy` (for example `numpy>=1.22`) first. Without CUDA there is no extra.
pub fn requires_dist(numpy: &str, cuda: &[CudaRequirement]) -> Vec<String> {
    let ranges = cuda.iter().map(CudaRequirement::range);
    let pins = cuda.iter().map(CudaRequirement::pin);
    std::iter::once(numpy.to_owned()).chain(ranges).chain(pins).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_ends_before_the_next_major() {
        let runtime = CudaRequirement {
            distribution: "nvidia-cuda-runtime-cu12".into(),
            floor: "12.1".into(),
            exact: "12.1.105".into(),
        };
        assert_eq!(
            requires_dist("numpy>=1.22", &[runtime]),
            [
                "numpy>=1.22",
                "nvidia-cuda-runtime-cu12>=12.1,<13",
                "nvidia-cuda-runtime-cu12==12.1.105; extra == \"fix-cuda\"",
            ]
        );
        assert_eq!(requires_dist("numpy>=1.22", &[]), ["numpy>=1.22"]);
    }
}
