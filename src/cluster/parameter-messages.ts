import { z } from "zod";

/** `parameter set` and `reset`. Value null: reset; name null: all of that scope; instance null: of the cluster. */
export const parameterWishSchema = z.object({
  name: z.string().nullable(),
  value: z.string().nullable(),
  instance: z.string().nullable(),
});
export type ParameterWish = z.infer<typeof parameterWishSchema>;

/** Where a value is in force: `unknown` while an instance that it is for does not answer. */
export const parameterRowSchema = z.object({
  name: z.string(),
  value: z.string(),
  /** "cluster", or an instance. */
  scope: z.string(),
  /** dynamic: in force at once; static: at the next reboot; null: nobody says. */
  applyType: z.enum(["dynamic", "static"]).nullable(),
  state: z.enum(["in-sync", "pending-reboot", "unknown"]),
  /** The instances that are to be rebooted. */
  pending: z.array(z.string()),
});
export type ParameterRow = z.infer<typeof parameterRowSchema>;
export const parameterRowsSchema = z.array(parameterRowSchema);
