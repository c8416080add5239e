/** Ports of contract.md, relative to the writer's. */
export const portOffsets = { writer: 0, reader: 1, instance: 10, custom: 31, http: 3000 } as const;

/** Port of `instance-K`'s endpoint. */
export function instancePort(basePort: number, ordinal: number): number {
  return basePort + portOffsets.instance + ordinal;
}

/** Port of a custom endpoint: those that are created one after the other have 0, 1, … */
export function customPort(basePort: number, ordinal: number): number {
  return basePort + portOffsets.custom + ordinal;
}

/**
 * The loopback address at which an endpoint answers at the writer's port, too: programs that tell hosts apart by name only
 * can tell them apart there. The last number is the distance of the endpoint's own port, where that is free.
 */
export function loopbackAddress(port: number, basePort: number): string {
  const offset = port - basePort;
  // 127.0.0.1 is everybody's, so the first two have others.
  const number = { [portOffsets.writer]: 10, [portOffsets.reader]: 2 }[offset] ?? offset;
  return `127.0.0.${number}`;
}

/** Most custom endpoints that a cluster may have: Aurora's number. */
export const customEndpointsMax = 5;

/** Every address that an endpoint of a cluster may have there. */
export function loopbackAddresses(): string[] {
  const instances = Array.from({ length: instancesMax }, (_, k) => instancePort(0, k + 1));
  const custom = Array.from({ length: customEndpointsMax }, (_, k) => customPort(0, k));
  const offsets = [portOffsets.writer, portOffsets.reader, ...instances, ...custom];
  return offsets.map((offset) => loopbackAddress(offset, 0));
}

/** Most instances that a cluster may have: as many as there are ports for their endpoints. */
export const instancesMax = 16;
