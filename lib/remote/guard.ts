import { isIP } from "node:net";
import { P2pError } from "../errors.js";

/** What others reach needs a key, or somebody who says that it does not. Errors: BAD_ARGUMENT. */
export function assertGuarded(host: string, hasKey: boolean, isInsecure: boolean): void {
  if (isLoopbackAddress(host) || hasKey || isInsecure) return;
  throw new P2pError("BAD_ARGUMENT", `others reach ${host}, and there is no key`, {
    hint: "add --key-file FILE (library: key), or --insecure if everybody there may read what is served",
  });
}

/** Whether only this machine reaches it. */
function isLoopbackAddress(host: string): boolean {
  return host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."));
}
