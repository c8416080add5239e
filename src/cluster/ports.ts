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

/** Most custom endpoints that a cluster may have: Aurora's number. */
export const customEndpointsMax = 5;

/** Most instances that a cluster may have: as many as there are ports for their endpoints. */
export const instancesMax = 16;
