import { z } from "zod";

/** What users have set; names in lower case, values as postgresql.auto.conf has them. */
export const parameterValuesSchema = z.object({
  /** Grows with each change of the cluster's. */
  version: z.number().int().min(0),
  values: z.record(z.string(), z.string()),
});
export type ParameterValues = z.infer<typeof parameterValuesSchema>;

/** Null: what PostgreSQL, or Borealis, has by default. */
export const parameterChangeSchema = z.object({ name: z.string(), value: z.string().nullable() });
export type ParameterChange = z.infer<typeof parameterChangeSchema>;

/** ALTER SYSTEM was run on an instance: to be kept for all of the cluster. */
export const adoptionSchema = z.object({
  instance: z.string(),
  changes: z.array(parameterChangeSchema),
});

/** An instance does not start with what was set, and has started without. */
export const notTakenSchema = z.object({ instance: z.string(), why: z.string() });

/** A value, as postgresql.auto.conf has it. */
export const triedSchema = z.object({ value: z.string() });

export const parameterNamesSchema = z.object({ names: z.array(z.string()) });

/** `life`: of the PostgreSQL on which a session has run ALTER SYSTEM. */
export const keepParametersSchema = z.object({ life: z.string() });

/** What an instance has started with, on its disk. */
export const goodSchema = z.record(z.string(), z.string());

/** Some settings on an instance. */
export const parameterStatesSchema = z.array(
  z.object({
    name: z.string(),
    /** That PostgreSQL has read, as postgresql.auto.conf has it; null: none. */
    value: z.string().nullable(),
    /** Of pg_settings; null: it is not in there. */
    context: z.string().nullable(),
    isPending: z.boolean(),
  }),
);
export type ParameterStates = z.infer<typeof parameterStatesSchema>;
