import type { SettingChange, StatementClass } from "../route/index.ts";
import { wishSettings } from "./survival-wishes.ts";

/** What a text sets of them, as it sets it last: it may set one any number of times, and is executed by a few bytes. */
export function wishesOf(statements: readonly StatementClass[]): SettingChange[] {
  const last = new Map<string, SettingChange>();
  for (const wish of statements.flatMap(ofStatement)) {
    const key = `${wish.name} ${String(wish.isLocal)}`;
    last.delete(key);
    last.set(key, wish);
  }
  return [...last.values()];
}

function ofStatement({ settings, tag, sessionEffects }: StatementClass): SettingChange[] {
  const isReset = tag === "RESET" || sessionEffects.includes("discard");
  if (isReset && settings.some(({ name }) => name === "*"))
    return [{ name: "*", value: null, isLocal: false }];
  return settings.filter(({ name }) => name === "*" || wishSettings.includes(name));
}
