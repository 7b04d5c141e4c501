//! The same program with our C library, shared.

fn main() -> std::process::ExitCode {
    mbuf_bench::driver::main()
}
