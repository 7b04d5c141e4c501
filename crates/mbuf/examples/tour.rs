//! The tour of the README.

use mbuf::{Packet, Pool};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pool = Pool::builder().clusters(1024).build()?;

    let mut packet = Packet::with_cluster(&pool)?; // a 2 KiB cluster from this thread's cache
    packet.extend(1000)?.fill(0x5a); // receive into it
    packet.prepend_slice(&[8, 0, 0, 0, 0, 0, 42, 0])?; // a header in front: no payload byte moves

    let mirror = packet.share()?; // the same cluster, read-only while it has two holders
    packet.write_at(8, &[1, 2, 3])?; // copies what it has to write: `mirror` keeps what it has
    let mut tail = packet.split_off(500)?; // two packets, one cluster
    packet.append(mirror.share_range(8..12)?)?; // linked behind, or copied if it fits

    let header = packet.make_contiguous(40)?; // a view, which borrows the packet
    println!("{header:02x?}");
    tail.trim_front(8)?;
    println!("{} and {} bytes\n{}", packet.len(), tail.len(), pool.stats());
    Ok(())
}
