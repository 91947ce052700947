//! The samples beside this file hold two kernels of three lines, `scale` and `fill`: lz4.fatbin from NVRTC 12.1 and
//! nvFatbin 12.4, zstd.fatbin from both of 13.5, stored.fatbin from NVRTC 11.8 and nvFatbin 12.4 without compression.

use proptest::prelude::*;

use super::*;

const LZ4: &[u8] = include_bytes!("lz4.fatbin");
const ZSTD: &[u8] = include_bytes!("zstd.fatbin");
const STORED: &[u8] = include_bytes!("stored.fatbin");

fn summary(fatbin: &[u8]) -> Vec<String> {
    let line = |image: ImageInfo| {
        assert_eq!(image.kernels, ["fill", "scale"]);
        format!("{:?} {} {:?}", image.kind, image.arch, image.compression)
    };
    read(fatbin).unwrap().into_iter().map(line).collect()
}

#[test]
fn samples_hold_what_they_were_made_of() {
    assert_eq!(summary(LZ4), ["Cubin 6.0 Lz4", "Cubin 9.0 Lz4", "Cubin 9.0a Lz4", "Ptx 9.0 Lz4"]);
    assert_eq!(summary(ZSTD), ["Cubin 7.5 Zstd", "Cubin 9.0a Zstd", "Cubin 12.0 Zstd", "Ptx 12.0 Zstd"]);
    assert_eq!(summary(STORED), ["Cubin 6.1 Stored", "Ptx 9.0 Stored"]);
}

#[test]
fn sizes_add_up() {
    for image in read(STORED).unwrap() {
        assert!(image.bytes <= image.compressed_bytes);
    }
    for fatbin in [LZ4, ZSTD] {
        let images = read(fatbin).unwrap();
        assert!(images.iter().all(|image| image.compressed_bytes < image.bytes));
        assert!(images.iter().map(|image| image.compressed_bytes).sum::<u64>() < fatbin.len() as u64);
    }
}

#[test]
fn containers_may_follow_each_other() {
    let both = [LZ4, &[0; 8], ZSTD].concat();
    assert_eq!(summary(&both), [summary(LZ4), summary(ZSTD)].concat());
}

#[test]
fn every_cut_is_noticed() {
    assert_eq!(read(b"").unwrap_err(), Error::Empty);
    for fatbin in [LZ4, ZSTD, STORED] {
        for length in 1..fatbin.len() {
            assert!(matches!(read(&fatbin[..length]), Err(Error::Truncated { .. })), "{length} bytes");
        }
    }
    let message = read(&LZ4[..1000]).unwrap_err().to_string();
    assert_eq!(message, format!("byte 16: a container is cut short: {} bytes wanted, 984 left", LZ4.len() - 16));
}

#[test]
fn an_entry_that_disagrees_with_its_image_is_noticed() {
    // The number of the first entry's architecture: 61 becomes 70.
    let mut fatbin = STORED.to_vec();
    fatbin[16 + 28] = 70;
    assert_eq!(read(&fatbin).unwrap_err().to_string(), "byte 88: the image for 7.0 is machine code for 6.1");
    // The suffix a of LZ4's third entry, which is found by its flags.
    let flags: Vec<usize> = (0..LZ4.len() - 8).filter(|&at| LZ4[at..at + 4] == [0x11, 0x20, 0x10, 0]).collect();
    let mut fatbin = LZ4.to_vec();
    fatbin[flags[0] + 2] = 0;
    let message = read(&fatbin).unwrap_err().to_string();
    assert!(message.ends_with("the image for 9.0 is machine code for 9.0a"), "{message}");
}

#[test]
fn other_files_are_named_by_what_they_start_with() {
    let message = read(b"\x7fELF............").unwrap_err().to_string();
    assert_eq!(message, "byte 0: no fatbin starts here: 464c457f instead of ba55ed50");
}

proptest! {
    #[test]
    fn any_bytes_end_in_a_result(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = read(&bytes);
        let _ = read(&[&STORED[..16], &bytes].concat());
    }

    #[test]
    fn any_damage_ends_in_a_result(
        sample in 0..3usize,
        damage in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut fatbin = [LZ4, ZSTD, STORED][sample].to_vec();
        for (at, byte) in damage {
            let at = at.index(fatbin.len());
            fatbin[at] = byte;
        }
        let _ = read(&fatbin);
    }

    /// Damage to headers, where every byte is a size, an offset or a kind.
    #[test]
    fn damaged_headers_end_in_a_result(sample in 0..3usize, at in 0..120usize, value in any::<u64>()) {
        let mut fatbin = [LZ4, ZSTD, STORED][sample].to_vec();
        fatbin[at..at + 8].copy_from_slice(&value.to_le_bytes());
        let _ = read(&fatbin);
    }
}
