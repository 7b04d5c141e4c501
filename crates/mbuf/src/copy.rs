//! Copying bytes.

/// Copies bytes to the front of a place, as many as there are and go in, and returns the rest of the place. Cannot
/// panic: what is owned meanwhile need not be kept where a panic would find it.
#[inline(always)]
pub(crate) fn copy_to_front<'a>(place: &'a mut [u8], bytes: &[u8]) -> &'a mut [u8] {
    let n = bytes.len().min(place.len());
    let (now, rest) = place.split_at_mut(n);
    copy(now, &bytes[..n]);
    rest
}

/// Copies bytes to a place for as many. Those of most headers need no call.
#[inline(always)]
fn copy(place: &mut [u8], bytes: &[u8]) {
    match bytes.len() {
        16..=32 => copy_ends::<16>(place, bytes),
        33..=64 => copy_ends::<32>(place, bytes),
        _ => place.copy_from_slice(bytes),
    }
}

/// Copies the first and the last `N` bytes, which are all there are.
#[inline(always)]
fn copy_ends<const N: usize>(place: &mut [u8], bytes: &[u8]) {
    if let (Some(place), Some(first)) = (place.first_chunk_mut::<N>(), bytes.first_chunk()) {
        *place = *first;
    }
    if let (Some(place), Some(last)) = (place.last_chunk_mut::<N>(), bytes.last_chunk()) {
        *place = *last;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_is_copied_and_the_rest_of_the_place_given_back() {
        let bytes: [u8; 140] = core::array::from_fn(|i| i as u8 + 1);
        let step = if cfg!(miri) { 9 } else { 1 };
        for room in (0..bytes.len()).step_by(step) {
            for len in (0..bytes.len()).step_by(step) {
                let mut place = [0; 140];
                let n = len.min(room);
                assert_eq!(copy_to_front(&mut place[..room], &bytes[..len]).len(), room - n);
                assert_eq!(place[..n], bytes[..n]);
                assert!(place[n..].iter().all(|&byte| byte == 0), "{len} bytes for {room}");
            }
        }
    }
}
