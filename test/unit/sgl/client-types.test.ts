/** What the compiler says of vectors and devices. The lines marked as errors are the test. */
import { parseBdf } from "#lib/pci/bdf.js";
import type { Session } from "#lib/session.js";
import type { DmaVector } from "#lib/sgl/dma-vector.js";
import type { ScatterList } from "#lib/sgl/scatterlist.js";

/** Compiled, never called. */
export async function uses(session: Session, list: ScatterList, text: string): Promise<void> {
  const one = await session.controller("0000:03:00.0");
  const two = await session.controller("0000:04:00.0");
  const some = await session.controller(text);
  const parsed = await session.controller(parseBdf("0000:03:00.0"));
  const [ofOne, ofTwo] = [one.namespaces[0]!, two.namespaces[0]!];
  const forOne: DmaVector<"0000:03:00.0"> = list.map(one);
  const forTwo = list.map(two);

  await ofOne.read(0, 1, forOne);
  await ofTwo.write(0, 1, forTwo);
  // @ts-expect-error: another device's
  await ofTwo.read(0, 1, forOne);
  // @ts-expect-error: another device's
  await ofOne.write(0, 1, forTwo);
  // @ts-expect-error: another device's
  await ofOne.compare(0, 1, forTwo);
  // @ts-expect-error: another device's
  const wrong: DmaVector<"0000:03:00.0"> = forTwo;
  // @ts-expect-error: another device's
  const mixed: DmaVector<"0000:03:00.0">[] = [forOne, list.map(two)];

  // Where the compiler does not know which device it is, the program finds out when it runs.
  for (const vector of [list.map(some), list.map(parsed), list.map(parseBdf(text))]) {
    await ofOne.read(0, 1, vector);
    await ofTwo.read(0, 1, vector);
  }
  await some.namespaces[0]!.read(0, 1, forOne);
  await parsed.namespaces[0]!.read(0, 1, forTwo);
  const any: DmaVector[] = [forOne, forTwo, wrong, ...mixed];
  for (const vector of any) vector.unmap();
}
