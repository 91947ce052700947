//! What a wheel says of itself: core metadata, the long description and the table of GPUs. All of it comes from
//! versions.toml, so that no page promises what no wheel holds.

use std::fmt::Write as _;

use ci_step::audit::Image;
use ci_step::audit::capability::{self, Column};
use ci_step::steps::stage::{CRATES_LICENSE_FILE, LICENSE_FILE, OPENBLAS_LICENSE_FILE, ZIG_LICENSE_FILE};

use crate::pins::versions::{Cuda, Versions};
use ci_step::wheel::{CudaRequirement, Metadata, WheelName, requirements};

const AUTHOR: &str = "the faiss-rs authors";
/// Ours and those of all parts. The step that lays out the wheel compares it with them, and names the right one.
const LICENSE: &str = "MIT AND BSD-2-Clause AND BSD-3-Clause AND ISC AND GPL-3.0-or-later WITH GCC-exception-3.1";
/// With the parts of LAPACK and of GCC's Fortran library that are in it.
pub const OPENBLAS_LICENSE: &str = "BSD-2-Clause AND BSD-3-Clause AND GPL-3.0-or-later WITH GCC-exception-3.1";
/// Of its runtime parts, which are linked in.
pub const ZIG_LICENSE: &str = "MIT";
/// Of the compilers of the kernels and their headers, which are not in a wheel.
pub const NVIDIA_LICENSE: &str = "LicenseRef-NVIDIA-Software-License";

pub fn metadata(versions: &Versions, cuda: Option<&Cuda>, name: &WheelName) -> Metadata {
    let cuda_requirements: Vec<CudaRequirement> = cuda
        .into_iter()
        .flat_map(|cuda| &cuda.requires)
        .map(|library| CudaRequirement {
            distribution: library.package.clone(),
            floor: library.from.clone(),
            exact: library.fixed.clone(),
        })
        .collect();
    let what = cuda.map_or_else(|| "on the CPU".to_owned(), |cuda| format!("on CPU and GPU (CUDA {})", cuda.major));
    let mut classifiers = vec![
        "Development Status :: 4 - Beta".to_owned(),
        "Intended Audience :: Developers".to_owned(),
        "Intended Audience :: Science/Research".to_owned(),
        "Operating System :: POSIX :: Linux".to_owned(),
        "Programming Language :: Python :: 3 :: Only".to_owned(),
    ];
    classifiers
        .extend(versions.wheel.pythons.iter().map(|python| format!("Programming Language :: Python :: {python}")));
    classifiers.push("Programming Language :: Python :: Implementation :: CPython".to_owned());
    classifiers.push("Programming Language :: Rust".to_owned());
    if let Some(cuda) = cuda {
        classifiers.push("Environment :: GPU :: NVIDIA CUDA".to_owned());
        classifiers.push(format!("Environment :: GPU :: NVIDIA CUDA :: {}", cuda.major));
    }
    classifiers.push("Topic :: Scientific/Engineering :: Artificial Intelligence".to_owned());
    classifiers.push("Typing :: Typed".to_owned());
    Metadata {
        name: name.distribution.clone(),
        version: name.version.clone(),
        summary: format!("Similarity search and clustering of dense vectors {what}: Faiss in Rust"),
        keywords: ["faiss", "similarity search", "nearest neighbors", "vectors", "cuda"].map(str::to_owned).to_vec(),
        classifiers,
        requires_python: format!(">={}", versions.python_floor()),
        requires_dist: requirements::requires_dist(&versions.wheel.numpy, &cuda_requirements),
        provides_extra: cuda.iter().map(|_| requirements::FIX_CUDA.to_owned()).collect(),
        license_expression: LICENSE.to_owned(),
        license_files: [LICENSE_FILE, OPENBLAS_LICENSE_FILE, CRATES_LICENSE_FILE, ZIG_LICENSE_FILE]
            .map(str::to_owned)
            .to_vec(),
        author: AUTHOR.to_owned(),
        project_urls: versions.wheel.urls.clone().into_iter().collect(),
        description: long_description(versions, cuda, &name.distribution),
    }
}

