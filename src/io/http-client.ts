import http from "node:http";
import https from "node:https";
import type { Socket } from "node:net";

export interface HttpCall {
  readonly method: string;
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
}

export interface HttpAnswer {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

/**
 * Calls to HTTP and HTTPS servers whose answers fit in memory. It follows no redirect and repeats nothing. Failures are
 * the system's own errors, with their `code`: also ETIMEDOUT for a peer that says nothing, ECONNRESET for a body that
 * ends before its announced length, EMSGSIZE for one that is over the bound, ECANCELED for a call that `close` ended.
 */
export interface HttpClient {
  call(call: HttpCall): Promise<HttpAnswer>;
  /** Ends the connections, with whatever is under way on them. */
  close(): void;
}

export interface HttpClientOptions {
  readonly connectTimeoutMs: number;
  /** Longest time in which not a byte moves, either way. */
  readonly idleTimeoutMs: number;
  readonly answerBytesMax: number;
  /** Connections to one server; calls beyond them queue. */
  readonly socketsMax: number;
}

/** Keeps connections open between calls. NODE_EXTRA_CA_CERTS counts, proxies do not. */
export function openHttpClient(options: HttpClientOptions): HttpClient {
  const settings = { keepAlive: true, maxSockets: options.socketsMax };
  const plain = new http.Agent(settings);
  const secure = new https.Agent(settings);
  const open = new Set<http.ClientRequest>();
  return {
    call: (call) => callOnce(call, options, call.url.protocol === "https:" ? secure : plain, open),
    close() {
      for (const request of open) request.destroy(failure("ECANCELED", "the client was closed"));
      plain.destroy();
      secure.destroy();
    },
  };
}

function callOnce(
  call: HttpCall,
  options: HttpClientOptions,
  agent: http.Agent,
  opened: Set<http.ClientRequest>,
): Promise<HttpAnswer> {
  return new Promise((resolve, reject) => {
    const { request: open } = call.url.protocol === "https:" ? https : http;
    const length = { "content-length": String(call.body?.length ?? 0) };
    const request = open(call.url, {
      agent,
      method: call.method,
      headers: call.body || call.method === "POST" ? { ...call.headers, ...length } : call.headers,
    });
    opened.add(request);
    request.on("close", () => opened.delete(request));
    let hasAnswer = false;
    request.setTimeout(options.idleTimeoutMs, () =>
      request.destroy(failure("ETIMEDOUT", `nothing heard for ${options.idleTimeoutMs} ms`)),
    );
    request.on("socket", (socket) =>
      boundConnecting(socket, options.connectTimeoutMs, (error) => request.destroy(error)),
    );
    // A server may refuse a body before it has read it: then its answer counts, not the broken upload.
    request.on("error", (error) => !hasAnswer && reject(error));
    request.on("response", (response) => {
      hasAnswer = true;
      gather(response, options.answerBytesMax).then(resolve, reject);
    });
    request.end(call.body);
  });
}

function boundConnecting(socket: Socket, timeoutMs: number, fail: (error: Error) => void): void {
  if (!socket.connecting) return;
  const timer = setTimeout(
    () => fail(failure("ETIMEDOUT", `not connected within ${timeoutMs} ms`)),
    timeoutMs,
  );
  const clear = (): void => clearTimeout(timer);
  socket.once("connect", clear);
  socket.once("close", clear);
}

function gather(response: http.IncomingMessage, bytesMax: number): Promise<HttpAnswer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    response.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > bytesMax) {
        response.destroy(failure("EMSGSIZE", `the answer is over ${bytesMax} bytes`));
      } else {
        chunks.push(chunk);
      }
    });
    response.on("error", reject);
    response.on("close", () => {
      if (!response.complete) reject(failure("ECONNRESET", "the answer ends before its length"));
    });
    response.on("end", () => {
      if (!response.complete) return;
      const headers: Record<string, string> = {};
      for (const [name, value] of Object.entries(response.headers)) {
        if (value !== undefined) headers[name] = Array.isArray(value) ? value.join(", ") : value;
      }
      resolve({ status: response.statusCode ?? 0, headers, body: Buffer.concat(chunks) });
    });
  });
}

function failure(code: string, message: string): Error {
  return Object.assign(new Error(message), { code });
}
