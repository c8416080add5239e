import { volumeId } from "../base/ids.ts";
import { advance, type Lsn } from "../base/lsn.ts";
import { nodesNearestFirst } from "../instance/index.ts";
import {
  inspectVolume,
  type LinkOwner,
  type NodeEndpoint,
  VolumeReader,
  type VolumeSight,
} from "../log-driver/index.ts";
import type { LogPath } from "../volume/index.ts";
import type { KeeperContext } from "./keeper-shell.ts";

const askTimeoutMs = 1_000;

/** The volume as its nodes show it now. Undefined: none answers, or none has heard of an open epoch yet. */
export async function seeVolume(
  context: KeeperContext,
  signal: AbortSignal,
): Promise<VolumeSight | undefined> {
  const { clock } = context;
  const bounds = { clock, timeoutMs: askTimeoutMs, signal };
  const sight = await inspectVolume(nodesOf(context), ownerOf(context), bounds);
  return sight && sight.vdl > 0n ? sight : undefined;
}

/** The volume's log [from, to) of a path, in pieces. Raises 58030 when no node has it. */
export async function* readLog(
  context: KeeperContext,
  { path, from, to }: { readonly path: LogPath; readonly from: Lsn; readonly to: Lsn },
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  const { clock } = context;
  const nodes = nodesOf(context);
  const reader = new VolumeReader({ nodes, owner: ownerOf(context), clock, signal });
  try {
    for (let at = from; at < to;) {
      const bytes = await reader.read({ path, from: at, to });
      at = advance(at, bytes.length);
      yield bytes;
    }
  } finally {
    reader.close();
  }
}

function nodesOf({ config, world }: KeeperContext): NodeEndpoint[] {
  return nodesNearestFirst({ az: config.az, nodes: world().nodes });
}

function ownerOf({ config }: KeeperContext): LinkOwner {
  const { credential } = config;
  return {
    volumeId: volumeId(config.volumeId),
    sender: "keeper",
    ...(credential ? { credential } : {}),
  };
}
