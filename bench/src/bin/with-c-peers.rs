//! The same program with the C peers linked in, which bring code of their own that runs before `main`.

fn main() -> std::process::ExitCode {
    mbuf_bench::driver::main()
}
