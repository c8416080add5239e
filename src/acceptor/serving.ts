import { unreachable } from "../base/assert.ts";
import { type Epoch, epochNone } from "../base/ids.ts";
import { type Lsn, lsnMaxOf, lsnMin } from "../base/lsn.ts";
import { commonPrefix, epochAt, type History, lastEpoch } from "../quorum/index.ts";
import type { KeptAnswer, Received } from "./acceptor-io.ts";
import {
  type GetLog,
  payloadBytesMax,
  type PinPull,
  type Pull,
  type Subscribe,
} from "../quorum/index.ts";
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

/** What is asked for: log [from, to) of a path. */
export interface LogRequest {
  readonly path: History | "current";
  readonly from: Lsn;
  readonly to: Lsn;
  readonly maxVdl: boolean;
}

/**
 * `serve`: the bytes [from, to) of the current log, which may be none yet. `kept`: the current log has not even the first
 * of them, but a retired tail or a pin may: those are served only to who names the path.
 */
export type ServeAnswer =
  | { readonly kind: "serve"; readonly from: Lsn; readonly to: Lsn }
  | { readonly kind: "kept" }
  | { readonly kind: "notHere" };

export function judgeGetLog(node: ServingView, request: LogRequest, rules: Rules): ServeAnswer {
  const { path, from } = request;
  const limit = request.maxVdl ? readerLimit(node, rules) : node.scl;
  const isNamed = path !== "current" && path.length > 0;
  const isHere = from >= node.base && from <= limit;
  if (!isNamed) {
    if (!isHere) return { kind: "notHere" };
    return { kind: "serve", from, to: lsnMaxOf(lsnMin(request.to, limit), from) };
  }
  const shared = isHere ? sharedTo(node, path, lsnMaxOf(lsnMin(request.to, limit), from)) : from;
  if (shared > from) return { kind: "serve", from, to: shared };
  // At the log's end nothing differs yet: what comes next decides.
  const isBehind = from === limit && epochAt(path, from) === epochAt(node.history, from);
  const isEmpty = request.to <= from;
  if (isHere && shared === from && (isBehind || isEmpty)) return { kind: "serve", from, to: from };
  return isEmpty ? { kind: "notHere" } : { kind: "kept" };
}

/** How far, at most to `at`, [.., at) of `path` is this node's path, as far as both reach back. */
function sharedTo(node: ServingView, path: History, at: Lsn): Lsn {
  const from = lsnMaxOf(node.base, path[0]?.start ?? at);
  return from >= at ? at : commonPrefix(path, node.history, { from, limit: at });
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
  return sharedTo(node, path, at) >= at;
}

export function onGetLog(core: NodeCore, received: Received, request: GetLog): void {
  serveLog(core, received, request, { kind: "logData" });
}

/** A peer completes a pin that this node has, too: by links of its own log, of what it keeps aside, of the pin's. */
export function onPinPull(core: NodeCore, received: Received, request: PinPull): void {
  const { pinId, from } = request;
  const pin = core.state.pins.find((one) => one.pinId === pinId);
  if (!pin || from < pin.from) return sendNotHere(core, received);
  const wanted = { path: pin.path, from, to: pin.to, maxVdl: false };
  serveLog(core, received, wanted, { kind: "pinData", pinId });
}

function serveLog(core: NodeCore, received: Received, request: LogRequest, as: KeptAnswer): void {
  const answer = judgeGetLog(core.servingView(), request, core.rules);
  const maxBytes = payloadBytesMax;
  if (answer.kind === "serve") {
    const { from, to } = answer;
    const pinId = as.kind === "pinData" ? { pinId: as.pinId } : {};
    return readLog(core, received, { as: as.kind, ...pinId, from, to, maxBytes });
  }
  const { path, from, to, maxVdl: onlyPins } = request;
  if (answer.kind === "notHere" || path === "current") return sendNotHere(core, received);
  const reply = { link: received.link, requestId: received.envelope.requestId };
  core.act({ kind: "readKept", reply, as, path, from, to, maxBytes, onlyPins });
}

export function onSubscribe(core: NodeCore, received: Received, request: Subscribe): void {
  const answer = judgeSubscribe(core.servingView(), request);
  const reply = { link: received.link, requestId: received.envelope.requestId };
  switch (answer.kind) {
    case "feed":
      return core.act({ kind: "startFeed", reply, from: answer.from, history: core.state.history });
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
  range: {
    as: "logData" | "pullData" | "pinData";
    pinId?: string;
    from: Lsn;
    to: Lsn;
    maxBytes: number;
  },
): void {
  const reply = { link: received.link, requestId: received.envelope.requestId };
  core.act({ kind: "readLog", reply, ...range, accepted: core.state.accepted });
}

function sendNotHere(core: NodeCore, received: Received): void {
  core.send(received, { kind: "notHere", base: core.state.base, scl: core.scl });
}
