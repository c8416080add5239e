import { beforeAll, describe, expect, it } from "vitest";
import { shown, SurvivorScript } from "../../test/helpers/session-script.ts";
import { BorealisError } from "../base/errors.ts";
import { loadParser } from "../route/index.ts";
import {
  encodeBind,
  encodeCommandComplete,
  encodeError,
  encodeExecute,
  encodeFlush,
  encodeParse,
  encodeQuery,
  encodeReadyForQuery,
  encodeSync,
  encodeTerminate,
  transactionState,
} from "../wire/index.ts";
import { whyKept } from "./keeping.ts";
import { RefusedMessages } from "./refused-messages.ts";

beforeAll(() => loadParser());

const { idle } = transactionState;
const exhausted = new BorealisError("53300", "no connection");
const select = encodeQuery("select 1");

function parked(): SurvivorScript {
  const script = new SurvivorScript();
  script.survivor.park();
  return script;
}

describe("a session without a server", () => {
  it("asks for one with the first that its client sends, and sends it there", () => {
    const script = parked().client(select).connected();
    expect(script.lines).toEqual(["client: reconnect", "connected: > Q(select 1)"]);
    expect(script.survivor.isLive).toBe(true);
  });

  it("counts as no loss, and can be without again", () => {
    const script = parked().client(select).connected();
    script.server(encodeCommandComplete("SELECT 1"), encodeReadyForQuery(idle)).forget();
    expect(whyKept(script.survivor.conversation)).toBeUndefined();
    script.survivor.park();
    expect(script.client(select).lines).toEqual(["client: reconnect"]);
  });

  it("keeps what comes in pieces, and in order", () => {
    const script = parked();
    script.client(select.subarray(0, 3)).client(select.subarray(3)).connected();
    expect(script.lines.at(-1)).toBe("connected: > Q(select 1)");
  });

  it("ends without one when its client says goodbye", () => {
    expect(parked().client(encodeTerminate()).lines).toEqual(["client: close"]);
  });

  it("tells its client that there was none in time, and goes on", () => {
    const script = parked().client(select).forget();
    const actions = script.survivor.refuseWaking(exhausted);
    const told = actions.flatMap((action) => (action.kind === "toClient" ? [action.bytes] : []));
    expect(shown(Buffer.concat(told), false)).toBe("E(53300) Z(I)");
    expect(script.survivor.isParked).toBe(true);
    expect(script.client(select).lines).toEqual(["client: reconnect"]);
  });

  it("asks again when the server that it got is lost while it is made ready", () => {
    const script = parked().client(select).lost().connected();
    // Nothing had to be made: it went there, and is run again.
    expect(script.lines[0]).toBe("client: reconnect");
  });
});

describe("what keeps a session's server", () => {
  const kept = (script: SurvivorScript): string | undefined =>
    whyKept(script.survivor.conversation);

  it("is a transaction, a statement, a batch, half a message", () => {
    expect(kept(new SurvivorScript())).toBeUndefined();
    expect(kept(new SurvivorScript().inTransaction())).toBe("a transaction is open");
    expect(kept(new SurvivorScript().client(select))).toBe("a statement is under way");
    const batch = new SurvivorScript().client(encodeParse("", "select 1"));
    expect(kept(batch)).toBe("a statement is under way");
    expect(kept(new SurvivorScript().client(select.subarray(0, 4)))).toBe(
      "a statement is under way",
    );
  });

  it("is what it wishes", () => {
    const settingOf = (sql: string): SurvivorScript =>
      new SurvivorScript()
        .client(encodeQuery(sql))
        .server(encodeCommandComplete("SET"), encodeReadyForQuery(idle));
    const wishOf = (script: SurvivorScript): string | undefined => {
      const { wishes } = script.survivor.conversation.exchange;
      return wishes.isPooled === false ? "off" : wishes.onFailover;
    };
    expect(wishOf(settingOf("set borealis.pool = off"))).toBe("off");
    expect(wishOf(settingOf("set borealis.pool = auto"))).toBe("continue");
  });
});

describe("messages that no server saw", () => {
  const answers = (...chunks: Buffer[]): string => {
    const refused = new RefusedMessages(encodeError(exhausted, "ERROR"));
    return shown(Buffer.concat(chunks.map((chunk) => refused.push(chunk))), false);
  };
  const batch = [encodeParse("", "select 1"), encodeBind("", ""), encodeExecute("")];

  it("are answered with one error for each Query, and for each batch", () => {
    expect(answers(select, select)).toBe("E(53300) Z(I) E(53300) Z(I)");
    expect(answers(...batch, encodeSync())).toBe("E(53300) Z(I)");
    expect(answers(...batch, encodeSync(), ...batch, encodeSync())).toBe(
      "E(53300) Z(I) E(53300) Z(I)",
    );
    expect(answers(...batch, encodeFlush())).toBe("E(53300)");
    expect(answers(encodeSync())).toBe("Z(I)");
  });

  it("are followed to the end of what belongs together", () => {
    const refused = new RefusedMessages(encodeError(exhausted, "ERROR"));
    refused.push(encodeParse("", "select 1"));
    expect(refused.isSettled).toBe(false);
    refused.push(encodeSync());
    expect(refused.isSettled).toBe(true);
    refused.push(select.subarray(0, 7));
    expect(refused.isSettled).toBe(false);
    refused.push(select.subarray(7));
    expect(refused.isSettled).toBe(true);
  });
});
