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

/** What an instance's pg_settings says of some settings; those that it does not know are left out. */
export const parameterStatesSchema = z.array(
  z.object({ name: z.string(), context: z.string(), isPending: z.boolean() }),
);
export type ParameterStates = z.infer<typeof parameterStatesSchema>;
