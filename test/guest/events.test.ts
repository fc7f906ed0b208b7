import assert from "node:assert/strict";
import type { NvmeEvent } from "#lib/nvme/events.js";
import { Feature } from "#lib/nvme/spec.js";
import { Session } from "#lib/session.js";
import { devicesOf } from "../device/machine.js";

/** SMART log (§5.14.1.2): critical warnings, of which bit 1 is the temperature; kelvins. */
const [CRITICAL_WARNING, TEMPERATURE] = [0, 1];

for (const interrupts of [false, true])
  describe(`a real controller's asynchronous events, ${interrupts ? "by interrupts" : "polled"}`, () => {
    it("come when its temperature passes the threshold, each time", async () => {
      const session = await Session.open({ platform: "vfio", interrupts });
      try {
        const controller = await session.controller(devicesOf(session).nvme1);
        // NVMe 1.4 §5.21.1.4: of the composite temperature; over-temperature threshold.
        const set = (kelvins: number) =>
          controller.admin.setFeature(Feature.TEMPERATURE_THRESHOLD, kelvins);
        const { value: before } = await controller.admin.feature(Feature.TEMPERATURE_THRESHOLD);
        let told: (event: NvmeEvent) => void = () => undefined;
        await controller.onEvent((event) => {
          told(event);
        });
        for (let n = 0; n < 2; n++) {
          const coming = new Promise<NvmeEvent>((resolve) => (told = resolve));
          await set(200);
          const { typeName, name, log } = await coming;
          assert.deepEqual([typeName, name], ["SMART / Health status", "Temperature Threshold"]);
          assert.equal(log!.getUint8(CRITICAL_WARNING) & 2, 2);
          assert.ok(log!.getUint16(TEMPERATURE, true) > 200);
          await set(before);
        }
      } finally {
        await session.close();
      }
    });
  });
