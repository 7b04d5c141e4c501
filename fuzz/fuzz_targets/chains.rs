#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mbuf_testkit::drive::chains(bytes));
