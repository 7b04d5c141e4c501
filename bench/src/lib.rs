//! The race: the same work done with this library and with what one would use instead.
//!
//! - [`rows`]: what is done, and what has to come out.
//! - [`goals`]: what we want to be true.
//! - [`seen`]: what came out, looked at outside of the timed loops.
//! - [`column`]: what a contestant is; [`columns`]: the contestants, a file each.
//! - [`worker`]: a process that runs the rows of one column when it is told to, and takes the time.
//! - [`driver`]: builds the workers, has them run in turn, and writes the report.

#[macro_use]
pub mod column;
pub mod columns;
pub mod driver;
pub mod goals;
pub mod ring;
pub mod rows;
pub mod seen;
pub mod worker;
