//! Packets in and out of mbufs.
