#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| faiss_fuzz::read_index_binary(data));
