//! smoke
use mbuf::*;
#[test]
fn smoke() -> Result<(), Box<dyn std::error::Error>> {
    let pool = Pool::builder().clusters(100).mbufs(300).build()?;
    {
        let mut p = Packet::with_cluster(&pool)?;
        p.extend_from_slice(b"hello world")?;
        p.check()?;
        p.prepend_slice(b"hdr:")?;
        p.check()?;
        let q = p.share()?;
        q.check()?;
        p.check()?;
        println!("{p:?} {q:?}");
        let mut r = p.duplicate()?;
        r.shatter([1, 2, 3, 4])?;
        r.check()?;
        assert_eq!(r, q);
        let t = r.split_off(5)?;
        r.check()?;
        t.check()?;
        assert_eq!(r, b"hdr:h");
        let mut u = q.share_range(3..)?;
        u.append(t).map_err(|e| e.0)?;
        u.check()?;
        u.write_at(2, b"XYZ")?;
        assert_eq!(q, b"hdr:hello world");
        println!("{}", u.hexdump(64));
        u.make_contiguous(12)?;
        u.check()?;
        println!("{}", u.hexdump(64));
        println!("{}", pool.stats());
        let big = Packet::from_slice(&pool, &[7; 100_000])?;
        big.check()?;
        println!("{} {}", big.segment_count(), big.memory());
    }
    println!("{}", pool.stats());
    assert_eq!(pool.stats().mbufs.current, 0);
    assert_eq!(pool.stats().clusters.current, 0);
    pool.trim();
    println!("{}", pool.stats());
    Ok(())
}
