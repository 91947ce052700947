//! The table of GPUs: which wheel has machine code for which generation, and which leaves it to PTX.
//!
//! Rendered from images, either those that versions.toml promises or those that were read from a finished wheel. The
//! README holds the text between [`BEGIN`] and [`END`], and a test compares it; the wheels' long descriptions are made
//! with it.

use std::fmt::Write;

use faiss_kernels::{Arch, Target};

use super::Image;

/// The lines around the table in a Markdown file.
pub const BEGIN: &str = "<!-- capability table: begin -->";
pub const END: &str = "<!-- capability table: end -->";

/// A wheel's column: its heading (`cu12 (CUDA 12.1)`) and the images that it has.
#[derive(Clone, Debug)]
pub struct Column {
    pub heading: String,
    pub images: Vec<Image>,
}

/// How a GPU runs a wheel's kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// By machine code for this architecture, which may be an older minor of the same major.
    MachineCode(Arch),
    /// By PTX, which the driver translates at the first use.
    Ptx(Arch),
    No,
}

/// Compute capability, generation, and GPUs that people know, of machines that a wheel can be installed on: those of
/// Jetson and DGX Spark are aarch64.
const GPUS: [(u8, u8, &str, &str); 11] = [
    (6, 0, "Pascal", "P100"),
    (6, 1, "Pascal", "GTX 10, P4, P40"),
    (7, 0, "Volta", "V100"),
    (7, 5, "Turing", "T4, RTX 20"),
    (8, 0, "Ampere", "A100, A30"),
    (8, 6, "Ampere", "A10, A40, RTX 30"),
    (8, 9, "Ada", "L4, L40S, RTX 40"),
    (9, 0, "Hopper", "H100, H200"),
    (10, 0, "Blackwell", "B200, GB200"),
    (10, 3, "Blackwell", "B300, GB300"),
    (12, 0, "Blackwell", "RTX 50, RTX PRO"),
];

/// What a GPU of capability `gpu` (without a letter) makes of `images`: the newest machine code that it can run, or else
/// the newest PTX. Code for X.Y runs on X.Z from Z = Y on; code with the letter `a` on its own capability alone.
pub fn support(images: &[Image], gpu: Arch) -> Support {
    let runs = |arch: Arch| match arch.suffix {
        Some('a') => arch.base() == gpu,
        _ => arch.major == gpu.major && arch.minor <= gpu.minor,
    };
    let translates = |arch: Arch| match arch.suffix {
        Some('a') => arch.base() == gpu,
        Some(_) => arch.major == gpu.major && arch.minor <= gpu.minor,
        None => arch <= gpu,
    };
    let machine_code = images.iter().filter_map(|image| match image.0 {
        Target::Cubin(arch) if runs(arch) => Some(arch),
        _ => None,
    });
    let ptx = images.iter().filter_map(|image| match image.0 {
        Target::Ptx(arch) if translates(arch) => Some(arch),
        _ => None,
    });
    match (machine_code.max(), ptx.max()) {
        (Some(arch), _) => Support::MachineCode(arch),
        (None, Some(arch)) => Support::Ptx(arch),
        (None, None) => Support::No,
    }
}

/// The table in Markdown, one row a GPU generation and one column a wheel, without the lines around it. A cell is `code`
/// for machine code of exactly that GPU, `by X` for that of X, `PTX`, or `-` where the wheel does not run.
pub fn render(columns: &[Column]) -> String {
    let heading = ["GPU", "Capability"].map(str::to_owned).into_iter();
    let mut rows = vec![heading.chain(columns.iter().map(|column| column.heading.clone())).collect::<Vec<String>>()];
    for (major, minor, generation, gpus) in GPUS {
        let gpu = Arch::new(major, minor);
        let cells = columns.iter().map(|column| match support(&column.images, gpu) {
            Support::MachineCode(arch) if arch.base() == gpu => "code".to_owned(),
            Support::MachineCode(arch) => format!("by {arch}"),
            Support::Ptx(_) => "PTX".to_owned(),
            Support::No => "-".to_owned(),
        });
        rows.push([format!("{generation}: {gpus}"), gpu.to_string()].into_iter().chain(cells).collect());
    }
    let widths: Vec<usize> =
        (0..rows[0].len()).map(|column| rows.iter().map(|row| row[column].len()).max().unwrap_or_default()).collect();
    rows.insert(1, widths.iter().map(|width| "-".repeat(*width)).collect());
    let mut out = String::new();
    for row in rows {
        out.push('|');
        for (cell, width) in row.iter().zip(&widths) {
            write!(out, " {cell:<width$} |").expect("writing to a string does not fail");
        }
        out.push('\n');
    }
    out
}

