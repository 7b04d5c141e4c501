//! Capture files.

use mbuf::Pool;
use mbuf_io::{Capture, PcapngWriter};

/// A file that may be anything. What can be read of it becomes packets; what is written of those reads the same.
pub fn captures(bytes: &[u8]) {
    let pool = Pool::new();
    let mut capture = match Capture::new(bytes, "fuzz.pcapng") {
        Ok(capture) => capture,
        Err(error) => return assert!(error.offset <= bytes.len() as u64, "{error}"),
    };
    let mut writer = PcapngWriter::new(Vec::new(), "fuzz").expect("a vector takes everything");
    let mut interfaces = Vec::new();
    let mut frames = Vec::new();
    loop {
        let seen = frames.len() as u64;
        match capture.next_frame() {
            Ok(None) => break,
            Err(error) => {
                assert!(error.offset <= bytes.len() as u64, "{error}");
                assert!(!error.to_string().is_empty());
                assert!(capture.next_frame().expect("nothing follows damage").is_none());
                break;
            }
            Ok(Some(frame)) => {
                assert!(frame.data.len() <= bytes.len(), "a frame of bytes that were not there");
                let (data, missing, interface) = (frame.data.to_vec(), frame.missing(), frame.interface);
                let packet = frame.into_packet(&pool).expect("memory");
                assert_eq!(packet, data);
                frames.push((packet, data, missing, interface));
            }
        }
        assert_eq!(capture.frames(), seen + 1);
    }
    for (packet, data, missing, interface) in &frames {
        let known = capture.interfaces().len();
        while interfaces.len() < known {
            interfaces.push(writer.add_interface(&capture.interfaces()[interfaces.len()]).expect("a vector"));
        }
        let original = (data.len() as u32).saturating_add(*missing);
        writer
            .write_on(interfaces[*interface as usize], 0, original, packet)
            .expect("a vector takes everything");
    }
    let written = writer.finish().expect("a vector takes everything");
    let mut again = Capture::new(&written[..], "again.pcapng").expect("what we wrote");
    for (_, data, missing, _) in &frames {
        let frame = again.next_frame().expect("what we wrote").expect("as many frames");
        assert_eq!((frame.data, frame.missing()), (&data[..], *missing));
    }
    drop(frames);
    crate::assert_empty(&pool);
}
