//! What arrives on the agent's socket, and what the agent or an impostor answers to the shim.
#![no_main]

use libfuzzer_sys::fuzz_target;
use plexus_cni::limits::FRAME_BYTES_MAX;
use plexus_cni::wire::{self, Call, ExecOutcome, HEADER_BYTES, Reply};

fuzz_target!(|bytes: &[u8]| {
    let Some((header, body)) = bytes.split_first_chunk::<HEADER_BYTES>() else { return };
    if let Ok(length) = wire::body_length(*header) {
        assert!((1..=FRAME_BYTES_MAX).contains(&length));
    }
    // The length is not compared with the body: the fuzzer would seldom guess it.
    let _ = wire::decode::<Call>(body);
    let _ = wire::decode::<ExecOutcome>(body);
    if let Ok(reply) = wire::decode::<Reply>(body) {
        let frame = wire::encode(&reply).expect("a decoded reply fits into a frame");
        assert_eq!(wire::decode::<Reply>(&frame[HEADER_BYTES..]).expect("our own frame is read"), reply);
    }
});
