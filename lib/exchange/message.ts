import { z } from "zod";
import { P2pError } from "../errors.js";
import { MAX_DEPTH } from "./limits.js";
import { textLine, toLine } from "./text.js";

const MAX_TEXT = 400;

/** How one side tells the other that, and why, it goes no further. */
const refusal = z.object({
  error: z.object({
    code: z.string().regex(/^[A-Z][A-Z0-9_]{0,39}$/),
    message: textLine(MAX_TEXT),
    hint: textLine(MAX_TEXT).optional(),
  }),
});

/** One line without its end. Errors: BAD_MESSAGE, where it is no JSON object of a sane depth. */
export function parseMessage(line: string): object {
  assertFlat(line);
  let message: unknown;
  try {
    message = JSON.parse(line);
  } catch {
    throw new P2pError("BAD_MESSAGE", "a line that is not JSON");
  }
  if (typeof message !== "object" || message === null || Array.isArray(message))
    throw new P2pError("BAD_MESSAGE", "a line that is no JSON object");
  return message;
}

/** Looks at brackets before anything is built of them. */
function assertFlat(line: string): void {
  let depth = 0;
  let isText = false;
  for (let index = 0; index < line.length; index++) {
    const character = line[index]!;
    if (isText) {
      if (character === "\\") index++;
      else if (character === '"') isText = false;
    } else if (character === '"') isText = true;
    else if (character === "{" || character === "[") {
      if (++depth > MAX_DEPTH)
        throw new P2pError("BAD_MESSAGE", `JSON of more than ${MAX_DEPTH} levels`);
    } else if (character === "}" || character === "]") depth--;
  }
}

/** What goes over the wire of an error: nothing of causes, devices and files beside the message. */
export function formatRefusal({ code, message, hint }: P2pError): object {
  // Ctrl-C here is none over there.
  if (code === "INTERRUPTED")
    return { error: { code: "PEER_GONE", message: "it was interrupted" } };
  return {
    error: {
      code,
      message: toLine(message, MAX_TEXT),
      ...(hint === undefined ? {} : { hint: toLine(hint, MAX_TEXT) }),
    },
  };
}

/** The error that the peer told of, in words that are safe to print; null: another message. */
export function parseRefusal(message: object, peer: string): P2pError | null {
  const { success, data } = refusal.safeParse(message);
  if (!success) return null;
  const { code, message: text, hint } = data.error;
  // Nobody over there presses Ctrl-C here.
  return new P2pError(
    code === "INTERRUPTED" ? "PEER_GONE" : code,
    `${peer}: ${text}`,
    hint === undefined ? {} : { hint },
  );
}
