//! mbuf-testkit
