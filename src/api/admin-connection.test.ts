import { describe, expect, it } from "vitest";
import { adminFacts, answerAt, aSession, aSight, linesOf } from "../../test/helpers/admin-world.ts";
import { BorealisError, sqlState } from "../base/errors.ts";
import type { AdminVisit } from "../session/index.ts";
import {
  encodeBind,
  encodeExecute,
  encodeMessage,
  encodeParse,
  encodeQuery,
  encodeSync,
  encodeTerminate,
  frontend,
} from "../wire/index.ts";
import { AdminConnection } from "./admin-connection-shell.ts";
import type { Answer, Ask } from "./ask.ts";
import type { CommandWait } from "./cluster-commands-shell.ts";
import { AdminConversation } from "./conversation.ts";
import { Settings } from "./settings.ts";

/** A socket that a test reads and writes by hand. */
class FakeClient {
  closed = false;
  isPaused = false;
  isEnded = false;
  isFull = false;
  output: Buffer[] = [];
  private dataHandler: (chunk: Buffer) => void = () => undefined;
  private drainHandler: () => void = () => undefined;

  write(bytes: Uint8Array): boolean {
    this.output.push(Buffer.from(bytes));
    return !this.isFull;
  }
  end(bytes?: Uint8Array): void {
    if (bytes) this.output.push(Buffer.from(bytes));
    this.isEnded = true;
  }
  pause(): void {
    this.isPaused = true;
  }
  resume(): void {
    this.isPaused = false;
  }
  onData(handler: (chunk: Buffer) => void): void {
    this.dataHandler = handler;
  }
  onDrain(handler: () => void): void {
    this.drainHandler = handler;
  }
  cork(): void {}
  uncork(): void {}
  destroy(): void {}
  onEnd(): void {}
  onClose(handler: () => void): void {
    this.close = handler;
  }
  close = (): void => undefined;
  give(chunk: Buffer): void {
    this.dataHandler(chunk);
  }
  drain(): void {
    this.isFull = false;
    this.drainHandler();
  }
  /** What was said, without the greeting. */
  get lines(): string[] {
    const lines = linesOf(Buffer.concat(this.output));
    return lines.slice(lines.indexOf("ready I") + 1);
  }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** More turns than any talk here takes. */
async function settled(): Promise<void> {
  for (let count = 0; count < 30; count++) await turn();
}

async function answerAtOnce(ask: Ask): Promise<Answer> {
  return answerAt(ask);
}

function connect(answer: (ask: Ask, wait: CommandWait) => Promise<Answer> = answerAtOnce): {
  client: FakeClient;
  connection: AdminConnection;
} {
  const client = new FakeClient();
  const settings = new Settings({ serverVersion: "18.4", user: "postgres" }, new Map());
  const key = Buffer.alloc(4);
  const visit: AdminVisit = {
    client,
    user: "postgres",
    proof: undefined,
    remote: "127.0.0.1:1",
    database: "borealis",
    rest: Buffer.alloc(0),
    wishes: new Map(),
    pid: 1,
    key,
    linger: () => undefined,
    onEnd: () => undefined,
  };
  const conversation = new AdminConversation({ session: adminFacts, settings, key });
  const onBug = (error: unknown): void => {
    throw error;
  };
  const connection = new AdminConnection(visit, conversation, { answer, onBug });
  connection.start();
  return { client, connection };
}

describe("a connection to the admin database", () => {
  const talk = Buffer.concat([
    encodeQuery("select 1"),
    encodeParse("", "show server_version"),
    encodeBind("", ""),
    encodeExecute(""),
    encodeSync(),
  ]);
  const said = [
    "columns ?column?:23",
    "row 1",
    "SELECT 1",
    "ready I",
    "ParseComplete",
    "BindComplete",
    "row 18.4",
    "SHOW",
    "ready I",
  ];

  it("hears the same, wherever its bytes are cut", async () => {
    for (let cut = 0; cut <= talk.length; cut++) {
      const { client } = connect();
      client.give(talk.subarray(0, cut));
      await settled();
      client.give(talk.subarray(cut));
      await settled();
      expect([cut, client.lines]).toEqual([cut, said]);
    }
    const { client } = connect();
    for (const byte of talk) client.give(Buffer.from([byte]));
    await settled();
    expect(client.lines).toEqual(said);
  });

  it("refuses a text over 64 KiB without keeping it, and goes on behind it", async () => {
    const { client } = connect();
    client.give(encodeQuery(`select '${"x".repeat(70_000)}'`));
    client.give(encodeParse("", `select '${"x".repeat(70_000)}'`));
    client.give(Buffer.concat([encodeBind("", ""), encodeSync(), encodeQuery("select 1")]));
    await settled();
    const tooLong = "ERROR 54000 a statement of the admin database has 65536 bytes at most";
    expect(client.lines).toEqual([tooLong, "ready I", tooLong, "ready I", ...said.slice(0, 4)]);
  });

  it("ends at a message that cannot be", async () => {
    const odd = [
      Buffer.from([frontend.query, 0, 0, 0, 3]),
      Buffer.from([frontend.query, 0xff, 0xff, 0xff, 0xff]),
      Buffer.from([frontend.sync, 0, 1, 0, 0]),
      Buffer.from([0x7f, 0, 0, 0, 4]),
      encodeMessage(frontend.password, (body) => body.cString("late")),
      encodeMessage(frontend.bind, (body) => body.text("no zero")),
      encodeMessage(frontend.copyData, (body) => body.zeros(70_000)),
    ];
    for (const bytes of odd) {
      const { client } = connect();
      client.give(bytes);
      await settled();
      expect(client.lines).toEqual([expect.stringMatching(/^FATAL 08P01/)]);
      expect(client.isEnded).toBe(true);
    }
  });

  it("hears nothing more while it waits, and nothing while its client does not read", async () => {
    let go = (): void => undefined;
    const waiting = new Promise<void>((resolve) => {
      go = resolve;
    });
    const { client } = connect(async (ask) => {
      await waiting;
      return answerAtOnce(ask);
    });
    client.give(Buffer.concat([encodeQuery("show storage"), encodeQuery("show all")]));
    await settled();
    expect(client.isPaused).toBe(true);
    client.isFull = true;
    go();
    await settled();
    expect(client.lines.filter((line) => line === "SHOW")).toHaveLength(1);
    client.drain();
    await settled();
    expect(client.lines.filter((line) => line === "SHOW")).toHaveLength(2);
    expect(client.isPaused).toBe(false);
  });

  it("gives others a turn after every message and every statement", async () => {
    const many = 50;
    const pairs = Buffer.concat(
      Array.from({ length: many }, () => Buffer.concat([encodeBind("", ""), encodeExecute("")])),
    );
    const talks = [
      encodeQuery("show server_version;".repeat(many)),
      Buffer.concat([encodeParse("", "show server_version"), pairs, encodeSync()]),
    ];
    for (const talk of talks) {
      const { client } = connect();
      client.give(talk);
      let turns = 0;
      for (; client.lines.at(-1) !== "ready I"; turns++) await turn();
      expect(client.lines.filter((line) => line === "SHOW")).toHaveLength(many);
      expect(turns).toBeGreaterThanOrEqual(many);
    }
  });

  it("gives a large result in portions, each when the one before it is read", async () => {
    const long = "x".repeat(1_000);
    const sessions = Array.from({ length: 300 }, (_, pid) =>
      aSession({ pid, applicationName: long }),
    );
    const { client } = connect(async (ask) => answerAt(ask, aSight({ sessions })));
    client.isFull = true;
    client.give(encodeQuery("select application_name from sessions"));
    const counts: number[] = [];
    for (let count = 0; count < 8; count++) {
      await settled();
      counts.push(client.lines.filter((line) => line.startsWith("row")).length);
      client.drain();
      client.isFull = true;
    }
    expect(counts).toEqual([0, 65, 130, 195, 260, 300, 300, 300]);
    expect(client.lines.at(-1)).toBe("ready I");
  });

  describe("that has asked the cluster for something", () => {
    function commanded(): {
      client: FakeClient;
      connection: AdminConnection;
      wait: () => CommandWait;
      finish: () => void;
    } {
      let wait: CommandWait | undefined;
      let finish = (): void => undefined;
      const talking = connect(async (ask, asked) => {
        if (ask.kind !== "command") return answerAtOnce(ask);
        wait = asked;
        await new Promise<void>((resolve) => {
          finish = resolve;
        });
        return { kind: "lines", lines: ["it is done"] };
      });
      return {
        ...talking,
        finish: () => finish(),
        wait: () => {
          if (!wait) throw new Error("nothing was asked for");
          return wait;
        },
      };
    }

    it("hears how it gets on, as far as it reads", async () => {
      const { client, wait, finish } = commanded();
      client.give(encodeQuery("create snapshot s1"));
      await settled();
      wait().tell("a");
      client.isFull = true;
      wait().tell("b");
      wait().tell("c");
      client.drain();
      wait().tell("d");
      finish();
      await settled();
      expect(client.lines).toEqual([
        "columns result:25",
        "NOTICE 00000 a",
        "NOTICE 00000 b",
        "NOTICE 00000 d",
        "row it is done",
        "CREATE SNAPSHOT",
        "ready I",
      ]);
    });

    it("is read a little meanwhile, and answered behind it", async () => {
      const { client, finish } = commanded();
      client.give(encodeQuery("failover"));
      await settled();
      expect(client.isPaused).toBe(false);
      client.give(encodeQuery("select 1"));
      expect(client.isPaused).toBe(false);
      client.give(encodeQuery(`select '${"x".repeat(65_520)}'`));
      expect(client.isPaused).toBe(true);
      await settled();
      expect(client.lines).toEqual(["columns result:25"]);
      finish();
      await settled();
      expect(client.lines.slice(1, 8)).toEqual([
        "row it is done",
        "FAILOVER",
        "ready I",
        ...said.slice(0, 4),
      ]);
      expect(client.isPaused).toBe(false);
    });

    it("ends the waiting, and nothing else, when it goes", async () => {
      const gone = commanded();
      gone.client.give(encodeQuery("failover"));
      await settled();
      const { signal } = gone.wait();
      expect(signal.aborted).toBe(false);
      gone.client.close();
      expect(signal.aborted).toBe(true);
      const ended = commanded();
      ended.client.give(encodeQuery("failover"));
      await settled();
      ended.connection.terminate(new BorealisError(sqlState.adminShutdown, "no more"));
      expect(ended.wait().signal.aborted).toBe(true);
      ended.wait().tell("too late");
      ended.finish();
      await settled();
      expect(ended.client.lines).toEqual(["columns result:25", "FATAL 57P01 no more"]);
      // What is sent now is read, and thrown away.
      expect(ended.client.isPaused).toBe(false);
    });
  });

  it("works on for nobody who has gone", async () => {
    const asked: string[] = [];
    const { client } = connect(async (ask) => {
      asked.push(ask.kind);
      return answerAt(ask);
    });
    client.isFull = true;
    client.give(encodeQuery("select 1; select 2"));
    await settled();
    client.close();
    await settled();
    expect(asked).toEqual(["prepare"]);
  });

  it("ends at once when it is told to, whatever it waits for", async () => {
    const { client, connection } = connect(() => new Promise(() => undefined));
    client.give(encodeQuery("show storage"));
    await settled();
    connection.terminate(new BorealisError(sqlState.adminShutdown, "the endpoint is no more"));
    expect(client.lines.at(-1)).toBe("FATAL 57P01 the endpoint is no more");
    expect(client.isEnded).toBe(true);
  });

  it("says nothing to who says goodbye", async () => {
    const { client } = connect();
    client.give(encodeTerminate());
    await settled();
    expect(client.lines).toEqual([]);
    expect(client.isEnded).toBe(true);
  });
});
