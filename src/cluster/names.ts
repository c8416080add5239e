/** The six nodes of a protection group: two in each of three availability zones, one full and one tail. */
export const zones = ["az1", "az2", "az3"] as const;

export interface NodeName {
  readonly id: string;
  readonly az: string;
  readonly kind: "full" | "tail";
}

export function protectionGroupNames(): NodeName[] {
  return zones.flatMap((az) => [
    { id: `${az}-full`, az, kind: "full" as const },
    { id: `${az}-tail`, az, kind: "tail" as const },
  ]);
}

/** The zone of `instance-K`: one after the other. */
export function zoneOf(ordinal: number): string {
  return zones[(ordinal - 1) % zones.length] ?? zones[0];
}

/** Processes that are neither of a storage node nor of an instance. */
export const processNames = ["supervisor", "control-plane", "proxy", "keeper"] as const;
