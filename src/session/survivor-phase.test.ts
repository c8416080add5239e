import { beforeAll, describe, expect, it } from "vitest";
import { row, SurvivorScript } from "../../test/helpers/session-script.ts";
import { loadParser } from "../route/index.ts";
import { encodeQuery, encodeReadyForQuery, transactionState } from "../wire/index.ts";

beforeAll(() => loadParser());

describe("what a session keeps for a server", () => {
  const select = encodeQuery("select 1");
  const holdsNothing = (script: SurvivorScript): boolean => script.survivor.holdsNothing;

  it("is nothing while it has one, or has lost one at rest", () => {
    const script = new SurvivorScript();
    expect(holdsNothing(script)).toBe(true);
    expect(holdsNothing(script.lost())).toBe(true);
    expect(holdsNothing(script.client(select))).toBe(false);
    expect(holdsNothing(script.connected())).toBe(true);
  });

  it("is a part of a message that its last server got, too", () => {
    const script = new SurvivorScript().client(select.subarray(0, 8)).lost();
    expect(holdsNothing(script)).toBe(false);
  });

  it("is a statement that is to be run again", () => {
    const script = new SurvivorScript().client(select).lost();
    expect(holdsNothing(script)).toBe(false);
    script.connected().server(row("1"), encodeReadyForQuery(transactionState.idle));
    expect(holdsNothing(script)).toBe(true);
  });
});
