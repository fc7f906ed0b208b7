import type { Host } from "./host.js";

/**
 * Who has which device file open, `name (pid 12)` by its path (proc_pid_fd(5)). Only root sees
 * everybody's.
 */
export function openDeviceFiles(host: Host): Map<string, string[]> {
  const users = new Map<string, string[]>();
  for (const pid of host.list("/proc").filter((name) => /^\d+$/.test(name))) {
    if (Number(pid) === process.pid) continue;
    const files = new Set(host.list(`/proc/${pid}/fd`).map((fd) => openFile(host, pid, fd)));
    for (const file of files) {
      if (file?.startsWith("/dev/") !== true) continue;
      const user = `${host.read(`/proc/${pid}/comm`) ?? "a process"} (pid ${pid})`;
      users.set(file, [...(users.get(file) ?? []), user]);
    }
  }
  return users;
}

/** null where it has been closed meanwhile. */
function openFile(host: Host, pid: string, fd: string): string | null {
  return host.readLink(`/proc/${pid}/fd/${fd}`);
}
