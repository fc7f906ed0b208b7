/** Linux has at most so many processors. */
export const MOST_CPUS = 8192;

/** Numbers of processors from a list as Linux and fio write it, `0-3,6`, in order; null: it is none. */
export function parseCpuList(text: string): number[] | null {
  const cpus = new Set<number>();
  for (const item of text.split(",")) {
    const match = /^(\d+)(?:-(\d+))?$/.exec(item.trim());
    if (match === null) return null;
    const first = Number(match[1]);
    const last = Number(match[2] ?? match[1]);
    if (last < first || last >= MOST_CPUS) return null;
    for (let cpu = first; cpu <= last; cpu++) cpus.add(cpu);
  }
  return [...cpus].sort((a, b) => a - b);
}
