import type { Duplex } from "node:stream";
import {
  backend,
  encodeSaslInitialResponse,
  encodeSaslResponse,
  encodeStartup,
  MessageScanner,
  parseBackendKey,
  scramClientFinal,
  scramSha256,
} from "../../src/wire/index.ts";

export interface RawSession {
  readonly pid: number;
  readonly key: Buffer;
  /** Message types since the login, as letters. */
  readonly seen: string[];
}

/** Logs in by hand, message by message, with protocol 3.`minor`; the socket stays open. */
export function rawLogin(socket: Duplex, minor: number, password = "secret"): Promise<RawSession> {
  const bare = "n=,r=abcdef";
  const scanner = new MessageScanner((_, totalBytes) => totalBytes);
  const session = { pid: 0, key: Buffer.alloc(0), seen: [] as string[] };
  let isReady = false;
  return new Promise((resolve, reject) => {
    const onMessage = (type: number, body: Buffer): void => {
      if (isReady) session.seen.push(String.fromCharCode(type));
      else if (type === backend.error) reject(new Error(body.toString()));
      else if (type === backend.backendKeyData) Object.assign(session, parseBackendKey(body));
      else if (type === backend.readyForQuery) {
        isReady = true;
        resolve(session);
      } else if (type === backend.authentication && body.readUInt32BE(0) === 10) {
        socket.write(encodeSaslInitialResponse({ mechanism: scramSha256, response: `n,,${bare}` }));
      } else if (type === backend.authentication && body.readUInt32BE(0) === 11) {
        const serverFirst = body.subarray(4).toString();
        const { clientFinal } = scramClientFinal({
          password,
          clientFirstBare: bare,
          serverFirst,
          binding: "biws",
        });
        socket.write(encodeSaslResponse(clientFinal));
      }
    };
    socket.on("error", reject);
    socket.on("data", (chunk: Buffer) => {
      scanner.begin(chunk);
      while (scanner.next()) {
        onMessage(
          scanner.type,
          Buffer.from(scanner.buffer.subarray(scanner.start + 5, scanner.end)),
        );
      }
    });
    const text = { user: "postgres", database: "postgres" };
    socket.write(
      encodeStartup(
        minor,
        Object.entries(text).map(([name, value]) => ({ name, value: Buffer.from(value) })),
      ),
    );
  });
}
