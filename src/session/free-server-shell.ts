import type { Connection } from "../io/index.ts";
import { backend as message, MessageScanner, parseParameterStatus } from "../wire/index.ts";

/** A server that nobody has says little: a parameter that was reloaded, or that it ends. */
const spokenBytesMax = 8 * 1024;

/** Listens to a server that nobody has: keeps `parameters` up to date, and ends it once it says that it ends. */
export function watchFree(
  connection: Connection,
  parameters: Map<string, string>,
  onGone: () => void,
): void {
  const scanner = new MessageScanner((_, totalBytes) => Math.min(totalBytes, spokenBytesMax));
  connection.onDrain(() => undefined);
  connection.onEnd(() => connection.destroy());
  connection.onClose(onGone);
  connection.onData((chunk) => {
    scanner.begin(chunk);
    while (scanner.next()) {
      const body = scanner.buffer.subarray(scanner.start + 5, scanner.end);
      const isWhole = scanner.end <= scanner.buffer.length;
      if (scanner.type === message.parameterStatus && isWhole) {
        const { name, value } = parseParameterStatus(body);
        parameters.set(name, value);
      } else if (scanner.type === message.error) connection.destroy();
    }
  });
}
