//! The program `sayso`; see [`sayso::cli`].

fn main() -> std::process::ExitCode {
    sayso::cli::main()
}
