//! The program `mbufctl`.

fn main() {}
