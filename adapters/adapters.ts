import type { AdapterKind } from "./context.ts";
import { type StaticOptions, staticOptions } from "./static/options.ts";
import { staticFiles } from "./static/static.ts";

const files: AdapterKind<StaticOptions> = { options: staticOptions, create: staticFiles };

/** Every kind of registry, by the `kind` of the configuration. The only registration. */
export const adapters: Readonly<Record<string, AdapterKind>> = { static: files };
