import type { ScrubStep } from "./messages.ts";

export const objectsStep = "reading objects and the archive";

interface Reach {
  readonly doneBytes: number;
  readonly totalBytes: number;
}

/** Storage nodes read their log: what each of them has told, together. */
export class LogStep {
  private readonly byNode = new Map<string, Reach>();

  /** A node that finds rot begins anew, with what it has then: nothing goes back by that. */
  take(node: string, { doneBytes, totalBytes }: Reach): ScrubStep {
    const before = this.of(node);
    return this.set(node, {
      doneBytes: Math.max(before.doneBytes, doneBytes),
      totalBytes: Math.max(before.totalBytes, totalBytes),
    });
  }

  /** It has read all that it has by now. */
  end(node: string, checkedBytes: number): ScrubStep {
    const doneBytes = Math.max(this.of(node).doneBytes, checkedBytes);
    return this.set(node, { doneBytes, totalBytes: doneBytes });
  }

  private of(node: string): Reach {
    return this.byNode.get(node) ?? { doneBytes: 0, totalBytes: 0 };
  }

  private set(node: string, reach: Reach): ScrubStep {
    this.byNode.set(node, reach);
    const all = [...this.byNode.values()];
    return {
      step: "reading log",
      doneBytes: all.reduce((sum, one) => sum + one.doneBytes, 0),
      totalBytes: all.reduce((sum, one) => sum + one.totalBytes, 0),
    };
  }
}
