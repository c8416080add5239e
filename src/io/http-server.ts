import { createServer, type Server } from "node:http";

export interface HttpRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
}

export interface HttpReply {
  readonly status: number;
  readonly type: string;
  readonly body: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface HttpServer {
  readonly port: number;
  close(): Promise<void>;
}

/** Serves `handle` over HTTP. Raises the system's error (EADDRINUSE, EACCES) if it cannot listen. */
export function serveHttp(
  options: { readonly host: string; readonly port: number },
  handle: (request: HttpRequest) => Promise<HttpReply>,
): Promise<HttpServer> {
  const server: Server = createServer({ requestTimeout: 30_000 }, (request, response) => {
    const path = (request.url ?? "/").split("?")[0] ?? "/";
    handle({ method: request.method ?? "GET", path, headers: request.headers }).then(
      (reply) => {
        response.writeHead(reply.status, {
          "content-type": reply.type,
          "cache-control": "no-store",
          ...reply.headers,
        });
        response.end(reply.body);
      },
      () => {
        response.writeHead(500, { "content-type": "text/plain" });
        response.end("internal error; see the log\n");
      },
    );
  });
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(options.port, options.host, () => {
      server.off("error", reject);
      const bound = server.address();
      const port = typeof bound === "object" && bound !== null ? bound.port : options.port;
      const close = (): Promise<void> =>
        new Promise((done) => {
          server.close(() => done());
          server.closeAllConnections();
        });
      resolve({ port, close });
    });
  });
}
