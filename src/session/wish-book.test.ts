import { beforeAll, describe, expect, it } from "vitest";
import { failure, one, SurvivorScript } from "../../test/helpers/session-script.ts";
import { loadParser } from "../route/index.ts";
import {
  backend,
  encodeCommandComplete,
  encodeDataRow,
  encodeQuery,
  encodeReadyForQuery,
  transactionState,
} from "../wire/index.ts";
import type { SurvivalWishes } from "./survival-wishes.ts";

beforeAll(() => loadParser());

const { idle, failed } = transactionState;

/** The answer to the question of what the session has: settings with a prefix, by name. */
function readback(custom: Readonly<Record<string, string | null>>): Buffer {
  const facts = { user: "postgres", role: "none", temporary: 0, held: 0 };
  const all = JSON.stringify({ ...facts, custom: Object.entries(custom) });
  return Buffer.concat([
    one(backend.closeComplete),
    one(backend.parseComplete),
    one(backend.bindComplete),
    encodeDataRow([Buffer.from(all).toString("base64")]),
    encodeCommandComplete("SELECT 1"),
    one(backend.closeComplete),
    one(backend.closeComplete),
    encodeReadyForQuery(idle),
  ]);
}

const wishesOf = (script: SurvivorScript): SurvivalWishes =>
  script.survivor.conversation.exchange.wishes;

/** A statement outside a transaction, or the end of one. */
function ended(script: SurvivorScript, text: string, tag: string): SurvivorScript {
  return script
    .client(encodeQuery(text))
    .server(encodeCommandComplete(tag), encodeReadyForQuery(idle));
}

const set = (script: SurvivorScript, text: string): SurvivorScript =>
  script.ran(text, encodeCommandComplete("SET"));

describe("what a session wishes", () => {
  it("is what its server says that came of it", () => {
    const script = ended(new SurvivorScript(), "set borealis.on_failover = disconnect", "SET");
    expect(wishesOf(script).onFailover).toBe("disconnect");
    script.server(readback({ "borealis.on_failover": "disconnect" }));
    expect(wishesOf(script).onFailover).toBe("disconnect");
    ended(script, "select hidden_away()", "SELECT 1");
    ended(script, "set borealis.replay = off", "SET");
    script.server(readback({ "borealis.on_failover": "continue", "borealis.replay": "off" }));
    expect(wishesOf(script)).toMatchObject({ onFailover: "continue", isReplayed: false });
  });

  it("counts in the transaction that sets it for itself, and not behind that", () => {
    const script = set(new SurvivorScript().inTransaction(), "set local borealis.replay = off");
    expect(wishesOf(script).isReplayed).toBe(false);
    ended(script, "rollback", "ROLLBACK");
    expect(wishesOf(script).isReplayed).toBe(true);
    ended(script, "set local borealis.on_failover = disconnect", "SET");
    expect(wishesOf(script).onFailover).toBe("continue");
  });

  it("counts in the next transaction, though that was sent before the last one ended", () => {
    const script = new SurvivorScript().inTransaction();
    script.client(
      encodeQuery("commit"),
      encodeQuery("begin"),
      encodeQuery("set local borealis.replay = off"),
    );
    script.server(
      one(backend.functionResult),
      encodeReadyForQuery(transactionState.open),
      one(backend.functionResult),
      encodeReadyForQuery(transactionState.open),
      encodeCommandComplete("COMMIT"),
      encodeReadyForQuery(idle),
    );
    expect(wishesOf(script).isReplayed).toBe(false);
  });

  it("is not what was rolled back", () => {
    const script = set(
      new SurvivorScript().inTransaction(),
      "set borealis.on_failover = disconnect",
    );
    ended(script, "rollback", "ROLLBACK");
    // What current_setting gives of a setting that was made up and taken back.
    script.server(readback({ "borealis.on_failover": "" })).forget();
    expect(script.lost().lines).toEqual(["lost: reconnect"]);
  });

  it("is not what failed", () => {
    const script = new SurvivorScript().inTransaction();
    script
      .client(encodeQuery("select 1/0"))
      .server(failure("22012"), encodeReadyForQuery(failed))
      .client(encodeQuery("set borealis.hold_timeout = '1s'"))
      .server(failure("25P02"), encodeReadyForQuery(failed));
    ended(script, "rollback", "ROLLBACK");
    script.server(readback({ "borealis.hold_timeout": null }));
    expect(wishesOf(script).holdTimeoutMs).toBeUndefined();
  });

  it("goes over to the next server, but not what was under way there", () => {
    const script = ended(new SurvivorScript(), "set borealis.hold_timeout = '1s'", "SET");
    script.client(encodeQuery("select 1"), encodeQuery("set borealis.replay = off"));
    script.lost().connected();
    expect(wishesOf(script)).toMatchObject({ holdTimeoutMs: 1_000 });
  });
});
