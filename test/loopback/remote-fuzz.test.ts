/** A server of copies with a namespace and a NIC, and clients that are broken or mean harm. */
import { SessionMachine } from "#lib/remote/machine.js";
import { Session } from "#lib/session.js";
import { besiege } from "../support/hostile-client.js";

const SIZE = 64 * 1024;

describe("A server of copies, on the loopback machine", function () {
  this.timeout(120_000);

  it("lives on whatever clients say at whatever time, and keeps no place, range or queue for them", async () => {
    const session = await Session.open({ platform: "loopback", machine: "rdma", timeout: 5 });
    const machine = new SessionMachine(session, {
      ...{ nic: { port: 2 }, staging: "host", allowWrite: true },
    });
    try {
      await besiege({
        ...{ machine, endpoint: `0000:04:00.0@1m+${SIZE}`, size: SIZE },
        ...{ maxIodepth: 8, clients: 150 },
      });
    } finally {
      await session.close();
    }
  });
});
