/** A law that a run has seen broken. `law` is I1 to I15, or what stands for it: codec, liveness, history. */
export class SimFailure extends Error {
  override readonly name = "SimFailure";
  readonly law: string;

  constructor(law: string, message: string) {
    super(message);
    this.law = law;
  }
}
