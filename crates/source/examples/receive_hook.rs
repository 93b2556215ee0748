//! A program that is nothing but the receive hook: `receive_hook hook post-receive`. The tests give it to git in place
//! of the whole `windlass` binary.

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let code = match args.split_first() {
        Some((first, rest)) if first == "hook" && !rest.is_empty() => {
            windlass_source::hook_main(&rest[0], &rest[1..])
        }
        _ => 2,
    };
    std::process::exit(code);
}
