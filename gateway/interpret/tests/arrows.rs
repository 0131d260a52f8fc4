//! The arrows between the rooms: what is pure stays free of a runtime.

use std::process::Command;

#[test]
fn interpret_render_and_deliver_hold_no_runtime() {
    for package in ["interpret", "render", "deliver"] {
        let tree = Command::new(env!("CARGO"))
            .args(["tree", "--offline", "--edges", "normal", "--prefix", "none", "--package", package])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .expect("cargo tree runs");
        assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
        let tree = String::from_utf8_lossy(&tree.stdout);
        let runtime = tree.lines().find(|line| line.starts_with("tokio") || line.starts_with("rusqlite"));
        assert_eq!(runtime, None, "{package} holds a runtime or a database");
    }
}
