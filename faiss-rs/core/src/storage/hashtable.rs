//! A map from ids to ids in memory of the caller's: pairs of key and value, which are -1 where there is room.

use faiss_derive::functions;

use crate::base::{Error, Result};

pub use declared::*;

/// Numbers of a table of so many entries.
fn size(log2_capacity: i32) -> Result<usize> {
    let possible = (0..48).contains(&log2_capacity);
    if possible {
        Ok(2 << log2_capacity)
    } else {
        Err(Error::value(format!("a table of 2^{log2_capacity} entries is not possible")))
    }
}

/// Where a key is or, where it is not, the place for it.
fn place(table: &[i64], key: i64) -> Option<usize> {
    let mask = table.len() / 2 - 1;
    // An odd factor, so that keys that differ in their lowest bits begin at different places.
    let first = (key as u64).wrapping_mul(8_955_327_411_143) as usize;
    (0..=mask).map(|step| 2 * (first.wrapping_add(step) & mask)).find(|at| table[*at] == key || table[*at] == -1)
}

#[functions]
mod declared {
    use super::*;

    /// Makes a hash table of 2^log2_capacity entries empty: two int64 for each.
    pub fn hashtable_int64_to_int64_init(
        log2_capacity: i32,
        #[len = size(log2_capacity)?] tab: &mut [i64],
    ) -> Result<()> {
        tab.fill(-1);
        Ok(())
    }

    /// Adds n keys with their values; a later value takes an earlier one's place. RuntimeError where the table is full.
    pub fn hashtable_int64_to_int64_add(
        log2_capacity: i32,
        #[len = size(log2_capacity)?] tab: &mut [i64],
        n: usize,
        #[len = n] keys: &[i64],
        #[len = n] vals: &[i64],
    ) -> Result<()> {
        for (key, value) in keys.iter().zip(vals) {
            let full = || Error::failed("!(num_errors == 0)", "hashtable capacity exhausted");
            let at = place(tab, *key).ok_or_else(full)?;
            (tab[at], tab[at + 1]) = (*key, *value);
        }
        Ok(())
    }

    /// Writes the values of n keys, -1 for those that are not there.
    pub fn hashtable_int64_to_int64_lookup(
        log2_capacity: i32,
        #[len = size(log2_capacity)?] tab: &[i64],
        n: usize,
        #[len = n] keys: &[i64],
        #[len = n] vals: &mut [i64],
    ) -> Result<()> {
        for (key, value) in keys.iter().zip(vals) {
            *value = place(tab, *key).filter(|at| tab[*at] == *key).map_or(-1, |at| tab[at + 1]);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_as_many_keys_as_it_has_room_for() {
        let mut tab = [0; 32];
        hashtable_int64_to_int64_init(4, &mut tab).unwrap();
        let keys: Vec<i64> = (0..16).map(|i| i * 16 - 40).collect();
        let values: Vec<i64> = (0..16).collect();
        hashtable_int64_to_int64_add(4, &mut tab, 16, &keys, &values).unwrap();
        hashtable_int64_to_int64_add(4, &mut tab, 1, &keys[3..4], &[99]).unwrap();
        let mut found = [0; 3];
        hashtable_int64_to_int64_lookup(4, &tab, 3, &[keys[3], 7, keys[15]], &mut found).unwrap();
        assert_eq!(found, [99, -1, 15]);
        assert!(hashtable_int64_to_int64_add(4, &mut tab, 1, &[7], &[1]).is_err());
        assert!(hashtable_int64_to_int64_init(48, &mut tab).is_err());
        assert!(hashtable_int64_to_int64_init(-1, &mut tab).is_err());
    }
}
