import type { SideName, Unit } from "./switch-unit.ts";

/** Where a switchboard stands with the unit that is under way. */
export type SwitchPhase =
  /** Messages of the client are looked at; a unit may have begun, and not be decided. */
  | { readonly kind: "listening"; readonly unit: Unit | undefined }
  /** A side is being made ready; the client waits. `decides`: the unit goes there then. */
  | {
      readonly kind: "preparing";
      readonly unit: Unit;
      readonly side: SideName;
      readonly decides: boolean;
    }
  /** All of the unit has been sent: ReadyForQuery is owed. */
  | { readonly kind: "answering"; readonly unit: Unit }
  /** What a forwarded unit prepared is made on the reader, or what a unit did there to the session is looked at. */
  | { readonly kind: "settling" };
