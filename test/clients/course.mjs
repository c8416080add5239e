// What every program here does, for those in JavaScript: several workers write, one transaction after another, until
// standard input ends; then everything that was acknowledged must be there, once. The last line printed is the report.
import { setTimeout as pause } from "node:timers/promises";

const workers = 3;
const restMs = 10;

/**
 * `write(worker, key)` commits a row with this key, in a transaction; `keys()` gives the keys of all rows. Every error that
 * `write` raises is reported, and the next write has another key.
 */
export async function course({ version, write, keys }) {
  const acknowledged = [];
  const errors = [];
  let isStopping = false;
  process.stdin.on("end", () => (isStopping = true)).resume();
  async function work(worker) {
    for (let n = 0; !isStopping; n++) {
      const key = `${worker}:${n}`;
      try {
        await write(worker, key);
        acknowledged.push(key);
      } catch (error) {
        errors.push({ key, code: error.cause?.code ?? error.code ?? "", message: String(error) });
      }
      await pause(restMs);
    }
  }
  await Promise.all(Array.from({ length: workers }, (_, worker) => work(worker)));
  const found = await keys();
  console.log(JSON.stringify({ version, acknowledged, errors, found }));
}
