/** A way to a server, at an address of its own, that takes a while for what a client says. */
import { connect, createServer, type Server, type Socket } from "node:net";

export class SlowLine {
  private readonly server: Server;
  private readonly sockets = new Set<Socket>();

  private constructor(options: { to: string; port: number; delayMs: number }) {
    const { to: host, port, delayMs } = options;
    this.server = createServer((client) => {
      const server = connect({ host, port });
      for (const socket of [client, server]) {
        this.sockets.add(socket);
        socket.on("error", () => undefined);
        socket.on("close", () => {
          client.destroy();
          server.destroy();
        });
      }
      client.on("data", (chunk) => setTimeout(() => server.write(chunk), delayMs));
      server.pipe(client);
    });
  }

  static async open(options: {
    host: string;
    port: number;
    to: string;
    delayMs: number;
  }): Promise<SlowLine> {
    const line = new SlowLine(options);
    const { host, port } = options;
    await new Promise<void>((resolve, reject) => {
      line.server.once("error", reject).listen({ host, port }, resolve);
    });
    return line;
  }

  close(): void {
    this.server.close();
    for (const socket of this.sockets) socket.destroy();
  }
}
