//! A proof that this wheel's kernels ran on a GPU: the hash of a number that nobody knew before.

use crate::error::Result;
use crate::launchers;
use crate::resources::GpuResources;

/// SHA-256 of a message, computed by a kernel on a device.
pub fn sha256(device: i32, message: &[u8]) -> Result<[u8; 32]> {
    let padded = padded(message);
    let mut words = [0u32; 8];
    GpuResources::default().with(device, |context| {
        let there = context.upload(&padded)?;
        let mut digest = context.take::<u32>(words.len())?;
        launchers::sha256(context.launch(1), there.ptr(), (padded.len() / 64) as u32, digest.ptr_mut())?;
        context.download(digest.ptr(), &mut words)
    })?;
    let mut digest = [0; 32];
    digest.chunks_exact_mut(4).zip(words).for_each(|(bytes, word)| bytes.copy_from_slice(&word.to_be_bytes()));
    Ok(digest)
}

/// Whole blocks of 64 bytes: the message, a bit, zeros, and the message's length in bits (FIPS 180-4, 5.1.1).
fn padded(message: &[u8]) -> Vec<u8> {
    let mut padded = message.to_vec();
    padded.push(0x80);
    padded.resize((message.len() + 9).next_multiple_of(64) - 8, 0);
    padded.extend((8 * message.len() as u64).to_be_bytes());
    padded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_padded_to_whole_blocks() {
        for length in [0, 3, 55, 56, 63, 64, 119, 120] {
            let padded = padded(&vec![7; length]);
            assert!(
                padded.len().is_multiple_of(64) && padded.len() - length >= 9 && padded.len() - length < 73,
                "{length}"
            );
            assert_eq!(padded[length], 0x80);
            assert_eq!(padded[padded.len() - 8..], (8 * length as u64).to_be_bytes());
        }
    }
}
