import { instancePort, portOffsets } from "./ports.ts";
import type { ClusterState } from "./state.ts";

/** One port that the proxy listens on. */
export interface EndpointPlace {
  /** Of type instance: the instance's. */
  readonly id: string;
  readonly type: "writer" | "reader" | "instance";
  readonly port: number;
}

/** Every endpoint that the cluster has; `basePort` is the writer's. */
export function endpointPlaces(state: ClusterState, basePort: number): EndpointPlace[] {
  return [
    { id: "writer", type: "writer", port: basePort + portOffsets.writer },
    { id: "reader", type: "reader", port: basePort + portOffsets.reader },
    ...state.instances.map(({ id, ordinal }) => ({
      id,
      type: "instance" as const,
      port: instancePort(basePort, ordinal),
    })),
  ];
}
