//! The program, with the system's allocator.

fn main() -> std::process::ExitCode {
    mbuf_bench::driver::main()
}
