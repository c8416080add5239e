import { beforeAll, describe, expect, it, vi } from "vitest";
import {
  aConversation,
  bytesTo,
  failure,
  letters,
  one,
  queryAnswer,
  report,
  SurvivorScript,
} from "../../test/helpers/session-script.ts";
import { loadParser } from "../route/index.ts";
import {
  backend,
  encodeCommandComplete,
  encodeExecute,
  encodeMessage,
  encodeParse,
  encodeQuery,
  encodeReadyForQuery,
  encodeSync,
  frontend,
  transactionState,
} from "../wire/index.ts";
import type { Conversation } from "./conversation.ts";
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

describe("cycles that wait for their answers", () => {
  const count = 2_000;
  /** How often a cycle was looked at meanwhile. */
  const looksDuring = ({ exchange }: Conversation, work: () => void): number => {
    const at = vi.spyOn(exchange.cycles, "at");
    work();
    return at.mock.calls.length;
  };

  it("are looked at once when COPY's data ends, however often a client says that it does", () => {
    const conversation = aConversation();
    const { cycles } = conversation.exchange;
    conversation.fromClient(times(count, encodeSync()));
    const end = times(count, encodeMessage(frontend.copyDone));
    expect(looksDuring(conversation, () => conversation.fromClient(end))).toBeLessThan(5 * count);
    conversation.fromClient(encodeSync());
    const isEnded = Array.from({ length: count + 1 }, (_, at) => cycles.at(at)?.isCopyEnded);
    expect(isEnded.indexOf(false)).toBe(count);
    conversation.fromClient(encodeMessage(frontend.copyDone));
    expect(cycles.back()?.isCopyEnded).toBe(true);
  });

  it("are not looked at with each answer where a wish is for one transaction only", () => {
    const conversation = aConversation();
    const { exchange } = conversation;
    const wish = encodeQuery("set local borealis.replay = off");
    conversation.fromClient(Buffer.concat([times(count, encodeSync()), wish]));
    const ready = times(count, encodeReadyForQuery(idle));
    expect(looksDuring(conversation, () => conversation.fromServer(ready))).toBeLessThan(5 * count);
    expect(exchange.wishes.isReplayed).toBe(false);
    conversation.fromServer(
      Buffer.concat([encodeCommandComplete("SET"), encodeReadyForQuery(idle)]),
    );
    expect(exchange.wishes.isReplayed).toBe(true);
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
    expect(new Set(kept).size).toBeLessThan((1024 * 1024) / 900);
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

describe("what a deferred trigger says in the commit of one statement", () => {
  const notice = (bytes: number): Buffer =>
    report(backend.notice, { S: "NOTICE", V: "NOTICE", C: "00000", M: "x".repeat(bytes) });
  const inserting = (): Conversation => {
    const conversation = aConversation();
    conversation.fromClient(encodeQuery("insert into t values (1)"));
    const steps = [parsed, bound, one(backend.noData), encodeCommandComplete("INSERT 0 1")];
    const own = [one(backend.closeComplete), ...queryAnswer("77")];
    conversation.fromServer(Buffer.concat([...steps, ...own]));
    return conversation;
  };

  it.each([
    ["small", 1_000, 8_000],
    ["large", 100, 100_000],
  ])("is told as it comes, and the completion behind it: %s", (_, count, bytes) => {
    const conversation = inserting();
    const { outbox } = conversation.server;
    const notices = times(count, notice(bytes));
    const told: Buffer[] = [];
    for (let at = 0; at < notices.length; at += 65_536) {
      told.push(bytesTo("toClient", conversation.fromServer(notices.subarray(at, at + 65_536))));
      expect(outbox.heldBytes).toBeLessThan(2 * bytes + 3 * 65_536);
      expect(conversation.server.isMidMessage).toBe(false);
    }
    const ready = encodeReadyForQuery(idle);
    const completion = encodeCommandComplete("INSERT 0 1");
    told.push(bytesTo("toClient", conversation.fromServer(ready)));
    expect(letters(Buffer.concat(told)).replaceAll("N", "")).toBe("CZ");
    expect(told.at(-1)?.subarray(-completion.length - ready.length)).toEqual(
      Buffer.concat([completion, ready]),
    );
  });

  it("is told where the commit fails, too, and no completion", () => {
    const conversation = inserting();
    const told = bytesTo("toClient", conversation.fromServer(times(20, notice(8_000))));
    const rest = Buffer.concat([failure("23505"), encodeReadyForQuery(idle)]);
    const end = bytesTo("toClient", conversation.fromServer(rest));
    expect([letters(told), letters(end)]).toEqual(["N".repeat(20), "EZ"]);
  });

  it("is told whole where the commit fails in the middle of it", () => {
    const conversation = inserting();
    const [first, second] = [notice(3_000), notice(20_000)];
    const said = Buffer.concat([first, second, failure("23505"), encodeReadyForQuery(idle)]);
    const cut = first.length + 10_000;
    const told = [said.subarray(0, cut), said.subarray(cut)].map((chunk) =>
      bytesTo("toClient", conversation.fromServer(chunk)),
    );
    expect(Buffer.concat(told)).toEqual(said);
  });

  it("is a part of its answer: it is not run again where its server is lost then", () => {
    const survivor = new SurvivorScript().client(encodeQuery("insert into t values (1)"));
    const steps = [parsed, bound, one(backend.noData), encodeCommandComplete("INSERT 0 1")];
    survivor.server(...steps, one(backend.closeComplete), ...queryAnswer("77"));
    survivor.server(times(20, notice(8_000))).forget();
    survivor.lost().fate("aborted");
    expect(survivor.lines).toEqual(["lost: ask 77", "aborted: < E(40001) Z(I) reconnect"]);
    const committed = new SurvivorScript().client(encodeQuery("insert into t values (1)"));
    committed.server(...steps, one(backend.closeComplete), ...queryAnswer("77"));
    committed.server(times(20, notice(8_000))).forget();
    committed.lost().fate("committed");
    expect(committed.lines[1]).toBe("committed: < C(INSERT 0 1) Z(I) reconnect");
  });
});