fn long_description(versions: &Versions, cuda: Option<&Cuda>, distribution: &str) -> String {
    let release = versions.wheel.version.rsplit_once('.').map_or("", |(release, _)| release);
    let (glibc_major, glibc_minor) = versions.wheel.glibc;
    let python = versions.python_floor();
    let mut text = format!(
        "# {distribution}\n\n\
         Faiss rewritten in Rust, with CUDA kernels of its own: similarity search and clustering of dense vectors. In Python it\n\
         is the module `faiss`, with the names, files and results of Faiss {release}.\n\n\
         ```python\n\
         import faiss, numpy as np\n\n\
         vectors = np.random.rand(1_000_000, 128).astype(\"float32\")\n\
         index = faiss.IndexFlatL2(128)\n"
    );
    if cuda.is_some() {
        text.push_str("index = faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), 0, index)   # leave this line out where there is no GPU\n");
    }
    text.push_str("index.add(vectors)\ndistances, ids = index.search(vectors[:10], 5)\n```\n\n");
    let _ = writeln!(
        text,
        "Needs Linux x86_64 with glibc {glibc_major}.{glibc_minor} or newer and CPython {python} or newer; numpy comes with it. OpenBLAS is inside."
    );
    let Some(cuda) = cuda else {
        text.push_str("\nThis distribution runs on the CPU alone.\n");
        return text;
    };
    let _ = write!(
        text,
        "\n## GPUs\n\n\
         A driver of branch {} or newer is needed for GPU indexes; no toolkit is: pip brings the CUDA runtime and cuBLAS.\n\
         Without a driver or a GPU `import faiss` works, and so does everything on the CPU.\n\n{}\n\
         Of CUDA {}, any {} will do. `pip install '{distribution}[fix-cuda]'` pins those that the wheel\n\
         was built and tested with.\n",
        cuda.driver_branch,
        capability_table(std::slice::from_ref(cuda)),
        cuda.major,
        floors(cuda),
    );
    text
}

/// `CUDA runtime from 12.1.105 on and any cuBLAS from 12.1.3.1 on`, as the requirements say it.
fn floors(cuda: &Cuda) -> String {
    let named = cuda.requires.iter().map(|library| {
        let what = if library.soname.starts_with("libcudart") { "CUDA runtime" } else { "cuBLAS" };
        format!("{what} from {} on", library.from)
    });
    named.collect::<Vec<_>>().join(" and any ")
}

/// The table of GPUs that README.md and the long descriptions hold, from what versions.toml promises; verification holds
/// finished wheels to the same.
pub fn capability_table(cuda: &[Cuda]) -> String {
    let column = |cuda: &Cuda| Column {
        heading: format!("cu{} (CUDA {})", cuda.major, cuda.toolkit),
        images: cuda.targets().into_iter().map(Image).collect(),
    };
    capability::render(&cuda.iter().map(column).collect::<Vec<_>>())
}

/// Where README.md holds [`support_table`].
pub const SUPPORT: (&str, &str) = ("<!-- support table: begin -->", "<!-- support table: end -->");

/// What each wheel needs and has, a line a distribution, from versions.toml alone.
pub fn support_table(versions: &Versions) -> String {
    let list = |archs: &[faiss_kernels::Arch]| archs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let wheel = &versions.wheel;
    let pythons = wheel.pythons.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let (major, minor) = wheel.glibc;
    let rest = format!("{pythons} | {major}.{minor} | {}", wheel.platforms.join(", "));
    let mut table = "| Wheel | CUDA | Driver from | Machine code | PTX | CPython | glibc from | Processor |\n\
                     | --- | --- | --- | --- | --- | --- | --- | --- |\n"
        .to_owned();
    for cuda in &versions.cuda {
        let (name, toolkit, branch) = (cuda.distribution(wheel), &cuda.toolkit, &cuda.driver_branch);
        let (code, ptx) = (list(&cuda.architectures), list(&cuda.ptx));
        let _ = writeln!(table, "| `{name}` | {toolkit} | {branch} | {code} | {ptx} | {rest} |");
    }
    let _ = writeln!(table, "| `{}` | - | - | - | - | {rest} |", wheel.cpu_name);
    table
}
