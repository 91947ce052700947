//! What a command asks for, judged against versions.toml: which CUDA majors, architectures and platform.

use faiss_kernels::Arch;

use crate::pins::versions::{Cuda, Versions};
use ci_step::failure::{Failure, Result};

/// The wheels to make.
#[derive(Clone, Debug)]
pub struct Matrix {
    /// With the architectures that were asked for; all of the toolkit's, when none was.
    pub cuda: Vec<Cuda>,
    pub cpu: bool,
    /// `x86_64`
    pub machine: String,
}

impl Matrix {
    pub fn gpu(versions: &Versions, majors: &[u32], archs: &[String], machine: &str) -> Result<Matrix> {
        let mut cuda: Vec<Cuda> = Vec::new();
        for &major in majors {
            let known = versions.cuda(major)?;
            if cuda.iter().all(|chosen| chosen.major != major) {
                cuda.push(narrow(known, archs)?);
            }
        }
        cuda.sort_by_key(|cuda| cuda.major);
        Ok(Matrix { cuda, cpu: false, machine: platform(versions, machine)? })
    }

    /// Every wheel. With `whole`, that of this CUDA major is complete and the others have their newest architecture alone.
    pub fn all(versions: &Versions, whole: Option<u32>) -> Result<Matrix> {
        let mut cuda = versions.cuda.clone();
        for other in cuda.iter_mut().filter(|cuda| whole.is_some_and(|major| major != cuda.major)) {
            let newest: Vec<String> = other.architectures.iter().max().map(ToString::to_string).into_iter().collect();
            *other = narrow(other, &newest)?;
        }
        Ok(Matrix { cuda, cpu: true, machine: versions.wheel.platforms[0].clone() })
    }

    pub fn cpu(versions: &Versions, machine: &str) -> Result<Matrix> {
        Ok(Matrix { cuda: Vec::new(), cpu: true, machine: platform(versions, machine)? })
    }
}

/// The same toolkit with only the architectures that were asked for. PTX stays where its architecture does.
pub fn narrow(cuda: &Cuda, archs: &[String]) -> Result<Cuda> {
    if archs.is_empty() {
        return Ok(cuda.clone());
    }
    let known = || cuda.architectures.iter().map(Arch::to_string).collect::<Vec<_>>().join(", ");
    let mut chosen = Vec::new();
    for name in archs {
        let arch = name.parse().ok().filter(|arch| cuda.architectures.contains(arch)).ok_or_else(|| {
            Failure::usage(
                format!("Architecture \"{name}\" is not built for CUDA {}; known: {}.", cuda.major, known()),
                "Choose among those, or add it to versions.toml.",
            )
        })?;
        chosen.push(arch);
    }
    chosen.sort();
    chosen.dedup();
    let ptx = cuda.ptx.iter().copied().filter(|ptx| chosen.iter().any(|arch| arch.base() == *ptx)).collect();
    Ok(Cuda { architectures: chosen, ptx, ..cuda.clone() })
}

fn platform(versions: &Versions, machine: &str) -> Result<String> {
    if versions.wheel.platforms.iter().any(|known| known == machine) {
        return Ok(machine.to_owned());
    }
    Err(Failure::usage(
        format!("Platform \"{machine}\" is not known; known: {}.", versions.wheel.platforms.join(", ")),
        "Choose one of those.",
    ))
}
