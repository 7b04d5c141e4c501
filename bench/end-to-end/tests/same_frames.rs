//! All kinds of buffers, and `mbufctl replay`, make the same frames of the same frames, behind every stage.

use bytes::BytesMut;

use mbuf_end_to_end::flat::FrontRoom;
use mbuf_end_to_end::frame::{Frame, Gather};
use mbuf_end_to_end::ours::{Copied, Linked};
use mbuf_end_to_end::trip::{Stage, Trip, Watch};
use mbuf_end_to_end::wire::Verdict;
use mbuf_end_to_end::{capture, mbufctl};
use mbuf_io::Capture;

/// The frames behind each stage, in the order in which they came.
#[derive(Default)]
struct Record {
    behind: [Vec<Vec<u8>>; Stage::ALL.len()],
}

impl<F: Frame> Watch<F> for Record {
    fn done(&mut self, stage: Stage, frames: &[F], sent: &[F::Sent]) {
        let behind = &mut self.behind[stage as usize];
        behind.extend(frames.iter().map(Gather::to_vec));
        behind.extend(sent.iter().map(Gather::to_vec));
    }
}

fn record<F: Frame>() -> Record {
    let mut trip = Trip::<F>::default();
    let mut record = Record::default();
    trip.lap(&capture::frames(), &mut record);
    let verdicts = [Verdict::Good, Verdict::Bad, Verdict::Unchecked, Verdict::NotIp];
    // What tshark says about the capture: captures/README.md.
    assert_eq!(verdicts.map(|verdict| trip.verdicts(verdict)), [977, 0, 108, 6]);
    record
}

fn assert_same(a: &Record, b: &Record) {
    for stage in Stage::ALL {
        let (a, b) = (&a.behind[stage as usize], &b.behind[stage as usize]);
        assert_eq!(a.len(), b.len(), "{stage:?}");
        for (i, (a, b)) in a.iter().zip(b).enumerate() {
            assert_eq!(a, b, "frame {i} behind {stage:?}");
        }
    }
}

#[test]
fn all_buffers_hold_the_same_bytes_behind_every_stage() {
    let ours = record::<Linked>();
    assert_same(&ours, &record::<Copied>());
    assert_same(&ours, &record::<Vec<u8>>());
    assert_same(&ours, &record::<FrontRoom<Vec<u8>>>());
    assert_same(&ours, &record::<BytesMut>());
    assert_same(&ours, &record::<FrontRoom<BytesMut>>());

    let behind = |stage: Stage| &ours.behind[stage as usize];
    let frames: Vec<_> = capture::frames().iter().map(|frame| frame.to_vec()).collect();
    assert_eq!(*behind(Stage::Receive), frames);
    assert_eq!(*behind(Stage::VlanPop), frames, "there and back");
    assert_eq!(behind(Stage::Fragment).len(), 1899);
    assert!(
        behind(Stage::Mirror)
            .chunks(2)
            .map(|twice| [&twice[0], &twice[1]])
            .eq(frames.iter().map(|it| [it; 2]))
    );
    assert!(behind(Stage::Transmit).is_empty());
}

#[test]
fn mbufctl_makes_the_same_frames() {
    let ours = record::<Linked>();
    let program = mbufctl::build().unwrap();
    let out = tempfile::NamedTempFile::new().unwrap();
    let inner = &Stage::ALL[Stage::Verify as usize..Stage::Mirror as usize];
    for &stage in inner {
        let status = mbufctl::replay(&program, stage).arg("--out").arg(out.path()).output().unwrap().status;
        assert!(status.success());
        let file = std::fs::File::open(out.path()).unwrap();
        let mut capture = Capture::new(file, "out").unwrap();
        for (i, expected) in ours.behind[stage as usize].iter().enumerate() {
            let frame = capture.next_frame().unwrap().expect("as many frames");
            assert_eq!(frame.data, expected, "frame {i} behind {stage:?}");
        }
        assert!(capture.next_frame().unwrap().is_none(), "{stage:?}");
    }
}
