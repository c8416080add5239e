/** The log of a running cluster as its storage nodes hold it, read node by node. */
import { readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { parseAddress } from "../../src/base/address.ts";
import { nodeId, volumeId } from "../../src/base/ids.ts";
import { advance, type Lsn } from "../../src/base/lsn.ts";
import { type Layout, layoutOf, nodeAddress, runtimeDirOf } from "../../src/cluster/index.ts";
import { realClock } from "../../src/io/index.ts";
import { epochAt, NodeLink, type State } from "../../src/quorum/index.ts";

export function layoutFor(dataDir: string): Layout {
  return layoutOf(dataDir, runtimeDirOf(tmpdir(), process.getuid?.() ?? 0, dataDir));
}

export interface NodeLog {
  readonly name: string;
  readonly state: State;
  readonly bytes: Buffer;
}

/** Everything that each node holds, base to SCL; bytes under another epoch than its path says are an error. */
export async function readEveryLog(dataDir: string): Promise<NodeLog[]> {
  const layout = layoutFor(dataDir);
  const { volumeId: volume, nodes } = JSON.parse(readFileSync(layout.stateFile, "utf8")) as {
    volumeId: string;
    nodes: { id: string; nodeId: string }[];
  };
  return Promise.all(
    nodes.map(async (node) => {
      const link = await NodeLink.open({
        address: parseAddress(nodeAddress(layout, {}, node)),
        nodeId: nodeId(node.nodeId),
        volumeId: volumeId(volume),
        sender: "test",
        clock: realClock,
        timeoutMs: 10_000,
      });
      try {
        const state = await link.request({ kind: "inspect" });
        if (state.kind !== "state") throw new Error(`${node.id} says ${state.kind}`);
        return { name: node.id, state, bytes: await readAll(link, state) };
      } finally {
        link.close();
      }
    }),
  );
}

async function readAll(link: NodeLink, state: State): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let at: Lsn = state.base;
  while (at < state.scl) {
    const question = { kind: "getLog", path: "current", maxVdl: false } as const;
    const answer = await link.request({ ...question, from: at, to: state.scl });
    if (answer.kind !== "logData" || answer.runs.length === 0) {
      throw new Error(`no log at ${at}: ${answer.kind}`);
    }
    for (const run of answer.runs) {
      if (run.epoch !== epochAt(state.history, at)) {
        throw new Error(`byte ${at} is of epoch ${run.epoch}, not of the path's`);
      }
      pieces.push(Buffer.from(run.bytes));
      at = advance(at, run.bytes.length);
    }
  }
  return Buffer.concat(pieces);
}

/** Names of pairs of nodes whose logs differ where both have them, or that hold `text`. */
export function faultsOf(logs: readonly NodeLog[], text?: string): string[] {
  const found: string[] = [];
  const [first, ...rest] = logs;
  for (const other of rest) {
    if (!first) break;
    const length = Math.min(first.bytes.length, other.bytes.length);
    if (first.state.base !== other.state.base) found.push(`${other.name}: other base`);
    if (first.bytes.compare(other.bytes, 0, length, 0, length) !== 0) {
      found.push(`${first.name} and ${other.name} differ`);
    }
  }
  for (const { name, bytes } of logs) {
    if (text !== undefined && bytes.includes(text)) found.push(`${name} holds ${text}`);
  }
  return found;
}
