import { encodeAcceptorState, questions, wordsOfPeers } from "../../acceptor/index.ts";
import { ProtocolViolation } from "../../base/errors.ts";
import { nodeId, volumeId } from "../../base/ids.ts";
import {
  decodeMessage,
  encodeMessage,
  type Envelope,
  messageBytesMax,
  MessageFramer,
  type QuorumMessage,
} from "../../quorum/index.ts";
import { Dice } from "../dice.ts";
import { samplesFor } from "./sample-messages.ts";
import type { ScenePlay } from "./scenario.ts";
import { Scene } from "./scene.ts";

const otherVolume = volumeId("22222222-2222-4333-8444-555555555555");
const otherNode = nodeId("00000000-0000-4000-8000-0000000000ff");

/** Each of these would change a node's state, were it taken: an epoch far above what is promised, and log beyond its end. */
function quietWorld() {
  const scene = new Scene({ gate: "round" });
  const writer = scene.opens(1);
  scene.writeDurably(writer);
  scene.checkAllHold(writer);
  // Until everybody has heard of everything.
  scene.pass(3_000);
  const node = scene.node(1);
  const envelope: Envelope = {
    volumeId: scene.world.volumeId,
    sender: "i3",
    target: node.nodeId,
    requestId: 9n,
  };
  const samples = Object.values(samplesFor(scene, node));
  const stateOf = (): string =>
    [encodeAcceptorState(node.acceptor.state).toString("hex"), node.log.end, node.vdl].join(" ");
  const before = stateOf();
  const check = (what: string): void => {
    scene.pass(50);
    scene.expect(`${what} changes nothing`, stateOf() === before);
  };
  const send = (kind: string, bytes: Buffer): void =>
    scene.world.network.send("i3", node.name, kind, bytes);
  return { scene, node, envelope, samples, check, send };
}

function isViolation(run: () => unknown): boolean {
  try {
    run();
    return false;
  } catch (error) {
    if (error instanceof ProtocolViolation) return true;
    throw error;
  }
}

const flips = 40;

export const s25: ScenePlay = {
  id: "S25",
  what: "bits of every kind of message flip on the way",
  expected: "dropped, counted, no state changes",
  play: () => {
    const { scene, envelope, samples, check, send } = quietWorld();
    const dice = new Dice(25, "flips");
    for (const message of samples) {
      const bytes = encodeMessage(envelope, message);
      for (let n = 0; n < flips; n++) {
        const flipped = Buffer.from(bytes);
        const bit = dice.below(bytes.length * 8);
        flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        send(message.kind, flipped);
      }
      check(`a flipped ${message.kind}`);
    }
    const counted = scene.counted.get("messages altered");
    scene.expect("every one was counted", counted === flips * samples.length);
  },
};

export const s25Lengths: ScenePlay = {
  id: "S25b",
  what: "messages of every kind are cut short, or say that they are longer than any may be",
  expected: "dropped, counted, no state changes; an oversized one before its bytes are waited for",
  play: () => {
    const { scene, envelope, samples, check, send } = quietWorld();
    const dice = new Dice(25, "lengths");
    let sent = 0;
    for (const message of samples) {
      const bytes = encodeMessage(envelope, message);
      for (let n = 0; n < 10; n++, sent++)
        send(message.kind, bytes.subarray(0, dice.below(bytes.length)));
      // With bytes behind it that the length does not tell of.
      send(message.kind, Buffer.concat([bytes, Buffer.alloc(1)]));
      sent++;
      const huge = Buffer.from(bytes);
      huge.writeUInt32BE(messageBytesMax + 1 + dice.below(1_000_000));
      send(message.kind, huge);
      sent++;
      const refuses = isViolation(() => new MessageFramer().push(huge.subarray(0, 4)));
      scene.expect("the framer refuses its length", refuses);
      check(`a wrong length of ${message.kind}`);
    }
    scene.expect("all were counted", scene.counted.get("messages altered") === sent);
  },
};

export const s25Strangers: ScenePlay = {
  id: "S25c",
  what: "whole messages of every kind come for another volume, or for another node",
  expected:
    "questions are refused, answers are not answered, no state changes; for this node they would have changed it",
  play: () => {
    const { scene, node, envelope, samples, check, send } = quietWorld();
    const tell = (message: QuorumMessage, wrong: Partial<Envelope>): void => {
      const bytes = encodeMessage({ ...envelope, ...wrong }, message);
      const { envelope: read } = decodeMessage(bytes);
      scene.expect("it is whole", read.requestId === envelope.requestId);
      send(message.kind, bytes);
      check(`a ${message.kind} for somebody else`);
    };
    const answers = (): number => scene.sent.filter((one) => one === "n1>i3 refuse").length;
    for (const message of samples) {
      tell(message, { volumeId: otherVolume });
      if (!wordsOfPeers.has(message.kind)) tell(message, { target: otherNode });
    }
    const asked = samples.filter(({ kind }) => questions.has(kind)).length;
    scene.expect("each question was refused twice, and nothing else", answers() === 2 * asked);
    const claim = samples.find(({ kind }) => kind === "claim");
    if (claim) send("claim", encodeMessage(envelope, claim));
    const promised = claim?.kind === "claim" ? claim.epoch : undefined;
    scene.until("the right one is taken", () => node.acceptor.state.promised === promised);
  },
};
