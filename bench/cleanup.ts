import { messageOf } from "../src/base/errors.ts";

/** What has to be undone at the end, in reverse order, each step whatever became of the others. */
export class Cleanup {
  private readonly steps: { what: string; undo: () => Promise<void> }[] = [];

  add(what: string, undo: () => Promise<void>): void {
    this.steps.push({ what, undo });
  }

  async run(): Promise<void> {
    for (let step = this.steps.pop(); step; step = this.steps.pop()) {
      const { what, undo } = step;
      await undo().catch((error: unknown) => {
        console.error(`cannot undo "${what}": ${messageOf(error)}`);
      });
    }
  }
}
