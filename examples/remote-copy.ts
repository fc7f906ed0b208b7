/**
 * A copy between machines by RDMA: one serves a range of a namespace, the other one copies to it. Here both
 * are in one process, on the two ports of the loopback machine's NIC, which are wired to each other:
 *
 *   node examples/remote-copy.ts        (Node.js 22.18 and later; earlier ones run what tsc makes of it)
 */
import { remoteCopy, serve, Session } from "p2pmem";

const session = await Session.open({ platform: "loopback", machine: "rdma" });
const server = await serve(session, {
  exports: ["scratch=0000:04:00.0/1@1m+8m"],
  ...{ port: 0, allowWrite: true, nic: { port: 2 }, provider: "0000:05:00.0" },
});
const { bytes, verify, ends } = await remoteCopy(session, {
  src: "0000:03:00.0/1@0+4m",
  dst: `rdma://127.0.0.1:${server.port}/scratch`,
  ...{ staging: "cmb", nic: { port: 1 } },
});
await server.close();
await session.close();

console.log(`${bytes} bytes arrived, ${verify!.blocks} blocks with the same CRC-32C`);
for (const { staging, traffic } of [ends.src, ends.dst])
  console.log(`staged in ${staging}, ${traffic.host_memory_bytes} bytes through host memory`);
