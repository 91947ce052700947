//! What pip and uv make of the release: the CPU wheel, which must search, and a GPU wheel with the toolkit of the build or
//! with any other of its major. NVIDIA's wheels are played by empty ones of the same names, since only their versions matter
//! here and the real ones are large.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::stage::Stage;
use crate::api::environment;
use crate::pins::lock::environment_set;
use crate::pins::versions::Cuda;
use ci_step::failure::{Failure, Result};
use ci_step::python;

const SEARCH: &str = "import faiss, numpy as np\nx = np.random.rand(100, 8).astype('float32')\n\
    index = faiss.IndexFlatL2(8)\nindex.add(x)\nassert (index.search(x, 1)[1][:, 0] == np.arange(100)).all()\nprint('found')\n";

/// Writes an empty wheel for each `NAME==VERSION` into a folder.
const EMPTY: &str = "import sys, zipfile\nfor wanted in sys.argv[2:]:\n    name, version = wanted.split('==')\n    \
    stem = f'{name.replace(\"-\", \"_\")}-{version}'\n    \
    with zipfile.ZipFile(f'{sys.argv[1]}/{stem}-py3-none-any.whl', 'w') as wheel:\n        \
    info = f'{stem}.dist-info'\n        \
    wheel.writestr(f'{info}/METADATA', f'Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n')\n        \
    wheel.writestr(f'{info}/WHEEL', 'Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')\n        \
    wheel.writestr(f'{info}/RECORD', f'{info}/METADATA,,\\n{info}/WHEEL,,\\n{info}/RECORD,,\\n')\n";

const VERSIONS: &str =
    "import sys\nfrom importlib.metadata import version\nprint([version(name) for name in sys.argv[1:]])\n";

/// Each program that installs, on an environment that has numpy and nothing of ours.
pub fn run(stage: &Stage) -> Result<()> {
    let versions = stage.context.versions()?;
    let uv = environment::uv(stage.context, versions)?;
    let cuda = versions.cuda(12)?;
    let others = stand_ins(stage, cuda)?;
    let gpu = format!("{}=={}", cuda.distribution(&versions.wheel), stage.version);
    let fixed = gpu.replacen("==", "[fix-cuda]==", 1);
    let installers: [&dyn Fn(&Path) -> Command; 2] = [
        &|python| {
            let mut command = Command::new(python);
            command.args(["-m", "pip", "install", "--quiet", "--no-input"]);
            command
        },
        &|python| {
            let mut command = Command::new(&uv);
            command.args(["pip", "install", "--quiet", "--no-config", "--cache-dir"]);
            command.arg(stage.folder.path().join("uv-cache")).arg("--python").arg(python);
            command
        },
    ];
    for (number, installer) in installers.iter().enumerate() {
        let install = |python: &Path, wanted: &str| {
            let mut command = installer(python);
            command.arg("--index-url").arg(format!("http://127.0.0.1:{}/simple/", stage.port()));
            command.arg("--find-links").arg(&others).arg(wanted).current_dir(stage.folder.path());
            command.env("NO_PROXY", "127.0.0.1").env("no_proxy", "127.0.0.1");
            for name in ["PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX", "PYTHONPATH"] {
                command.env_remove(name);
            }
            stage.expect(&stage.said(&mut command), "")
        };
        let python = clean(stage, &format!("{number}-cpu"), number == 0)?;
        install(&python, &format!("{}=={}", versions.wheel.cpu_name, stage.version))?;
        stage.expect(&asked(stage, &python, SEARCH, &[]), "found")?;
        // Only one distribution that provides the module can be in an environment.
        let python = clean(stage, &format!("{number}-gpu"), number == 0)?;
        for (wanted, newest) in [(&gpu, true), (&fixed, false)] {
            install(&python, wanted)?;
            let names: Vec<&str> = cuda.requires.iter().map(|required| required.package.as_str()).collect();
            let there: Vec<String> = cuda
                .requires
                .iter()
                .map(|required| version(&required.fixed, newest))
                .map(|v| format!("'{v}'"))
                .collect();
            stage.expect(&asked(stage, &python, VERSIONS, &names), &format!("[{}]", there.join(", ")))?;
            stage.expect(&asked(stage, &python, SEARCH, &[]), "found")?;
        }
    }
    Ok(())
}

/// That of the build, or a newer one of the same major.
fn version(fixed: &str, newest: bool) -> String {
    if newest { format!("{fixed}.1") } else { fixed.to_owned() }
}

/// A folder with empty wheels in the names of NVIDIA's, each in two versions.
fn stand_ins(stage: &Stage, cuda: &Cuda) -> Result<PathBuf> {
    let folder = stage.folder.path().join("stand-ins");
    fs::create_dir(&folder).map_err(Failure::io("cannot create", &folder))?;
    let interpreter = python::for_pip(stage.context.versions()?.python_floor())?;
    let mut command = Command::new(&interpreter.path);
    command.args(["-c", EMPTY]).arg(&folder);
    for required in &cuda.requires {
        command.args([false, true].map(|newest| format!("{}=={}", required.package, version(&required.fixed, newest))));
    }
    stage.expect(&stage.said(&mut command), "")?;
    Ok(folder)
}

/// The interpreter of a new environment with what the tests need, and pip where it is to install.
fn clean(stage: &Stage, name: &str, pip: bool) -> Result<PathBuf> {
    let versions = stage.context.versions()?;
    let interpreter = python::for_pip(versions.python_floor())?;
    let folder = stage.folder.path().join(format!("environment-{name}"));
    let lock = stage.context.lock()?;
    let files = lock.set(&environment_set("test", interpreter.python))?;
    let pinned = environment::fetch(&stage.context.store()?, versions, &files, interpreter.python)?;
    if pip {
        environment::create(&interpreter, &folder)?;
        environment::install(&folder, &pinned)?;
    } else {
        environment::make(stage.context, versions, &interpreter, &folder, &pinned)?;
    }
    Ok(folder.join("bin/python"))
}

fn asked(stage: &Stage, python: &Path, program: &str, arguments: &[&str]) -> super::stage::Said {
    let mut command = Command::new(python);
    command.current_dir(stage.folder.path()).args(["-c", program]).args(arguments);
    stage.said(command.env_remove("PYTHONPATH").env_remove("LD_LIBRARY_PATH"))
}
