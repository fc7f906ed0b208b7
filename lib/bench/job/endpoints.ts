/** Endpoints and providers as a job names them: checked, but the machine is not asked yet. */
import { parseEndpoint } from "../../io/endpoint.js";
import { P2pError } from "../../errors.js";
import { isKernelEndpoint, parseKernelEndpoint } from "../../kernel/endpoint.js";
import { parseProvider } from "../../p2pmem/provider-name.js";
import { refuse, type Kind } from "./kinds.js";

/** `auto`: one that nobody has named; `each`: a sweep over every device's first namespace. */
const WILDCARDS = ["auto", "each"] as const;

export function isWildcard(endpoint: string): boolean {
  return (WILDCARDS as readonly string[]).includes(endpoint);
}

const BDF = "(?:[0-9a-f]{4,8}:)?[0-9a-f]{2}:[01][0-9a-f]\\.[0-7]";
/** fio's `filename=a:b`: a colon that another endpoint follows, but not the one behind a PCI domain. */
const BETWEEN = new RegExp(
  `(?<!(?:^|:)[0-9a-f]{4,8}):(?=${BDF}(?:$|[/@:])|/dev/|file:|(?:${WILDCARDS.join("|")})(?:$|:))`,
  "i",
);

const FORMS = "BDF[/NSID][@OFFSET[+LENGTH]], /dev/nvmeXnY, file:PATH, auto or each";

/** Errors: BAD_ENDPOINT, BAD_SIZE, BAD_ARGUMENT. */
function checkEndpoint(value: unknown): string {
  if (typeof value !== "string" || value.trim() === "")
    return refuse(value, "an endpoint", `write ${FORMS}`);
  const text = value.trim();
  if (isKernelEndpoint(text)) parseKernelEndpoint(text);
  else if (!isWildcard(text)) parseOwn(text);
  return text;
}

function parseOwn(text: string): void {
  try {
    parseEndpoint(text);
  } catch (error) {
    if (!(error instanceof P2pError) || error.code !== "BAD_ENDPOINT") throw error;
    throw new P2pError(error.code, `"${text}" is not an endpoint`, { hint: `write ${FORMS}` });
  }
}

/** One endpoint, or several that run together: `a:b`, or a list. */
export const sources: Kind<readonly string[], string | readonly string[]> = {
  form: "endpoint",
  schema: {
    anyOf: [
      { type: "string", minLength: 1 },
      { type: "array", minItems: 1, items: { type: "string", minLength: 1 } },
    ],
  },
  parse: (value) => {
    const items: unknown[] = Array.isArray(value)
      ? value
      : typeof value === "string"
        ? value.split(BETWEEN)
        : [value];
    if (items.length === 0) return refuse(value, "an endpoint", `write ${FORMS}`);
    const endpoints = items.map(checkEndpoint);
    if (endpoints.length > 1 && endpoints.some(isWildcard))
      throw new P2pError("BAD_ARGUMENT", "auto and each do not run together with others", {
        hint: "name the endpoints that run together",
      });
    if (new Set(endpoints.map(isKernelEndpoint)).size > 1)
      throw new P2pError("BAD_ARGUMENT", "the kernel's devices do not run together with others", {
        hint: "name endpoints of one kind together",
      });
    if (new Set(endpoints).size < endpoints.length)
      throw new P2pError("BAD_ARGUMENT", "an endpoint is named twice", {
        hint: "each runs once; numjobs makes more threads",
      });
    return endpoints;
  },
};

export const destination: Kind<string, string> = {
  form: "endpoint",
  schema: { type: "string", minLength: 1 },
  parse: checkEndpoint,
};

/** `closest` and `all` are left to who knows the machine. */
export const provider: Kind<string, string> = {
  form: "bdf",
  schema: { type: "string", minLength: 1 },
  parse: (value) => {
    if (typeof value !== "string")
      return refuse(value, "a provider", "write its name, closest or all");
    const text = value.trim();
    if (text !== "closest" && text !== "all") parseProvider(text);
    return text;
  },
};
