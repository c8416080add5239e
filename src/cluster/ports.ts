/** Ports of contract.md, relative to the writer's. */
export const portOffsets = { writer: 0, reader: 1, instance: 10, custom: 31, http: 3000 } as const;

/** Port of `instance-K`'s endpoint. */
export function instancePort(basePort: number, ordinal: number): number {
  return basePort + portOffsets.instance + ordinal;
}

/** Most instances that a cluster may have: as many as there are ports for their endpoints. */
export const instancesMax = 16;
