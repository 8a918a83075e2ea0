//! Where the processor time goes.

use std::time::Duration;

/// Processor time used by this process, by its children that ended, and by the server with its sessions that ended. Linux only;
/// elsewhere it reads zero.
pub struct Meter {
    server: u32,
    accounts: usize,
    last: [f64; 3],
}

impl Meter {
    pub fn start(server: u32, accounts: usize) -> Meter {
        Meter { last: times(server), server, accounts }
    }

    /// Prints what was used since it was read last.
    pub async fn read(&mut self, of: &str) {
        // A session's time is the server's once that has seen it end, of which nothing tells.
        #[expect(clippy::disallowed_methods, reason = "sessions that were just closed end within this time")]
        tokio::time::sleep(Duration::from_millis(500)).await;
        let now = times(self.server);
        let [own, children, server] = [0, 1, 2].map(|n| (now[n] - self.last[n]) / self.accounts as f64);
        let client = own + children;
        println!("cpu     {:>8.2} ms an account: {of} (client {client:.2}, server {server:.2})", client + server);
        self.last = now;
    }
}

/// Milliseconds since each process began.
fn times(server: u32) -> [f64; 3] {
    // Fields 14 to 17 of proc_pid_stat(5), behind the name in brackets: its own time, then that of children it has waited for.
    // In hundredths of a second, whatever the kernel's own clock.
    let spent = |pid: &str, fields: std::ops::Range<usize>| -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let rest = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        rest.split(' ').skip(fields.start).take(fields.len()).filter_map(|n| n.parse::<f64>().ok()).sum::<f64>() * 10.0
    };
    [spent("self", 11..13), spent("self", 13..15), spent(&server.to_string(), 11..15)]
}
