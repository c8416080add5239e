import { z } from "zod";

/** What aurora_inject_… asks for, on its way from SQL to who carries it out. Each who takes it looks at all of it again. */
const percent = z.number().min(0).max(100);
const seconds = z.number().int().min(1).max(2_147_483_647);
const delayMs = z.number().min(0).max(100);
const disk = { percent, seconds, index: z.number().int().min(0), isDisk: z.boolean() };

export const faultSchema = z
  .discriminatedUnion("kind", [
    z.object({
      kind: z.literal("crash"),
      /** `dispatcher`: the log driver; `node`: both. */
      what: z.enum(["instance", "dispatcher", "node"]),
    }),
    z.object({
      kind: z.literal("replicaFailure"),
      percent,
      seconds,
      /** "": all of them. */
      replica: z.string().max(63),
    }),
    z.object({ kind: z.literal("diskFailure"), ...disk }),
    z.object({ kind: z.literal("diskCongestion"), ...disk, minMs: delayMs, maxMs: delayMs }),
  ])
  .refine((fault) => fault.kind !== "diskCongestion" || fault.maxMs > fault.minMs, {
    message: "the maximum is above the minimum",
  });
export type Fault = z.infer<typeof faultSchema>;
export type Crash = Extract<Fault, { kind: "crash" }>["what"];

/** Who asks, and where. */
export const faultOrderSchema = z.object({
  fault: faultSchema,
  instance: z.string(),
  user: z.string(),
});
export type FaultOrder = z.infer<typeof faultOrderSchema>;

/** What has it now. `untilMs` in milliseconds since 1970; null: it is done with. */
export const injectedSchema = z.object({
  on: z.array(z.string()),
  untilMs: z.number().nullable(),
});
export type Injected = z.infer<typeof injectedSchema>;

/** Log is to be kept back from a reader. */
export const holdLogSchema = z.object({ percent, seconds });
export const holdingSchema = z.object({ percent: z.number(), untilMs: z.number() });

/** A request as a function has written it, before what it asks for is looked at. */
export const requestSchema = z.object({
  id: z.uuid(),
  /** As sightOwner has it. */
  of: z.string(),
  /** Milliseconds since 1970. */
  atMs: z.number(),
  user: z.string().max(63),
  fault: z.unknown(),
});
export type SurfaceRequest = z.infer<typeof requestSchema>;

/** What the function is told, in the file that it reads. */
export interface RequestAnswer {
  readonly id: string;
  /** For people; null: it was refused. */
  readonly done: string | null;
  readonly error: {
    readonly code: string;
    readonly message: string;
    readonly hint: string | null;
  } | null;
}
