//! What a finished wheel has to hold, said by versions.toml and the kernel catalogue alone, so that verification compares
//! the wheel with what was asked for and never with how it was made.

use std::collections::{BTreeMap, BTreeSet};

use faiss_kernels::Arch;

use crate::pins::versions::{Cuda, Versions};
use ci_step::audit::{Budget, Expected, Image, Library};
use ci_step::task::OPENBLAS;
use ci_step::wheel::{Metadata, WheelName};

pub fn expected(
    versions: &Versions,
    cuda: Option<&Cuda>,
    name: &WheelName,
    metadata: &Metadata,
    families: &[(String, BTreeMap<Arch, String>)],
) -> Expected {
    let beside = Some("$ORIGIN".to_owned());
    let mut libraries = vec![
        Library {
            member: "faiss/_faiss.abi3.so".into(),
            soname: None,
            needed: vec![OPENBLAS.into()],
            runpath: beside,
            exports: vec!["PyInit__faiss".into()],
        },
        Library {
            member: format!("faiss/{OPENBLAS}"),
            soname: Some(OPENBLAS.into()),
            needed: Vec::new(),
            runpath: None,
            exports: vec!["scipy_cblas_sgemm".into()],
        },
    ];
    let mut fatbins: BTreeMap<String, BTreeSet<Image>> = BTreeMap::new();
    let mut by_image = BTreeMap::new();
    if let Some(cuda) = cuda {
        libraries.push(Library {
            member: "faiss/libfaiss_cuda.so".into(),
            soname: Some("libfaiss_cuda.so".into()),
            needed: cuda.requires.iter().map(|library| library.soname.clone()).collect(),
            runpath: Some(cuda.runpath()),
            exports: vec!["faiss_cuda_version".into(), "faiss_cuda_minimum_driver".into()],
        });
        for (family, units) in families {
            let wanted = cuda.targets().into_iter().filter(|target| units.contains_key(&target.arch()));
            let images: BTreeSet<Image> = wanted.map(Image).collect();
            if !images.is_empty() {
                fatbins.insert(format!("faiss/kernels/{family}.fatbin"), images);
            }
        }
        by_image = cuda.targets().into_iter().map(|target| (Image(target), cuda.architecture_budget)).collect();
    }
    Expected {
        name: name.clone(),
        glibc: Some(versions.wheel.glibc),
        metadata: Some(metadata.clone()),
        libraries: Some(libraries),
        fatbins: Some(fatbins),
        budget: Budget { wheel_bytes: Some(versions.wheel.budget), by_image },
    }
}
