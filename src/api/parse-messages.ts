import type { Statement } from "./syntax.ts";

/** What passes between the thread that parses and who asks it. */
export interface ParseOrder {
  readonly id: number;
  readonly text: string;
}

export type FromParser =
  /** It may be asked. */
  | { readonly kind: "ready" }
  | { readonly kind: "parsed"; readonly id: number; readonly statements: readonly Statement[] }
  | {
      readonly kind: "failed";
      readonly id: number;
      readonly message: string;
      /** In UTF-16 units; null: at the end of the text, or nobody knows. */
      readonly at: number | null;
    };
