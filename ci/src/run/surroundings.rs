//! What the process of a step gets of this program's environment: what is on a list, and nothing else. What a person has
//! set for their own work (RUSTFLAGS, LD_PRELOAD, LD_LIBRARY_PATH with another libnvrtc-builtins, ...) reaches no step.

use std::env;
use std::ffi::OsString;

use crate::plan::Action;

/// Where programs are, and where temporary files go.
const EVERY: &[&str] = &["PATH", "TMPDIR"];

/// Of steps that download as well: where pip, cargo and rustup have a person's settings, and how the network is reached.
const DOWNLOADS: &[&str] = &[
    "CARGO",
    "CARGO_HOME",
    "CURL_CA_BUNDLE",
    "HOME",
    "NETRC",
    "PYENV_ROOT",
    "REQUESTS_CA_BUNDLE",
    "RUSTUP_HOME",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
];
const BEGINNINGS: &[&str] = &["CARGO_HTTP_", "CARGO_NET_", "CARGO_REGISTR", "CARGO_SOURCE_", "PIP_", "XDG_"];
const PROXIES: &[&str] = &["all_proxy", "http_proxy", "https_proxy", "no_proxy"];

/// The variables for a step of this kind.
pub fn of(action: &Action) -> impl Iterator<Item = (OsString, OsString)> {
    // The crates that the extension is linked of come by cargo, with the user's own settings.
    let downloads = matches!(action, Action::Fetch { .. } | Action::Extension { .. });
    env::vars_os().filter(move |(name, _)| name.to_str().is_some_and(|name| passes(name, downloads)))
}

fn passes(name: &str, downloads: bool) -> bool {
    let proxy = || PROXIES.contains(&name.to_ascii_lowercase().as_str());
    let download =
        || DOWNLOADS.contains(&name) || BEGINNINGS.iter().any(|beginning| name.starts_with(beginning)) || proxy();
    EVERY.contains(&name) || (downloads && download())
}

#[cfg(test)]
mod tests {
    use super::passes;

    #[test]
    fn what_changes_a_build_reaches_no_step_and_what_reaches_the_network_those_that_download() {
        let never = [
            "CARGO_BUILD_RUSTFLAGS",
            "CARGO_ENCODED_RUSTFLAGS",
            "CARGO_PROFILE_RELEASE_LTO",
            "CARGO_TARGET_DIR",
            "CFLAGS",
            "LD_LIBRARY_PATH",
            "LD_PRELOAD",
            "NVCC_APPEND_FLAGS",
            "PYTHONPATH",
            "RUSTC_WRAPPER",
            "RUSTFLAGS",
            "RUSTUP_TOOLCHAIN",
            "ZIG_LOCAL_CACHE_DIR",
        ];
        assert!(never.iter().all(|name| !passes(name, true) && !passes(name, false)));
        let downloads = ["CARGO_HOME", "CARGO_REGISTRIES_OURS_TOKEN", "HTTPS_PROXY", "PIP_INDEX_URL", "https_proxy"];
        assert!(downloads.iter().all(|name| passes(name, true) && !passes(name, false)));
        assert!(passes("PATH", false));
    }
}
