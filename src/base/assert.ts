/** Thrown when a law of our own is broken: a bug, never something that a peer or a user can cause. */
export class InvariantBroken extends Error {
  override readonly name = "InvariantBroken";
}

/** States a law that must hold; always on. `law` is the law as a sentence. Raises InvariantBroken. */
export function assert(condition: boolean, law: string): asserts condition {
  if (!condition) throw new InvariantBroken(law);
}

/** Ends a switch over a union: a forgotten member does not compile. */
export function unreachable(value: never): never {
  throw new InvariantBroken(`unreachable: ${JSON.stringify(value)}`);
}

/** The value, which the law says is there. Raises InvariantBroken if it is absent. */
export function present<T>(value: T | undefined | null, law: string): T {
  if (value === undefined || value === null) throw new InvariantBroken(law);
  return value;
}
