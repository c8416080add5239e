import type { StatementClass } from "../route/index.ts";

/** Whether it sets client_min_messages so that warnings are kept from the client. */
export function mayHideWarnings({ settings }: StatementClass): boolean {
  return settings.some(
    ({ name, value }) =>
      name === "client_min_messages" && value !== null && hidesWarnings(value ?? "error"),
  );
}

/** Whether client_min_messages at this level keeps warnings from the client. */
export function hidesWarnings(level: string): boolean {
  return ["error", "fatal", "panic"].includes(level.trim().toLowerCase());
}
