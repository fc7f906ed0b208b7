// Beside perf-gc-fixture.mjs: has V8 tell of its collections, in all threads, from so many bytes on, and
// stops the run at so many.
import { setFlagsFromString } from "node:v8";
import { parentPort, workerData } from "node:worker_threads";

const { controlBlock, buffer, from, to } = workerData;
const { ControlBlock } = await import(controlBlock);
const control = new ControlBlock(buffer);
let isTracing = false;
parentPort.postMessage("there");
const watch = setInterval(() => {
  const { bytes } = control;
  if (bytes >= from && !isTracing) {
    setFlagsFromString("--trace-gc");
    isTracing = true;
  }
  if (bytes < to) return;
  setFlagsFromString("--no-trace-gc");
  control.stop();
  clearInterval(watch);
}, 20);
