import { systemCodeOf } from "../io/index.ts";

/** Whether the system refused something for this reason, as in "ENOENT". */
export function isErrno(error: unknown, code: string): boolean {
  return systemCodeOf(error) === code;
}
