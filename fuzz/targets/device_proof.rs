#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| cloakroom_core::testing::fuzzing::device_proof(data));