/// The table that `markdown` holds between [`BEGIN`] and [`END`]; none when a line is missing.
pub fn extract(markdown: &str) -> Option<&str> {
    let (_, rest) = markdown.split_once(BEGIN)?;
    Some(rest.split_once(END)?.0.trim_matches('\n'))
}

/// `markdown` with `table` between [`BEGIN`] and [`END`]; none when a line is missing.
pub fn replace(markdown: &str, table: &str) -> Option<String> {
    let (before, rest) = markdown.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n\n{}\n\n{END}{after}", table.trim_matches('\n')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images(names: &[&str]) -> Vec<Image> {
        names.iter().map(|name| Image::try_from(name.to_string()).unwrap()).collect()
    }

    #[test]
    fn a_gpu_takes_the_newest_code_that_it_can_run() {
        let images = images(&["sm_80", "sm_86", "sm_90", "sm_90a", "compute_90"]);
        let on = |text: &str| support(&images, text.parse().unwrap());
        let arch = |text: &str| text.parse::<Arch>().unwrap();
        assert_eq!(on("7.5"), Support::No);
        assert_eq!(on("8.0"), Support::MachineCode(arch("8.0")));
        assert_eq!(on("8.9"), Support::MachineCode(arch("8.6")));
        assert_eq!(on("9.0"), Support::MachineCode(arch("9.0a")));
        assert_eq!(on("10.0"), Support::Ptx(arch("9.0")));
    }

    #[test]
    fn code_with_a_letter_runs_nowhere_else() {
        let images = images(&["sm_100a", "compute_90a"]);
        assert_eq!(support(&images, Arch::new(10, 3)), Support::No);
        assert_eq!(support(&images, Arch::new(9, 0)), Support::Ptx("9.0a".parse().unwrap()));
    }

    #[test]
    fn the_table_is_found_again() {
        let columns =
            [Column { heading: "cu12 (CUDA 12.1)".into(), images: images(&["sm_60", "sm_90a", "compute_90"]) }];
        let table = render(&columns);
        insta::assert_snapshot!(table, @r"
        | GPU                        | Capability | cu12 (CUDA 12.1) |
        | -------------------------- | ---------- | ---------------- |
        | Pascal: P100               | 6.0        | code             |
        | Pascal: GTX 10, P4, P40    | 6.1        | by 6.0           |
        | Volta: V100                | 7.0        | -                |
        | Turing: T4, RTX 20         | 7.5        | -                |
        | Ampere: A100, A30          | 8.0        | -                |
        | Ampere: A10, A40, RTX 30   | 8.6        | -                |
        | Ada: L4, L40S, RTX 40      | 8.9        | -                |
        | Hopper: H100, H200         | 9.0        | code             |
        | Blackwell: B200, GB200     | 10.0       | PTX              |
        | Blackwell: B300, GB300     | 10.3       | PTX              |
        | Blackwell: RTX 50, RTX PRO | 12.0       | PTX              |
        ");
        let markdown = format!("# a\n\n{BEGIN}\nold\n{END}\n\nb\n");
        let updated = replace(&markdown, &table).unwrap();
        assert_eq!(extract(&updated).unwrap(), table.trim_end());
        assert_eq!(replace(&updated, &table).unwrap(), updated);
        assert_eq!(extract("# a"), None);
    }
}
