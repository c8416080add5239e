import { present } from "../../base/assert.ts";
import type { Lsn } from "../../base/lsn.ts";
import { Driver, type DriverAction, type DriverEvent } from "../../ownership/index.ts";
import { encodeMessage } from "../../quorum/index.ts";
import type { Scene } from "./scene.ts";

type Decision = Extract<DriverAction, { kind: "decideBranch" | "decideSalvage" }>;

/** The shipped Driver in i3's place, whose decision the script makes; it has no log to send. */
export class HandDriver {
  readonly driver: Driver;
  decision: Decision | undefined;
  private readonly scene: Scene;

  constructor(scene: Scene, purpose: "own" | "salvage") {
    this.scene = scene;
    const { world } = scene;
    const { configuration, leaseMs, heartbeatMs, rules, fanOut } = world;
    const rng = world.queue.diceFor("i3 claim");
    this.driver = new Driver({
      claimant: "i3",
      configuration,
      purpose,
      rng,
      leaseMs,
      heartbeatMs,
      fanOut,
      rules,
    });
    world.network.attach("i3", (_, { envelope, message }) =>
      this.step({ kind: "received", node: envelope.target, message, nowMs: this.nowMs }),
    );
    for (const { nodeId } of world.nodes)
      this.step({ kind: "nodeConnected", node: nodeId, nowMs: this.nowMs });
    this.step({ kind: "claim", nowMs: this.nowMs });
    this.tick();
  }

  get nowMs(): number {
    return this.scene.instance(3).clock.nowMs;
  }

  private tick(): void {
    const { world } = this.scene;
    world.queue.after(world.driverTickMs, "i3 tick", () => {
      this.step({ kind: "tick", nowMs: this.nowMs });
      this.tick();
    });
  }

  step(event: DriverEvent): void {
    const actions = this.driver.step(event);
    this.driver.checkInvariants();
    for (const action of actions) this.perform(action);
  }

  private perform(action: DriverAction): void {
    const { world } = this.scene;
    switch (action.kind) {
      case "send": {
        const { node, message } = action;
        if (message.kind === "elect") world.observer.noteElect(message);
        const to = present(world.nameOfNode(node), "the node has a name");
        const envelope = { volumeId: world.volumeId, sender: "i3", target: node, requestId: 1n };
        return world.network.send("i3", to, message.kind, encodeMessage(envelope, message));
      }
      case "findRecordEnd": {
        const b = this.recordEnd(action.path, action.from, action.to);
        return this.step({ kind: "recordEndFound", b, nowMs: this.nowMs });
      }
      case "decideBranch":
      case "decideSalvage":
        this.decision = action;
        return undefined;
      default:
        return undefined;
    }
  }

  /** Not walked: who wrote the records is asked. */
  private recordEnd(path: Decision["path"], from: Lsn, to: Lsn): Lsn {
    const { book } = this.scene.world;
    if (book.isEnd(path, to)) return to;
    return book.endsOn(path, from, to).at(-1) ?? from;
  }
}
