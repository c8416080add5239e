import { beforeAll, describe, expect, it } from "vitest";
import { aConversation, failure } from "../../test/helpers/session-script.ts";
import { loadParser } from "../route/index.ts";
import {
  backend,
  encodeExecute,
  encodeMessage,
  encodeParse,
  encodeReadyForQuery,
  encodeSync,
  frontend,
  transactionState,
} from "../wire/index.ts";
import { addOwnSteps, addStep, isAtOwnStep, newCycle } from "./cycle.ts";
import { owedBodyBytesMax } from "./session-change.ts";

/** What one client can send must not cost more, or be kept longer, than what it sends. Where it did, these ran for minutes. */
beforeAll(() => loadParser());

const { idle } = transactionState;
const bound = encodeMessage(backend.bindComplete);
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

describe("names of settings in parameters", () => {
  const { open } = transactionState;
  const setting = encodeParse("s", "select set_config($1, '', true)");
  const bind = (portal: string, value: string): Buffer =>
    encodeMessage(frontend.bind, (body) => {
      body.cString(portal).cString("s").u16(0).u16(1);
      return body.u32(Buffer.byteLength(value)).text(value).u16(0);
    });

  it("are kept until their transaction ends, and no more than so much of them", () => {
    const conversation = aConversation();
    const { book, memory } = conversation.exchange;
    conversation.fromClient(Buffer.concat([setting, bind("p", "app.x"), encodeSync()]));
    expect(book.namesOfPortal("p")).toEqual(["app.x"]);
    conversation.fromServer(Buffer.concat([parsed, bound, encodeReadyForQuery(open)]));
    expect(book.namesOfPortal("p")).toEqual(["app.x"]);
    conversation.fromClient(encodeSync());
    conversation.fromServer(encodeReadyForQuery(idle));
    expect(book.namesOfPortal("p")).toBeUndefined();
    // One that is longer than any, and is not executed, is nothing yet.
    conversation.fromClient(Buffer.concat([bind("long", `app.${"x".repeat(250_000)}`)]));
    expect(book.namesOfPortal("long")?.join("").length).toBeLessThan(5_000);
    for (let at = 0; at < 2_000; at++)
      conversation.fromClient(bind(`p${at}`, `app.x${at}${"x".repeat(900)}`));
    const kept = Array.from({ length: 2_000 }, (_, at) => book.namesOfPortal(`p${at}`)?.[0]);
    expect(kept[0]).toHaveLength(906);
    // One stands for all the others.
    expect(new Set(kept).size).toBeLessThan(1024 * 1024 / 900);
    expect(memory.obstacle()).toBeUndefined();
    conversation.fromClient(encodeExecute("p1999"));
    expect(memory.obstacle()).toBe("it has too many settings of its own");
  });

  it("that are too long, too, make a session that has too many", () => {
    const conversation = aConversation();
    const { memory } = conversation.exchange;
    const long = bind("", `app.${"\u{1F40D}".repeat(1_000)}`);
    conversation.fromClient(Buffer.concat([setting, long, encodeExecute("")]));
    expect(memory.obstacle()).toBe("it has too many settings of its own");
  });
});
