//! The binary: hands over to [`bkup::cli`] and exits with its code.

fn main() -> std::process::ExitCode {
    bkup::cli::main()
}
