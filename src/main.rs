//! The `local-vault` command.

fn main() {
    local_vault::cli::main()
}
