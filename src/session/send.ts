import type { ClientLink } from "./client-link.ts";

/** Joined into one write up to here; beyond it the copy costs more than the second system call. */
const joinBytesMax = 16 * 1024;

/** Writes all of it. False: stop until the connection has drained. */
export function send(
  connection: Pick<ClientLink, "write" | "cork" | "uncork">,
  parts: readonly Buffer[],
): boolean {
  const [first] = parts;
  if (first && parts.length === 1) return connection.write(first);
  let totalBytes = 0;
  for (const part of parts) totalBytes += part.length;
  if (totalBytes <= joinBytesMax) return connection.write(Buffer.concat(parts, totalBytes));
  connection.cork();
  let mayGoOn = true;
  for (const part of parts) mayGoOn = connection.write(part);
  connection.uncork();
  return mayGoOn;
}
