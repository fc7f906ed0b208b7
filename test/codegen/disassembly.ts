/** Reads what `node --print-opt-code` prints: x86-64 as V8's disassembler writes it. */

export interface Instruction {
  /** Bytes from the start of the function. */
  offset: number;
  /** Without prefixes: `movl`. */
  mnemonic: string;
  operands: string;
  /** Offset that a jump goes to; null for what does not jump inside the function. */
  target: number | null;
}

const HEADER = /^name = (\S+)$/;
const LINE = /^0x[0-9a-f]+ +([0-9a-f]+) +[0-9a-f]+ +(?:REX\.W )?([a-z]\w*)(?: +(.*))?$/;
const TARGET = /<\+0x([0-9a-f]+)>/;

/** The instructions of each function, by its name; of several listings of one, the last. */
export function parseListings(text: string): Map<string, Instruction[]> {
  const functions = new Map<string, Instruction[]>();
  let current: Instruction[] = [];
  for (const line of text.split("\n")) {
    const header = HEADER.exec(line);
    if (header) functions.set(header[1]!, (current = []));
    const match = LINE.exec(line);
    if (!match) continue;
    const [, offset, mnemonic, operands = ""] = match;
    const target = mnemonic!.startsWith("j") ? TARGET.exec(operands) : null;
    current.push({
      offset: parseInt(offset!, 16),
      mnemonic: mnemonic!,
      operands,
      target: target ? parseInt(target[1]!, 16) : null,
    });
  }
  return functions;
}

/** What runs if nothing unusual happens: up to the return. V8 puts everything else behind it. */
export function hotPart(instructions: Instruction[]): Instruction[] {
  const end = instructions.findIndex(({ mnemonic }) => mnemonic.startsWith("ret"));
  return instructions.slice(0, end);
}

/** A store to an element of a typed array: fields of objects and the stack need no index. */
export interface ElementStore {
  /** As V8 names the width: `movl` is 32 bits. */
  mnemonic: string;
  /** Bytes that the index counts; 1 where the index was a constant. */
  scale: number;
  /** A number if the value is in the instruction, else null. */
  value: number | null;
}

export function elementStores(instructions: Instruction[]): ElementStore[] {
  return instructions.flatMap(({ mnemonic, operands }) => {
    const match = /^\[\w+\+\w+\*([1248])(?:[+-]\w+)?\](?:,(\S+))?$/.exec(operands);
    if (!match || /^(cmp|test|j|call|push)/.test(mnemonic)) return [];
    const [, scale, value = ""] = match;
    return [
      {
        mnemonic,
        scale: Number(scale),
        value: value.startsWith("0x") ? Number(value) : null,
      },
    ];
  });
}

/** A 32-bit load of a typed array's element. */
export function isElementLoad({ mnemonic, operands }: Instruction): boolean {
  return mnemonic === "movl" && /^\w+,\[\w+\+\w+\*4(?:[+-]\w+)?\]$/.test(operands);
}

/** The same where the index is a constant: of the first element, perhaps as part of a calculation. */
export function isFirstElementLoad({ mnemonic, operands }: Instruction): boolean {
  return /^(mov|sub)l$/.test(mnemonic) && /^\w+,\[\w+\+\w+\*1\]$/.test(operands);
}

/** Whether control can come back to an instruction without passing one for which `barrier` holds. */
export function hasCycle(
  instructions: Instruction[],
  barrier: (instruction: Instruction) => boolean = () => false,
): boolean {
  const indexOf = new Map(instructions.map(({ offset }, index) => [offset, index]));
  const successors = instructions.map((instruction, index) => {
    const { mnemonic, target } = instruction;
    if (barrier(instruction) || mnemonic.startsWith("ret")) return [];
    const next = mnemonic === "jmp" || index + 1 === instructions.length ? [] : [index + 1];
    const jump = target === null ? undefined : indexOf.get(target);
    return jump === undefined ? next : [...next, jump];
  });
  const state = new Uint8Array(instructions.length); // 1: on the way, 2: done
  const visit = (start: number): boolean => {
    const path = [{ node: start, edge: 0 }];
    state[start] = 1;
    for (let top = path.at(-1); top; top = path.at(-1)) {
      const successor = successors[top.node]![top.edge++];
      if (successor === undefined) {
        state[top.node] = 2;
        path.pop();
      } else if (state[successor] === 1) return true;
      else if (state[successor] === 0) {
        state[successor] = 1;
        path.push({ node: successor, edge: 0 });
      }
    }
    return false;
  };
  return instructions.some((_, index) => state[index] === 0 && visit(index));
}
