import { describe, expect, it } from "vitest";
import type { Login } from "./admin-shell.ts";
import { LoginLookups } from "./login-lookups-shell.ts";

const login: Login = {
  role: undefined,
  needsToken: false,
  mayLogIn: true,
  settings: [],
  stamp: undefined,
};

/** Lookups that are answered one at a time, by hand. */
class Desk {
  readonly asked: string[] = [];
  readonly answers: (() => void)[] = [];
  readonly lookups = new LoginLookups((user) => {
    this.asked.push(user);
    return new Promise((resolve) => this.answers.push(() => resolve(login)));
  });

  ask(address: string, user: string, isGone = (): boolean => false): Promise<Login | undefined> {
    return this.lookups.ask({ address, user, database: "d", isGone });
  }
  async answer(): Promise<void> {
    this.answers.shift()?.();
    await new Promise((resolve) => setImmediate(resolve));
  }
}

describe("lookups of logins", () => {
  it("are few at once, and a crowd's wait behind the next one of somebody else", async () => {
    const desk = new Desk();
    for (let n = 0; n < 1_000; n++) void desk.ask("10.0.0.1", `crowd ${n}`);
    expect(desk.asked).toEqual(["crowd 0", "crowd 1", "crowd 2", "crowd 3"]);
    const mine = desk.ask("10.0.0.2", "mine");
    await desk.answer();
    await desk.answer();
    expect(desk.asked.slice(4)).toEqual(["crowd 4", "mine"]);
    for (let n = 0; n < 4; n++) await desk.answer();
    expect(await mine).toBe(login);
  });

  it("are not made for who has gone while they waited", async () => {
    const desk = new Desk();
    for (let n = 0; n < 4; n++) void desk.ask("10.0.0.1", `crowd ${n}`);
    const gone = desk.ask("10.0.0.1", "gone", () => true);
    const later = desk.ask("10.0.0.1", "later");
    await desk.answer();
    expect(await gone).toBeUndefined();
    expect(desk.asked.slice(4)).toEqual(["later"]);
    for (let n = 0; n < 4; n++) await desk.answer();
    expect(await later).toBe(login);
  });
});
