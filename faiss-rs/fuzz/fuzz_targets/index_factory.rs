#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| faiss_fuzz::index_factory(data));
