//! The frames: what `mbufctl replay` has when it is given none.

use mbuf_io::Capture;

const CAPTURE: &[u8] = include_bytes!("../../../captures/real.pcapng");

/// The bytes of each frame.
pub fn frames() -> Vec<&'static [u8]> {
    // What reads it stays, so that its memory is nobody's to use again.
    let capture = Box::leak(Box::new(Capture::new(CAPTURE, "capture").expect("a capture")));
    let mut frames = Vec::new();
    let mut from = 0;
    while let Some(frame) = capture.next_frame().expect("a capture without damage") {
        // Frames are in the file in their order.
        let at = find(&CAPTURE[from..], frame.data) + from;
        frames.push(&CAPTURE[at..at + frame.data.len()]);
        from = at + frame.data.len();
    }
    frames
}

fn find(bytes: &[u8], wanted: &[u8]) -> usize {
    bytes.windows(wanted.len()).position(|window| window == wanted).expect("a frame of the file")
}
