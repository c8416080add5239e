import { createServer } from "node:net";

/**
 * Whether endpoints answer at loopback addresses of their own, too (cluster/ports.ts). Linux has all of 127.0.0.0/8; macOS has
 * 127.0.0.1 alone unless somebody adds others. Who listens elsewhere is reached there, and at no other address.
 */
export async function hasLoopbackAddresses(host: string): Promise<boolean> {
  if (host !== "127.0.0.1" && host !== "localhost") return false;
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen({ host: "127.0.0.2", port: 0 }, () => server.close(() => resolve(true)));
  });
}
