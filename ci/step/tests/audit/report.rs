use crate::support::{FATBIN, Sample, expected};

#[test]
fn a_report_reads_well() {
    let sample = Sample::good().with("faiss/kernels/flat.fatbin", &FATBIN[..100]);
    let text = sample.verify(&expected()).to_string();
    let lines: Vec<&str> = text.lines().skip(1).collect();
    insta::assert_snapshot!(lines.join("\n"), @r"
      ok      archive
      ok      tags
      ok      RECORD
      ok      METADATA
      ok      libraries
      ok      glibc
      ok      abi3
      FAILED  CUDA images
              faiss/kernels/flat.fatbin: it is no fatbin: byte 16: a container is cut short: 7056 bytes wanted, 84 left [cuda.unreadable]
      ok      budget
    1 finding
    ");
}

#[test]
fn a_report_survives_json() {
    let report = Sample::good().without("faiss/libfaiss_cuda.so").verify(&expected());
    let json = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<ci_step::audit::Report>(&json).unwrap(), report);
}
