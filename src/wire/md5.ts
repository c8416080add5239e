import { createHash, timingSafeEqual } from "node:crypto";

/** What pg_authid stores for md5: "md5" and the hex of md5(password, user). Undefined if it is not that. */
export function findMd5Verifier(rolpassword: string): string | undefined {
  return /^md5[0-9a-f]{32}$/.test(rolpassword) ? rolpassword : undefined;
}

/** Whether `answer` (as a client sends it) fits the verifier and the salt it was asked with. */
export function isMd5Answer(verifier: string, salt: Uint8Array, answer: string): boolean {
  const expected = Buffer.from(md5Answer(verifier, salt));
  const given = Buffer.from(answer);
  return given.length === expected.length && timingSafeEqual(given, expected);
}

/** What a client that knows the verifier answers. */
export function md5Answer(verifier: string, salt: Uint8Array): string {
  return `md5${createHash("md5").update(verifier.slice(3)).update(salt).digest("hex")}`;
}

export function makeMd5Verifier(user: string, password: string): string {
  return `md5${createHash("md5").update(password).update(user).digest("hex")}`;
}
