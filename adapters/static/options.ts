import { z } from "zod";
import { namePart } from "../fields.ts";

const path = z.string().min(1);

/** Options of a registry of kind `static`, besides those that every registry has. */
export const staticOptions = z.strictObject({
  /** Files and folders, relative to the configuration's folder. */
  file: z
    .union([path, z.array(path).min(1)], { error: "must be a path or a list of paths" })
    .transform((value) => [value].flat()),
  /** Namespace of services that name none. */
  namespace: namePart.default("default"),
  /** Health checks in flight at once, over the whole registry. */
  maxProbes: z.int().min(1).max(1024).default(16),
  /** Keep all endpoints of a service in when none of them passes its check. */
  failOpen: z.boolean().default(true),
});

/** The options with their defaults filled in. */
export type StaticOptions = z.output<typeof staticOptions>;
