#!/bin/bash
# Runs compiled GPU tests where there is a GPU but no Rust: gpu.sh FOLDER WHAT..., in a folder with the programs `ops`,
# `index`, `ivf`, `pq`, `cluster`, `found`, `callers` (from `cargo test -p faiss-gpu --no-run`) and `flat_bench` (from `cargo build -p faiss-gpu --example flat_bench`).
#
#   tests      everything, one test at a time
#   sanitize   compute-sanitizer's memcheck, racecheck, synccheck and initcheck on small sizes
#   bench      1M x 128
#
# FAISS_CUDA_DIR names the folder with libfaiss_cuda.so and kernels/; CUDA's libraries must be found by LD_LIBRARY_PATH.
# Logs go to $OUT, or to the current folder.
set -u
folder=$1
shift
out=${OUT:-.}
failed=0

run() { # NAME COMMAND...
    local name=$1 start=$SECONDS
    shift
    "$@" >"$out/$name.log" 2>&1
    local status=$?
    [ $status -eq 0 ] || failed=1
    echo "$name: status $status, $((SECONDS - start)) s"
    grep -E 'FAILED|panicked|^query|skipped|test result|(ERROR|RACECHECK) SUMMARY' "$out/$name.log" | sort | uniq -c | head -20
}

for what in "$@"; do
    case $what in
    tests) for t in ops index ivf pq cluster found callers; do run $t "$folder/$t" --test-threads 1; done ;;
    sanitize)
        for tool in memcheck racecheck synccheck initcheck; do
            for t in ops index ivf pq cluster found callers; do
                # initcheck does not see what some of cuBLAS's half-precision kernels write: the sizes of `index` use those.
                [ $tool-$t = initcheck-index ] && continue
                FAISS_TEST_SMALL=1 run $t-$tool compute-sanitizer --tool $tool --error-exitcode 9 \
                    "$folder/$t" --test-threads 1
            done
        done
        ;;
    bench) "$folder/flat_bench" || failed=1 ;;
    *) echo "unknown: $what" && failed=1 ;;
    esac
done
exit $failed
