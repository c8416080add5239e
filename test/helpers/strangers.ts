/** Clients at an address of this machine's own choice (127.0.0.N), which guess passwords, or say nothing at all. */
import { connect, Socket } from "node:net";
import pg from "pg";
import {
  backend,
  encodeSaslInitialResponse,
  encodeSaslResponse,
  encodeStartup,
  MessageScanner,
  parseReport,
  scramClientFinal,
  scramSha256,
} from "../../src/wire/index.ts";

const host = "127.0.0.1";

/** A client of node-postgres that comes from that address; end() it. */
export async function clientFrom(
  localAddress: string,
  config: pg.ClientConfig,
): Promise<pg.Client> {
  class FromThere extends Socket {
    override connect(...args: unknown[]): this {
      const [port] = args;
      return super.connect({ port: Number(port), host, localAddress });
    }
  }
  const client = new pg.Client({ ...config, stream: () => new FromThere() });
  client.on("error", () => undefined);
  await client.connect();
  return client;
}

/** Connects and says nothing. */
export function silentFrom(localAddress: string, port: number): Promise<Socket> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, localAddress }, () => resolve(socket));
    socket.on("error", () => resolve(socket));
    socket.resume();
  });
}

/** Sends a start-up packet, and then nothing. */
export async function startedFrom(localAddress: string, port: number): Promise<Socket> {
  const socket = await silentFrom(localAddress, port);
  socket.write(startup("postgres"));
  return socket;
}

function startup(user: string): Buffer {
  const list = Object.entries({ user, database: "postgres" }).map(([name, value]) => {
    return { name, value: Buffer.from(value) };
  });
  return encodeStartup(0, list);
}

/**
 * What a login with a wrong password is told: its SQLSTATE; "" if nothing. Whoever has no `patienceMs` left gives up, as
 * somebody does who guesses.
 */
export function wrongLogin(
  localAddress: string,
  port: number,
  { patienceMs, user = "postgres" }: { patienceMs: number; user?: string },
): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, localAddress });
    const scanner = new MessageScanner((_, totalBytes) => totalBytes);
    const bare = "n=,r=guessing";
    const done = (code: string): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(code);
    };
    const timer = setTimeout(() => done(""), patienceMs);
    const onMessage = (body: Buffer): void => {
      if (scanner.type === backend.error) return done(parseReport(body).get("C") ?? "");
      if (scanner.type !== backend.authentication) return;
      const what = body.readUInt32BE(0);
      if (what === 10) {
        const response = `n,,${bare}`;
        socket.write(encodeSaslInitialResponse({ mechanism: scramSha256, response }));
      } else if (what === 11) {
        // Guessing needs no thousand rounds of a hash: any proof is as wrong as another.
        const serverFirst = body.subarray(4).toString().replace(/i=\d+/, "i=1");
        const facts = { password: "wrong", clientFirstBare: bare, serverFirst, binding: "biws" };
        socket.write(encodeSaslResponse(scramClientFinal(facts).clientFinal));
      }
    };
    socket.on("error", () => done(""));
    socket.on("close", () => done(""));
    socket.on("data", (chunk: Buffer) => {
      scanner.begin(chunk);
      while (scanner.next()) onMessage(scanner.buffer.subarray(scanner.start + 5, scanner.end));
    });
    socket.on("connect", () => socket.write(startup(user)));
  });
}

/** So many of them, `side` side by side, until all have come; counts what they were told. */
export async function guess(
  count: number,
  side: number,
  once: () => Promise<string>,
): Promise<Map<string, number>> {
  const told = new Map<string, number>();
  let left = count;
  const one = async (): Promise<void> => {
    while (left-- > 0) {
      const code = await once();
      told.set(code, (told.get(code) ?? 0) + 1);
    }
  };
  await Promise.all(Array.from({ length: side }, one));
  return told;
}
