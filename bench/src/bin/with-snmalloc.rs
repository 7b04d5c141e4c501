//! The same program with snmalloc as the allocator.

#[global_allocator]
static ALLOCATOR: snmalloc_rs::SnMalloc = snmalloc_rs::SnMalloc;

fn main() -> std::process::ExitCode {
    mbuf_bench::driver::main()
}
