//! Grouping, streamed upload, assignment and k-means against naive references.

mod common;

use common::{Random, gpu, on_gpu, small};
use faiss_gpu::ops::group;
use faiss_gpu::resources::Context;
use faiss_gpu::{GpuResources, Result};

fn grouped(resources: &GpuResources, keys: &[i32], groups: usize) -> (Vec<u32>, Vec<u32>) {
    let (mut offsets, mut order) = (vec![7; groups + 1], vec![7; keys.len()]);
    let work = |c: &Context<'_>| -> Result<()> {
        let keys_there = c.upload(keys)?;
        let grouped = group::group(c, keys_there.ptr(), keys.len(), groups)?;
        c.download(grouped.offsets.ptr(), &mut offsets)?;
        c.download(grouped.order.ptr(), &mut order)
    };
    on_gpu(|| resources.with(0, work)).unwrap();
    order.truncate(offsets[groups] as usize);
    (offsets, order)
}

#[test]
fn groups_hold_their_items_in_order() {
    let Some(resources) = gpu() else { return };
    let mut random = Random(3);
    let counts: &[usize] = if small() { &[0, 1, 2049, 5000] } else { &[0, 1, 31, 2047, 2048, 2049, 70_001, 1_300_000] };
    for &count in counts {
        for groups in [1, 2, 255, 256, 257, 4096, 65_535, 65_536, 100_000] {
            // All kinds: one giant group, keys of no group, few and many groups.
            for kind in 0..3 {
                let keys: Vec<i32> = (0..count)
                    .map(|_| match (kind, random.below(10)) {
                        (0, _) => random.below(groups) as i32,
                        (1, 0) => random.below(groups) as i32,
                        (1, _) => groups as i32 / 2,
                        (_, 0) => -1 - random.below(3) as i32,
                        (_, 1) => (groups + random.below(3)) as i32,
                        _ => random.below(groups.min(5)) as i32,
                    })
                    .collect();
                let mut order: Vec<u32> =
                    (0..count as u32).filter(|i| (0..groups as i32).contains(&keys[*i as usize])).collect();
                order.sort_by_key(|i| keys[*i as usize]);
                let mut offsets = vec![0; groups + 1];
                order.iter().for_each(|i| offsets[keys[*i as usize] as usize + 1] += 1);
                (0..groups).for_each(|g| offsets[g + 1] += offsets[g]);
                assert_eq!(grouped(&resources, &keys, groups), (offsets, order), "{count} items, {groups} groups");
            }
        }
    }
}
