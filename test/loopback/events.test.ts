/** Asynchronous events by the driver; in the lab QEMU raises one of its own (test/guest). */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { NvmeController } from "#lib/nvme/controller.js";
import type { NvmeEvent } from "#lib/nvme/events.js";
import { Session } from "#lib/session.js";

const NVME = "0000:01:00.0";

/** Each flush raises one of these, in turn. */
const EVENTS = [
  [1, 1, 0x02],
  [1, 2, 0x02],
  [0, 3, 0x01],
  [7, 0x42, 0xc0],
];

const MACHINE = `
root_ports:
  - device: nvme
    faults:
${EVENTS.map((event, n) => `      - { on: flush, after: ${n}, event: [${event.join(", ")}] }`).join("\n")}
`;

for (const interrupts of [false, true])
  describe(`asynchronous events, ${interrupts ? "by interrupts" : "polled"}`, () => {
    let directory: string;
    let session: Session;
    let controller: NvmeController;
    const events: NvmeEvent[] = [];
    let told = (): void => undefined;

    beforeEach(async () => {
      directory = mkdtempSync(join(tmpdir(), "p2pmem-events-"));
      writeFileSync(join(directory, "machine.yaml"), MACHINE);
      session = await Session.open({ machine: join(directory, "machine.yaml"), interrupts });
      controller = await session.controller(NVME);
      events.length = 0;
    });

    afterEach(async () => {
      await session.close();
      rmSync(directory, { recursive: true, force: true });
    });

    const listen = (): Promise<void> =>
      controller.onEvent((event) => {
        events.push(event);
        told();
      });
    /** Has the controller raise its next event, and waits until it is told. */
    const next = async (): Promise<NvmeEvent> => {
      const event = new Promise<void>((resolve) => (told = resolve));
      await controller.namespaces[0]!.flush();
      await event;
      return events.at(-1)!;
    };

    it("are told by their names with their log pages, one after the other", async () => {
      await listen();
      const all = [];
      for (let n = 0; n < EVENTS.length; n++) all.push(await next());
      assert.deepEqual(
        all.map(({ typeName, name, logPage, log }) => [typeName, name, logPage, log?.byteLength]),
        [
          ["SMART / Health status", "Temperature Threshold", 0x02, 512],
          ["SMART / Health status", "Spare Below Threshold", 0x02, 512],
          ["Error status", "Persistent Internal Error", 0x01, 64],
          ["Vendor specific", "0x42", 0xc0, undefined],
        ],
      );
      assert.equal(events.length, EVENTS.length);
    });

    it("go on after a reset, and to another handler, but to none that was taken away", async () => {
      await listen();
      await next();
      const { namespaces } = controller;
      await controller.reset();
      await next();
      assert.equal(controller.namespaces[0], namespaces[0], "the same object, as it is the same");
      await controller.onEvent(null);
      await controller.namespaces[0]!.flush();
      await controller.admin.activeNamespaces();
      const last = new Promise<void>((resolve) => (told = resolve));
      await controller.onEvent(({ name }) => {
        if (name === "0x42") told();
      });
      await controller.namespaces[0]!.flush();
      await last;
      assert.equal(events.length, 2);
    });

    it("leave admin commands and a close alone", async () => {
      await listen();
      await Promise.all(Array.from({ length: 20 }, () => controller.admin.activeNamespaces()));
      await session.close();
      assert.deepEqual(events, []);
      await assert.rejects(controller.onEvent(null), { code: "CLOSED" });
    });
  });
