import { describe, expect, it } from "vitest";
import { epoch, nodeId, timeline, volumeId } from "../base/ids.ts";
import { lsn } from "../base/lsn.ts";
import { encodeAcceptorState, formattedState } from "../acceptor/index.ts";
import { type History, memberSet } from "../quorum/index.ts";
import {
  acceptorBytesMax,
  encodeSlot,
  newestSlot,
  type NodeState,
  parseSlot,
  slotBytes,
  slotOffsets,
  stateFileBytes,
} from "./state-slots.ts";
import { encodeSyncMark, parseSyncMark, syncMarkBytes } from "./sync-mark.ts";

function aState(promised: number): NodeState {
  const formatted = formattedState({
    volumeId: volumeId("11111111-2222-3333-4444-555555555555"),
    nodeId: nodeId("aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"),
    base: lsn(0x1000000n),
  });
  return {
    acceptor: {
      ...formatted,
      promised: epoch(promised),
      promisedTo: "99999999-2222-3333-4444-555555555555",
      accepted: epoch(1),
      history: [{ epoch: epoch(1), timeline: timeline(1), start: lsn(0x1000000n), kind: "branch" }],
    },
    cut: { to: lsn(0x1000100n), sequence: 4 },
    rotKnownEnd: lsn(0x1000200n),
  };
}

/** A state after so many epochs, each of which began `step` bytes after the one before. */
function anElected(epochs: number, step = 100n): NodeState {
  const start = lsn(0x1000000n);
  const history: History = Array.from({ length: epochs }, (_, index) => ({
    epoch: epoch(index + 1),
    timeline: timeline(1),
    start: lsn(start + BigInt(index) * step),
    kind: "branch",
  }));
  const { acceptor } = aState(epochs);
  const { nodeId: self } = acceptor;
  const configuration = {
    id: { epoch: epoch(epochs), version: 1 },
    sets: [memberSet([{ nodeId: self, az: "a", kind: "full" }])],
  };
  const electRecord = {
    kind: "elect",
    epoch: epoch(epochs),
    claimId: "99999999-2222-3333-4444-555555555555",
    history,
    start: history.at(-1)?.start ?? start,
    configuration,
    low: start,
    floor: start,
  } as const;
  const elected = { ...acceptor, accepted: epoch(epochs), history, configuration, electRecord };
  return { ...aState(epochs), acceptor: elected };
}

function aFile(...written: readonly [bigint, NodeState][]): Buffer {
  const file = Buffer.alloc(stateFileBytes);
  for (const [sequence, state] of written) {
    for (const at of slotOffsets(sequence)) encodeSlot(sequence, state).copy(file, at);
  }
  return file;
}

describe("the state file", () => {
  it("gives back the newest slot", () => {
    const file = aFile([7n, aState(7)], [8n, aState(8)]);
    const newest = { sequence: 8n, state: aState(8) };
    expect(newestSlot(file)).toEqual({ newest, isWhole: true });
    expect(newestSlot(aFile([8n, aState(8)], [9n, aState(9)]))?.newest.sequence).toBe(9n);
  });
  it("falls back to the older slot when the newer one is torn anywhere", () => {
    const newer = encodeSlot(8n, aState(8));
    for (let length = 0; length < newer.length; length++) {
      const file = aFile([7n, aState(7)], [6n, aState(6)]);
      for (const at of slotOffsets(8n)) newer.copy(file, at, 0, length);
      const found = newestSlot(file);
      // A tear may leave what looks like the older slot only if it changed nothing of it.
      expect(found?.newest.sequence, `torn after ${length}`).toBe(7n);
    }
  });
  it("forgets nothing by a flipped bit in the newest slot or its copy, and says that one is bad", () => {
    const file = aFile([7n, aState(7)], [8n, aState(8)]);
    for (const at of slotOffsets(8n)) {
      for (let i = 0; i < 40; i++) {
        const flipped = Buffer.from(file);
        flipped.writeUInt8(flipped.readUInt8(at + i) ^ 4, at + i);
        const found = newestSlot(flipped);
        expect([found?.newest.sequence, found?.isWhole]).toEqual([8n, false]);
      }
    }
  });
  it("trusts no slot with a flipped bit", () => {
    const bytes = encodeSlot(8n, aState(8));
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const flipped = Buffer.from(bytes);
      flipped.writeUInt8(flipped.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
      expect(parseSlot(flipped), `bit ${bit}`).toBeUndefined();
    }
  });
  it("keeps a history of ten thousand epochs, once, and gives it back in the Elect, too", () => {
    const long = anElected(10_000);
    expect(encodeAcceptorState(long.acceptor).length).toBeLessThan(acceptorBytesMax);
    expect(parseSlot(encodeSlot(3n, long))?.state).toEqual(long);
  });
  it("keeps an Elect of another history than the state's whole", () => {
    const state = anElected(3);
    const { electRecord } = anElected(3, 7n).acceptor;
    const mixed = { ...state, acceptor: { ...state.acceptor, electRecord } };
    expect(parseSlot(encodeSlot(3n, mixed))?.state).toEqual(mixed);
  });
  it("is nothing when both slots are blank", () => {
    expect(newestSlot(Buffer.alloc(2 * slotBytes))).toBeUndefined();
    expect(newestSlot(Buffer.alloc(0))).toBeUndefined();
  });
});

describe("the sync mark", () => {
  it("is read back, and is nothing when torn or flipped", () => {
    const bytes = encodeSyncMark({ sequence: 3, lsn: lsn(0x1234n) });
    expect(parseSyncMark(bytes)).toEqual({ sequence: 3, lsn: 0x1234n });
    for (let at = 0; at < syncMarkBytes; at++) {
      expect(parseSyncMark(bytes.subarray(0, at))).toBeUndefined();
      const flipped = Buffer.from(bytes);
      flipped.writeUInt8(flipped.readUInt8(at) ^ 1, at);
      expect(parseSyncMark(flipped)).toBeUndefined();
    }
  });
});
