import { BorealisError, sqlState } from "../base/errors.ts";
import type { Logger } from "../io/index.ts";
import type { ChangeAnswer } from "../ownership/index.ts";
import { type Configuration, isSameSet, type MemberSet, membersOf } from "../quorum/index.ts";

interface Wish {
  readonly set: MemberSet;
  readonly done: Promise<void>;
  resolve(): void;
  reject(error: unknown): void;
}

/**
 * Brings an open epoch to a set of members, from wherever it is: another driver may have left two sets that count, one
 * of them with a node that is gone.
 *
 *     settled S          ──▶ change to the wish
 *     joint [S, wish]    ──▶ it ends there
 *     joint [S, other]   ──▶ back to S first, then to the wish
 *     settling           ──▶ again a moment later
 */
export class ChangeOfMembers {
  private readonly logger: Logger;
  private readonly begin: (set: MemberSet) => void;
  private wish: Wish | undefined;
  private configuration: Configuration | undefined;
  private isSettled = false;
  /** The core has been asked and has not answered yet: it may be in the middle of a low-water. */
  private isAsked = false;
  private mustAsk = false;

  constructor(logger: Logger, begin: (set: MemberSet) => void) {
    this.logger = logger;
    this.begin = begin;
  }

  /** Resolves when `set` counts alone and a write quorum of it knows. Raises 55000 when another is wished for instead. */
  ask(set: MemberSet): Promise<void> {
    const { wish } = this;
    if (wish && isSameSet(wish.set, set)) return wish.done;
    const why = "other members are wished for now";
    wish?.reject(new BorealisError(sqlState.notInPrerequisiteState, why));
    const { promise, resolve, reject } = openPromise();
    this.wish = { set, done: promise, resolve, reject };
    this.look();
    return promise;
  }

  onAnswer(answer: ChangeAnswer): void {
    this.isAsked = false;
    const { wish } = this;
    if (!wish) return;
    switch (answer) {
      case "begun":
        return;
      case "unsound": {
        const why = "these members make no protection group";
        return this.settle((one) => one.reject(new BorealisError(sqlState.invalidParameter, why)));
      }
      default:
        // `same`: of the set that was asked for, which need not be the wish. `busy`: what was made before settles first.
        this.mustAsk = true;
    }
  }

  onChanged(configuration: Configuration, isSettled: boolean): void {
    const { epoch, version } = configuration.id;
    const members = membersOf(configuration).map((member) => member.nodeId);
    const sets = configuration.sets.length;
    this.logger.info({ event: "members.changed", epoch, version, sets, isSettled, members });
    this.configuration = configuration;
    this.isSettled = isSettled;
    if (isSettled) this.mustAsk = true;
  }

  /** Asks outside the core's own step, and again what was answered with `busy`. */
  tick(): void {
    if (this.mustAsk) this.look();
  }

  /** The epoch is over. */
  end(error: unknown): void {
    this.settle((wish) => wish.reject(error));
  }

  private look(): void {
    const { wish, configuration, isSettled } = this;
    this.mustAsk = false;
    if (!wish || this.isAsked) return;
    const [from, to] = configuration?.sets ?? [];
    if (from && !to && isSettled && isSameSet(from, wish.set))
      return this.settle((one) => one.resolve());
    // While two sets count, only one of these two can be what comes next.
    const isBetween = from !== undefined && to !== undefined && !isSameSet(to, wish.set);
    this.isAsked = true;
    this.begin(isBetween ? from : wish.set);
  }

  private settle(end: (wish: Wish) => void): void {
    const { wish } = this;
    this.wish = undefined;
    if (wish) end(wish);
  }
}

function openPromise() {
  let resolve: () => void = () => undefined;
  let reject: (error: unknown) => void = () => undefined;
  const promise = new Promise<void>((onDone, onFailed) => {
    resolve = onDone;
    reject = onFailed;
  });
  return { promise, resolve, reject };
}
