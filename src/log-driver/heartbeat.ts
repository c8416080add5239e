const heartbeatMaxMs = 500;
/** A lease is asked for this often within its length, so that it outlives answers that are lost or late. */
const heartbeatsPerLease = 4;

/** Between two heartbeats of a driver that asks for leases of this length; 0: for none. */
export function heartbeatMsFor(leaseMs: number): number {
  return leaseMs === 0 ? heartbeatMaxMs : Math.min(heartbeatMaxMs, leaseMs / heartbeatsPerLease);
}
