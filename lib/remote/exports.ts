import { P2pError } from "../errors.js";
import { formatEndpoint, parseEndpoint, parseServedName, type Endpoint } from "../io/endpoint.js";

/** What a server lets others read, or write. */
export interface Export {
  /** What clients call it. */
  name: string;
  endpoint: Endpoint;
}

export const EXPORT_FORM = "[NAME=]BDF[/NSID][@OFFSET[+LENGTH]]";

/** Of {@link EXPORT_FORM}; without a name it is served as `BDF/NSID`. Errors: BAD_ENDPOINT, BAD_SIZE. */
export function parseExport(text: string): Export {
  const at = text.indexOf("=");
  const endpoint = parseEndpoint(text.slice(at + 1));
  if (at === -1) return { name: `${endpoint.device}/${endpoint.nsid}`, endpoint };
  const name = text.slice(0, at).trim();
  if (name.includes(":"))
    throw new P2pError("BAD_ENDPOINT", `"${name}" cannot be a name, only an address`, {
      hint: `write ${EXPORT_FORM}: a name is a letter, then letters, digits, _, . and -`,
    });
  return { name: parseServedName(name), endpoint };
}

/** By what clients call them. Errors: BAD_ARGUMENT, where two have the same name. */
export function exportsByName(list: readonly Export[]): Map<string, Export> {
  const byName = new Map<string, Export>();
  for (const served of list) {
    const other = byName.get(served.name);
    if (other !== undefined)
      throw new P2pError(
        "BAD_ARGUMENT",
        `${formatEndpoint(other.endpoint)} and ${formatEndpoint(served.endpoint)} would both be served as ${served.name}`,
        { hint: "give them names: NAME=BDF[/NSID]" },
      );
    byName.set(served.name, served);
  }
  return byName;
}
