import { beforeAll, describe, expect, it } from "vitest";
import { aConversation, failure } from "../../test/helpers/session-script.ts";
import { loadParser } from "../route/index.ts";
import {
  backend,
  encodeMessage,
  encodeParse,
  encodeReadyForQuery,
  encodeSync,
  transactionState,
} from "../wire/index.ts";
import { addOwnSteps, addStep, isAtOwnStep, newCycle } from "./cycle.ts";
import { owedBodyBytesMax } from "./session-change.ts";

/** What one client can send must not cost more, or be kept longer, than what it sends. Where it did, these ran for minutes. */
beforeAll(() => loadParser());

const { idle } = transactionState;
const parsed = encodeMessage(backend.parseComplete);
const times = (count: number, ...messages: Buffer[]): Buffer => {
  const one = Buffer.concat(messages);
  return Buffer.alloc(count * one.length, one);
};

describe("a batch without its Sync", () => {
  it("costs no more with each Parse that is not answered", () => {
    const conversation = aConversation();
    const count = 200_000;
    conversation.fromClient(times(count, encodeParse("", "")));
    conversation.fromServer(times(count, parsed));
    expect(conversation.exchange.cycles.front()).toMatchObject({ stepsSeen: count });
    expect(conversation.exchange.memory.preparedText("")).toMatchObject({ sql: "" });
  });

  it("tells our steps from the client's, however many there are of both", () => {
    const cycle = newCycle("batch");
    const count = 300_000;
    for (let pair = 0; pair < count; pair++) {
      addStep(cycle, "E");
      addOwnSteps(cycle, 2);
    }
    let own = 0;
    for (; cycle.stepsSeen < cycle.stepsSent; cycle.stepsSeen++) {
      const isOwn = cycle.stepsSeen % 3 > 0;
      if (isAtOwnStep(cycle) === isOwn) own++;
    }
    expect(own).toBe(3 * count);
  });

  it("keeps no more than so much of texts that are not answered, and none that are", () => {
    const conversation = aConversation();
    const { exchange } = conversation;
    const { memory, owedBodies } = exchange;
    const long = encodeParse("", `select '${"x".repeat(250_000)}'`);
    for (let count = 0; count < 40; count++) conversation.fromClient(Buffer.from(long));
    expect(owedBodies.bytes).toBeGreaterThan(owedBodyBytesMax - long.length);
    expect(owedBodies.bytes).toBeLessThanOrEqual(owedBodyBytesMax);
    conversation.fromServer(times(10, parsed));
    expect(memory.obstacle()).toBeUndefined();
    conversation.fromServer(times(30, parsed));
    expect(owedBodies.bytes).toBe(0);
    // The last of them is what the server has, and nobody could make it again.
    expect(memory.obstacle()).toBe("its prepared statements are too long");
    conversation.fromClient(encodeParse("", "select 1"));
    conversation.fromServer(parsed);
    expect(memory.obstacle()).toBeUndefined();
  });

  it("keeps nothing of one that has failed, or is over", () => {
    const conversation = aConversation();
    const { owedBodies } = conversation.exchange;
    const long = encodeParse("", `select '${"x".repeat(250_000)}'`);
    conversation.fromClient(times(3, long));
    conversation.fromServer(Buffer.concat([parsed, failure("42601")]));
    expect(owedBodies.bytes).toBe(0);
    conversation.fromClient(Buffer.concat([long, encodeSync()]));
    expect(owedBodies.bytes).toBeGreaterThan(long.length / 2);
    conversation.fromServer(encodeReadyForQuery(idle));
    expect(owedBodies.bytes).toBe(0);
  });
});
