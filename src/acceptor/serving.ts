import { unreachable } from "../base/assert.ts";
import { type Epoch, epochNone } from "../base/ids.ts";
import { type Lsn, lsnMaxOf, lsnMin } from "../base/lsn.ts";
import { type History, isOnPath, lastEpoch } from "../quorum/index.ts";
import type { Received } from "./acceptor-io.ts";
import { type GetLog, payloadBytesMax, type Pull, type Subscribe } from "../quorum/index.ts";
import type { NodeCore } from "./node-core.ts";
import type { Rules } from "../quorum/index.ts";

/** What a node knows when it is asked for log (section 9). */
export interface ServingView {
  readonly accepted: Epoch;
  readonly history: History;
  readonly base: Lsn;
  readonly scl: Lsn;
  readonly vdl: Lsn;
  readonly vdlEpoch: Epoch;
}

/** How far readers are served: min(vdl, SCL) of the accepted history. A hint of a newer epoch speaks of another log. */
export function readerLimit(node: ServingView, rules: Rules): Lsn {
  return node.vdlEpoch <= node.accepted ? rules.readLimit(node) : node.base;
}

/** `serve`: the bytes [from, to), which may be none yet. */
export type ServeAnswer =
  | { readonly kind: "serve"; readonly from: Lsn; readonly to: Lsn }
  | { readonly kind: "notHere" };

export function judgeGetLog(node: ServingView, request: GetLog, rules: Rules): ServeAnswer {
  const limit = request.maxVdl ? readerLimit(node, rules) : node.scl;
  const to = lsnMin(request.to, limit);
  if (request.from < node.base || request.from > limit) return { kind: "notHere" };
  if (request.path !== "current" && !holds(node, request.path, lsnMaxOf(to, request.from)))
    return { kind: "notHere" };
  return { kind: "serve", from: request.from, to: lsnMaxOf(to, request.from) };
}

export type SubscribeAnswer =
  | { readonly kind: "feed"; readonly from: Lsn }
  | { readonly kind: "pathChanged" }
  | { readonly kind: "tooOld" }
  | { readonly kind: "notHere" };

/**
 * A reader's path and position. `tooOld`: the reader has met a newer epoch than this node. `pathChanged`: the reader has
 * log that a backtrack removed, and cannot patch itself. `notHere`: this node has not, or no longer, what comes next.
 */
export function judgeSubscribe(node: ServingView, request: Subscribe): SubscribeAnswer {
  if (lastEpoch(request.path) > node.accepted || node.accepted === epochNone)
    return { kind: "tooOld" };
  if (!holds(node, request.path, request.from)) return { kind: "pathChanged" };
  if (request.from < node.base || request.from > node.scl) return { kind: "notHere" };
  return { kind: "feed", from: request.from };
}

/** True if [.., at) of `path` is this node's path, as far as both reach back. */
function holds(node: ServingView, path: History, at: Lsn): boolean {
  const first = path[0]?.start ?? at;
  const from = lsnMaxOf(node.base, first);
  return from >= at || isOnPath(path, node.history, { from, at });
}

export function onGetLog(core: NodeCore, received: Received, request: GetLog): void {
  const answer = judgeGetLog(core.servingView(), request, core.rules);
  if (answer.kind === "notHere") return sendNotHere(core, received);
  const { from, to } = answer;
  readLog(core, received, { as: "logData", from, to, maxBytes: payloadBytesMax });
}

export function onSubscribe(core: NodeCore, received: Received, request: Subscribe): void {
  const answer = judgeSubscribe(core.servingView(), request);
  const reply = { link: received.link, requestId: received.envelope.requestId };
  switch (answer.kind) {
    case "feed":
      return core.act({ kind: "startFeed", reply, from: answer.from });
    case "pathChanged":
      return core.send(received, { kind: "pathChanged", history: core.state.history });
    case "tooOld":
      return core.refuse(received, "notAccepted");
    case "notHere":
      return sendNotHere(core, received);
    default:
      return unreachable(answer);
  }
}

/** A peer fills its log from here; one that is behind in epochs gets the Elect first, so that the bytes match. */
export function onPull(core: NodeCore, received: Received, pull: Pull): void {
  const { electRecord, accepted, base } = core.state;
  if (electRecord && pull.accepted < accepted)
    core.sendTo({ link: received.link, requestId: 0n }, { kind: "relayElect", electRecord });
  if (pull.from < base || pull.from > core.scl) return sendNotHere(core, received);
  const maxBytes = Math.min(pull.maxBytes, payloadBytesMax);
  readLog(core, received, { as: "pullData", from: pull.from, to: core.scl, maxBytes });
}

function readLog(
  core: NodeCore,
  received: Received,
  range: { as: "logData" | "pullData"; from: Lsn; to: Lsn; maxBytes: number },
): void {
  const reply = { link: received.link, requestId: received.envelope.requestId };
  core.act({ kind: "readLog", reply, ...range, accepted: core.state.accepted });
}

function sendNotHere(core: NodeCore, received: Received): void {
  core.send(received, { kind: "notHere", base: core.state.base, scl: core.scl });
}
