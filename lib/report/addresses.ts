const ADDRESS = /^[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]/i;

/** The PCI address that an endpoint or a provider begins with; null of `/dev/nvme0n1`. */
export function addressOf(name: string): string | null {
  return ADDRESS.exec(name)?.[0].toLowerCase() ?? null;
}

/** Every domain but 0000 is rare enough to be shown. */
export function shortName(name: string): string {
  return name.replace(/\b0000:(?=[0-9a-f]{2}:)/gi, "");
}

/** The endpoints that a result's `src` or `dst` names. A file's path may hold a comma, too. */
export function endpointsOf(names: string | null): string[] {
  return names === null ? [] : names.split(/,\s*(?=\/dev\/|file:|[0-9a-f]{4,8}:)/i);
}
