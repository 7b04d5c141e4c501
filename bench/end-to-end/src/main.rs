//! Prints the table.

fn main() -> std::process::ExitCode {
    mbuf_end_to_end::report::main()
}
