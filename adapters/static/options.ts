import { z } from "zod";
import { namespaceName } from "./schema.ts";

const path = z.string().min(1);

/** Options of a registry of kind `static`, besides those that every registry has. */
export const staticOptions = z.strictObject({
  /** Files and folders, relative to the configuration's folder. */
  file: z
    .union([path, z.array(path).min(1)], { error: "must be a path or a list of paths" })
    .transform((value) => [value].flat()),
  /** Namespace of services that name none. */
  namespace: namespaceName.default("default"),
  /** Allow endpoints on 127.0.0.0/8 and ::1: only for tests on one machine. */
  loopback: z.boolean().default(false),
  /** Health checks in flight at once, over the whole registry. */
  maxProbes: z.int().min(1).max(1024).default(16),
  /** Keep all endpoints of a service in when none of them passes its check. */
  failOpen: z.boolean().default(true),
});

export type StaticOptions = z.output<typeof staticOptions>;
