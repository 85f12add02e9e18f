import { z } from "zod";
import { duration } from "../options.ts";

/** Options of a registry of kind `module`, besides those that every registry has. */
export const moduleOptions = z.strictObject({
  /** The module's file, relative to the configuration's folder. */
  path: z.string().regex(/\.(js|mjs|cjs|ts|mts)$/, "must end in .js, .mjs, .cjs, .ts or .mts"),
  /** What the module itself takes. */
  options: z.unknown().optional(),
  /** How long one read may take, and the module to load. */
  timeout: duration("100ms", "1h").default(60_000),
  /** Allow the module to give services legacy names: only where it takes them from what the operator wrote. */
  ownNames: z.boolean().default(false),
});

/** The options with their defaults filled in. */
export type ModuleOptions = z.output<typeof moduleOptions>;
